import assert from 'node:assert/strict'
import { numberFlag, UsageError } from './number-flag.ts'

describe('numberFlag()', () => {
  it('takes whole numbers from the least on, and nothing that only begins as one', () => {
    assert.deepEqual(
      ['3', '1e6', '1000000'].map(value => numberFlag('count', value, 3)),
      [3, 1_000_000, 1_000_000]
    )
    for (const value of ['1_000_000', '2', '3.5', '', ' ', '-4', 'Infinity', '1e300'])
      assert.throws(() => numberFlag('count', value, 3), { message: `--count must be a whole number of at least 3, not "${value}"` }, value)
    assert.throws(() => numberFlag('count', 'all', 3), UsageError)
  })
})
