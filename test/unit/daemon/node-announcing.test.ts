import assert from 'node:assert/strict'
import { ANNOUNCE_PAUSE_MS, AnnounceTimes } from '../../../daemon/node-announcing.ts'
import { LOOKUP_DELAY_MS } from '../../../daemon/node-lookups.ts'

describe('AnnounceTimes', () => {
  let times: AnnounceTimes
  beforeEach(() => {
    times = new AnnounceTimes()
  })

  it('announces a moment after it is first wanted, however many come in the meantime', () => {
    assert.equal(times.wanted(1_000), 1_000 + LOOKUP_DELAY_MS)
    for (let nowMs = 1_050; nowMs < 1_000 + LOOKUP_DELAY_MS; nowMs += 50) assert.equal(times.wanted(nowMs), null)
  })

  it('begins no other announcement while one is under way, and one for all who came meanwhile after a pause', () => {
    times.wanted(0)
    for (let nowMs = 500; nowMs < 20_000; nowMs += 500) assert.equal(times.wanted(nowMs), null)
    assert.equal(times.ended(20_000), 20_000 + ANNOUNCE_PAUSE_MS)
    assert.equal(times.wanted(20_100), null)
    assert.equal(times.ended(26_000), null)
  })

  it('makes whoever comes soon after an announcement wait for the pause, and nobody else', () => {
    times.wanted(0)
    assert.equal(times.ended(1_000), null)
    assert.equal(times.wanted(2_000), 1_000 + ANNOUNCE_PAUSE_MS)
    assert.equal(times.ended(7_000), null)
    assert.equal(times.wanted(60_000), 60_000 + LOOKUP_DELAY_MS)
  })
})
