import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { meshList, meshUp } from '../../../../cli/mesh/background.ts'
import { createSession, type Session } from '../../../../cli/session.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'
import { startFakeDaemon } from '../fake-daemon.ts'

describe('a mesh that stays', () => {
  const home = temporaryHome()
  const session = (): Session => createSession({ home: home(), json: true }, {}, new AbortController().signal)
  const homeOf = (index: number): string => {
    const folder = join(home(), 'mesh', `node-${index}`)
    mkdirSync(folder, { recursive: true })
    return folder
  }

  it('is not started over homes that an earlier one left, and leaves them alone', async () => {
    const kept = homeOf(1)
    await assert.rejects(meshUp(session(), { nodes: 1, threads: 1 }), { code: 'already_exists', message: /homes of an earlier mesh/ })
    assert.ok(existsSync(kept))
  })

  it('lists a daemon that lives and does not answer as one that lives', async () => {
    const silent = await startFakeDaemon({})
    try {
      const nodes = [silent.home, homeOf(2)].map((home, position) => ({ index: position + 1, home, pid: process.pid, peer: 'peer1' }))
      writeFileSync(join(home(), 'mesh', 'mesh.json'), JSON.stringify({ schema: 1, network: 'n', nodes, run: null }))
      const asked = session()
      const answered: unknown[] = []
      asked.output.answer = value => answered.push(...(value as { nodes: { alive: boolean; answers: boolean }[] }).nodes)
      await meshList(asked)
      assert.deepEqual(
        (answered as { alive: boolean; answers: boolean }[]).map(({ alive, answers }) => ({ alive, answers })),
        [
          { alive: true, answers: false },
          { alive: false, answers: false }
        ]
      )
    } finally {
      await silent.close()
    }
  })
})
