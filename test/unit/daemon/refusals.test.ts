import assert from 'node:assert/strict'
import { isOthersDoing, MEMBERS_REFUSALS, Refusals, STRANGERS_REFUSALS } from '../../../daemon/refusals.ts'

describe('what is told of refusals', () => {
  it('is the first of each kind at once, and then how many there were', () => {
    const refusals = new Refusals(STRANGERS_REFUSALS)
    const flood = { peer: 'a', code: 'bad_message' }
    const first = { isFirst: true, untold: 0 }
    assert.deepEqual(refusals.note(flood, 0), first)
    for (let i = 0; i < 500; i++) assert.deepEqual(refusals.note(flood, i), { isFirst: false, untold: null })
    assert.deepEqual(refusals.note({ peer: 'a', code: 'rate_limited' }, 1), first)
    assert.deepEqual(refusals.note({ peer: 'b', code: 'bad_message' }, 1), first)
    assert.deepEqual(refusals.note(flood, 61_000), { isFirst: true, untold: 500 })
  })

  it('is each one of a member that is late round after round, and a bounded number of one that floods', () => {
    const refusals = new Refusals(MEMBERS_REFUSALS)
    const late = { peer: 'slow', code: 'late' }
    for (let round = 0; round < 1_000; round++) assert.equal(refusals.note(late, round * 11_000).untold, 0)
    const told = Array.from({ length: 10_000 }, () => refusals.note({ peer: 'liar', code: 'late' }, 0).untold)
    assert.equal(told.filter(untold => untold !== null).length, MEMBERS_REFUSALS.each.burst)
    assert.equal(refusals.note({ peer: 'liar', code: 'late' }, 11_000).untold, 10_000 - MEMBERS_REFUSALS.each.burst)
  })

  it('is all that this node says of itself, and so much of what others do', () => {
    for (const code of ['late', 'too_far_ahead', 'not_admitted', 'tokens_mismatch'] as const) {
      assert.equal(isOthersDoing({ peer: 'another', code }, { self: 'we' }), true, code)
      assert.equal(isOthersDoing({ peer: 'we', code }, { self: 'we' }), false, code)
    }
    assert.equal(isOthersDoing({ code: 'waiting_for_quorum' }, { self: 'we' }), false)
    for (const code of ['fetch_timeout', 'bad_signature', 'body_too_large'] as const)
      assert.equal(isOthersDoing({ code }, { self: 'we' }), true, code)
    assert.equal(isOthersDoing({ peer: 'we', code: 'too_many_records' }, { self: 'we' }), true)
  })

  it('is bounded whatever names are made up, also over a day', () => {
    for (const limits of [STRANGERS_REFUSALS, MEMBERS_REFUSALS]) {
      const refusals = new Refusals(limits)
      const dayMs = 24 * 60 * 60_000
      let told = 0
      for (let i = 0; i < 100_000; i++) {
        const { isFirst, untold } = refusals.note({ peer: `p${i}`, code: 'bad_message' }, (i / 100_000) * dayMs)
        assert.equal(isFirst, true)
        if (untold !== null) told += 1
      }
      const { burst, perSecond } = limits.all
      assert.ok(told <= burst + (perSecond * dayMs) / 1000, String(told))
      assert.ok(told < 20_000, 'as many as the event log keeps')
    }
  })
})
