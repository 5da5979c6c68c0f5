import assert from 'node:assert/strict'
import { nextSession } from '../../../daemon/session.ts'
import { openStore } from '../../../storage/index.ts'
import { temporaryHome } from '../storage/temporary-home.ts'

describe('nextSession()', () => {
  const home = temporaryHome()

  it('rises from process to process, also where the clock was set back', async () => {
    const sessions: number[] = []
    for (const nowMs of [5_000, 9_000, 1_000, 9_001, 12_000]) {
      const store = await openStore(home())
      sessions.push(await nextSession(store.records, nowMs))
      await store.close()
    }
    assert.deepEqual(sessions, [5_000, 9_000, 9_001, 9_002, 12_000])
  })
})
