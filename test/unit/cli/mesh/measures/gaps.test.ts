import assert from 'node:assert/strict'
import { longestGap } from '../../../../../cli/mesh/measures/gaps.ts'

describe('longestGap()', () => {
  it('is the longest wait between two records, or for the one that never came', () => {
    const adoptions = [
      { round: 1, atMs: 1000 },
      { round: 2, atMs: 4000 },
      { round: 3, atMs: 4500 }
    ]
    assert.deepEqual(longestGap(7, adoptions, { fromMs: 0, endMs: 5000 }), { node: 7, round: 1, seconds: 3 })
    assert.deepEqual(longestGap(7, adoptions, { fromMs: 0, endMs: 9500 }), { node: 7, round: 3, seconds: 5 })
  })

  it('counts no wait that was over before', () => {
    const adoptions = [1000, 9000, 10_000].map((atMs, round) => ({ round, atMs }))
    assert.deepEqual(longestGap(7, adoptions, { fromMs: 9500, endMs: 10_200 }), { node: 7, round: 1, seconds: 1 })
    assert.deepEqual(longestGap(7, adoptions, { fromMs: 8500, endMs: 10_200 }), { node: 7, round: 0, seconds: 8 })
  })

  it('is all of the time where there was no record', () => {
    assert.deepEqual(longestGap(1, [], { fromMs: 1000, endMs: 5000 }), { node: 1, round: 0, seconds: 4 })
  })
})
