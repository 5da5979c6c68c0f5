import assert from 'node:assert/strict'
import { join } from 'node:path'
import { runMesh } from '../../../../cli/mesh/mesh-run.ts'
import { scenarioOf } from '../../../../cli/mesh/scenario.ts'
import { Output } from '../../../../cli/output.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

describe('runMesh()', () => {
  const home = temporaryHome()

  it('answers what came of the mesh, and what was left out of it, also where its report cannot be written', async () => {
    const judge = { heldOut: async () => [], sample: async () => '' }
    const { report, code } = await runMesh(
      { output: new Output({ json: false, verbosity: -1, color: false }), judge, seconds: () => 1.5 },
      {
        scenario: scenarioOf({ nodes: 2, run: 'none.yaml', steps: [{ at: { round: 4 }, do: 'kill', node: 2 }] }, { rounds: 3 }),
        folder: home(),
        report: join(home(), 'none', 'report.json'),
        signal: new AbortController().signal
      }
    )
    assert.deepEqual([report.ok, report.seconds, code], [false, 1.5, 2])
    assert.match(report.reason!, /^file_unreadable: cannot read .*none\.yaml/)
    assert.deepEqual(report.stepsLeftOut, [{ at: { kind: 'round', round: 4, node: null }, do: 'kill', node: 2 }])
  })
})
