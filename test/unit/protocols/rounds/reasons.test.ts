import assert from 'node:assert/strict'
import { isReasonCode, REASONS } from '../../../../protocols/rounds/index.ts'

describe('REASONS', () => {
  it('are sentences under codes in one form', () => {
    for (const [code, { sentence }] of Object.entries(REASONS)) {
      assert.match(code, /^[a-z]+(_[a-z]+)*$/)
      assert.match(sentence, /^[A-Z].*\.$/)
      assert.ok(isReasonCode(code))
    }
    assert.ok(!isReasonCode('toString'))
  })
})
