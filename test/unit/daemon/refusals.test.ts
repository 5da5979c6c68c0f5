import assert from 'node:assert/strict'
import { createRefusals, isCheap, noteRefusal, REFUSALS_PER_MINUTE, SAME_REFUSAL_MS } from '../../../daemon/refusals.ts'

describe('what is told of refusals', () => {
  it('is the first of each kind at once, and then how many there were', () => {
    const state = createRefusals()
    const flood = { peer: 'a', code: 'bad_message' }
    const first = { isFirst: true, untold: 0 }
    assert.deepEqual(noteRefusal(state, flood, 0), first)
    for (let i = 0; i < 500; i++) assert.deepEqual(noteRefusal(state, flood, i), { isFirst: false, untold: null })
    assert.deepEqual(noteRefusal(state, { peer: 'a', code: 'rate_limited' }, 1), first)
    assert.deepEqual(noteRefusal(state, { peer: 'b', code: 'bad_message' }, 1), first)
    assert.deepEqual(noteRefusal(state, flood, SAME_REFUSAL_MS), { isFirst: true, untold: 500 })
  })

  it('is a sample of what strangers do, late or wrong, and all that members do', () => {
    const facts = { self: 'we', isAccepted: (peer: string) => peer === 'member' }
    for (const code of ['late', 'too_far_ahead', 'not_admitted', 'tokens_mismatch'] as const) {
      assert.equal(isCheap({ peer: 'stranger', code }, facts), true, code)
      assert.equal(isCheap({ peer: 'member', code }, facts), false, code)
      assert.equal(isCheap({ peer: 'we', code }, facts), false, code)
    }
    assert.equal(isCheap({ code: 'waiting_for_quorum' }, facts), false)
    for (const code of ['fetch_timeout', 'bad_signature', 'body_too_large'] as const) assert.equal(isCheap({ code }, facts), true, code)
    assert.equal(isCheap({ peer: 'member', code: 'too_many_records' }, facts), true)
  })

  it('is bounded whatever names are made up', () => {
    const state = createRefusals()
    let told = 0
    for (let i = 0; i < 100_000; i++) {
      const { isFirst, untold } = noteRefusal(state, { peer: `p${i}`, code: 'bad_message' }, i / 10)
      assert.equal(isFirst, true)
      if (untold !== null) told += 1
    }
    assert.equal(told, REFUSALS_PER_MINUTE)
    assert.ok(state.counted.size <= 4_096)
    assert.deepEqual(noteRefusal(state, { peer: 'p99999', code: 'bad_message' }, 200_000), { isFirst: true, untold: 1 })
  })
})
