import assert from 'node:assert/strict'
import { LOOKUP_DELAY_MS, LOOKUP_FIRST_MS, LOOKUP_MAX_MS, LookupTimes } from '../../../daemon/node-lookups.ts'

/** How often it asks within `untilMs`, where `event` says every 2.5 s when to ask next. */
function asksUntil(untilMs: number, event: (times: LookupTimes, nowMs: number) => number | null): number {
  const times = new LookupTimes()
  let nextMs = times.afterMeeting(0)
  let asks = 0
  for (let nowMs = 0; nowMs < untilMs; nowMs += 2_500) {
    for (; nextMs <= nowMs; nextMs = times.afterAsking(nextMs)) asks++
    nextMs = event(times, nowMs) ?? nextMs
  }
  return asks
}

describe('the look-ups of a node', () => {
  it('come soon after somebody new, and ever more seldom while nobody comes', () => {
    const times = new LookupTimes()
    assert.equal(times.afterMeeting(1_000), 1_000 + LOOKUP_DELAY_MS)
    const waits = Array.from({ length: 9 }, () => times.afterAsking(2_000) - 2_000)
    assert.deepEqual(waits.slice(0, 3), [LOOKUP_FIRST_MS, 2 * LOOKUP_FIRST_MS, 4 * LOOKUP_FIRST_MS])
    assert.equal(waits.at(-1), LOOKUP_MAX_MS)
    assert.equal(times.afterMeeting(2_100), 2_000 + LOOKUP_FIRST_MS)
  })

  it('come soon after the first names of a mesh that forms, and not for ever because somebody makes up names', () => {
    const times = new LookupTimes()
    for (let n = 0; n < 16; n++) assert.equal(times.afterName(1_000), 1_000 + LOOKUP_DELAY_MS)
    assert.equal(times.afterName(1_000), null)
    const hourMs = 3_600_000
    const [quiet, named] = [asksUntil(hourMs, () => null), asksUntil(hourMs, (times, nowMs) => times.afterName(nowMs))]
    assert.ok(named < quiet * 8 && named < 150, `${quiet} without names, ${named} with them`)
  })
})
