import assert from 'node:assert/strict'
import { BranchLooks, LOOK_MAX_MS, LOOK_MS } from '../../../../daemon/run/branch-looks.ts'

describe('BranchLooks', () => {
  it("waits a minute before the next, and before a stranger's twenty times as long as the last took", () => {
    const looks = new BranchLooks()
    assert.ok(looks.waitMs(true, 0) < 0)
    looks.began(1_000)
    looks.ended(2_000)
    assert.equal(looks.waitMs(true, 1_000), LOOK_MS)
    looks.ended(600_000)
    assert.equal(looks.waitMs(true, 1_000), 20 * 600_000)
    assert.equal(looks.waitMs(false, 1_000), LOOK_MS)
  })

  it('waits ever longer, also for an author, while our own past is not whole', () => {
    const looks = new BranchLooks()
    looks.began(0)
    const waits = [0, 1, 2].map(() => {
      looks.sawPast(false)
      return looks.waitMs(false, 0)
    })
    assert.deepEqual(waits, [2 * LOOK_MS, 4 * LOOK_MS, 8 * LOOK_MS])
    for (let i = 0; i < 20; i++) looks.sawPast(false)
    assert.equal(looks.waitMs(false, 0), LOOK_MAX_MS)
    looks.sawPast(true)
    assert.equal(looks.waitMs(false, 0), LOOK_MS)
  })
})
