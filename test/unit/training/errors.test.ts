import assert from 'node:assert/strict'
import { TrainingError } from '../../../training/errors.ts'

describe('TrainingError', () => {
  it('carries code, hint, details and cause', () => {
    const cause = new Error('inner')
    const error = new TrainingError('engine_failed', 'cannot run', { hint: 'try again', details: { threads: 2 }, cause })
    assert.deepEqual(
      [error.name, error.code, error.hint, error.details, error.cause],
      ['TrainingError', 'engine_failed', 'try again', { threads: 2 }, cause]
    )
    assert.equal(new TrainingError('engine_failed', 'cannot run').hint, undefined)
  })
})
