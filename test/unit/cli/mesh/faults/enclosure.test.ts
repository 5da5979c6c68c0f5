import assert from 'node:assert/strict'
import { CliError } from '../../../../../cli/errors.ts'
import { needsEnclosure, runEnclosed } from '../../../../../cli/mesh/faults/enclosure.ts'
import { runTool } from '../../../../../cli/mesh/faults/tools.ts'
import { scenarioOf } from '../../../../../cli/mesh/scenario.ts'

describe('an enclosure', () => {
  it('is needed for a network of its own and for a disk that is filled, and for nothing else', () => {
    const fill = [{ at: { round: 1 }, do: 'fillDisk', node: 2 }]
    assert.deepEqual(
      [{}, { steps: [{ at: { round: 1 }, do: 'kill', node: 2 }] }, { network: 'namespaces' }, { steps: fill }].map(scenario =>
        needsEnclosure(scenarioOf(scenario))
      ),
      [false, false, true, true]
    )
  })

  it('starts nothing for whom has stopped it already', async function () {
    if (process.platform !== 'linux') this.skip()
    const stopped = AbortSignal.abort(new CliError('interrupted', 'stopped by SIGINT'))
    await assert.rejects(runEnclosed({ network: 'loopback' }, { signal: stopped }), { code: 'interrupted' })
  })

  it('names the tool that is missing or fails, and where it comes from', async () => {
    await assert.rejects(runTool(['no-such-tool']), {
      code: 'network_unavailable',
      message: 'run no-such-tool: it is not installed',
      hint: /nftables/
    })
    await assert.rejects(runTool(['sh', '-c', 'cat >&2; exit 3'], 'not permitted\nmore'), { message: 'run sh: not permitted' })
    await runTool(['cat'], 'x'.repeat(100_000))
  })
})
