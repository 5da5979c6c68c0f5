import assert from 'node:assert/strict'
import { longestGap } from '../../../../../cli/mesh/measures/gaps.ts'

describe('longestGap()', () => {
  it('is the longest wait between two records, or for the one that never came', () => {
    const adoptions = [
      { round: 1, atMs: 1000 },
      { round: 2, atMs: 4000 },
      { round: 3, atMs: 4500 }
    ]
    assert.deepEqual(longestGap(7, adoptions, 5000), { node: 7, round: 1, seconds: 3 })
    assert.deepEqual(longestGap(7, adoptions, 9500), { node: 7, round: 3, seconds: 5 })
  })

  it('is none where there was no record', () => {
    assert.equal(longestGap(1, [], 5000), null)
  })
})
