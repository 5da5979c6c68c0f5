import assert from 'node:assert/strict'
import { ProtocolError } from '../../../protocols/errors.ts'

describe('ProtocolError', () => {
  it('carries code, message, hint, details and cause', () => {
    const cause = new Error('below')
    const error = new ProtocolError('bad_message', 'cannot decode it', { hint: 'send it again', details: { bytes: 3 }, cause })
    assert.equal(error.code, 'bad_message')
    assert.equal(error.message, 'cannot decode it')
    assert.equal(error.hint, 'send it again')
    assert.deepEqual(error.details, { bytes: 3 })
    assert.equal(error.cause, cause)
  })
})
