import assert from 'node:assert/strict'
import { tf } from '../../../../training/engines/tensorflow.ts'
import { clipFactor, globalNorm } from '../../../../training/optimizers/clipping.ts'

describe('clipping', () => {
  before(() => tf.setBackend('cpu'))

  it('clipFactor() shrinks a norm that is too great and leaves others alone', () => {
    assert.ok(Math.abs(clipFactor(4, 1) * 4 - 1) < 1e-6)
    assert.deepEqual([clipFactor(0.5, 1), clipFactor(0, 1), clipFactor(9, null)], [1, 1, 1])
  })

  it('globalNorm() is the root of the sum of all squares', () => {
    tf.tidy(() => {
      const norm = globalNorm([tf.tensor1d([1, -2]), tf.tensor2d([[2], [4]])]).dataSync()[0]!
      assert.ok(Math.abs(norm - 5) < 1e-6)
    })
  })
})
