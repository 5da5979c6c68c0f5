import assert from 'node:assert/strict'
import { tf } from '../../../../training/engines/tensorflow.ts'
import { clipFactor, globalNorm, sumOfSquares } from '../../../../training/optimizers/clipping.ts'

describe('clipping', () => {
  before(() => tf.setBackend('cpu'))

  it('clipFactor() shrinks a norm that is too great and leaves others alone', () => {
    assert.ok(Math.abs(clipFactor(4, 1) * 4 - 1) < 1e-6)
    assert.deepEqual([clipFactor(0.5, 1), clipFactor(0, 1), clipFactor(9, null)], [1, 1, 1])
  })

  it('globalNorm() and sumOfSquares() agree for every length', () => {
    tf.tidy(() => {
      const parts = [0, 1, 2, 3, 4, 5, 9].map(length => Float32Array.from({ length }, (_, i) => i - 1.5))
      const sum = parts.reduce((total, values) => total + sumOfSquares(values), 0)
      const norm = globalNorm(parts.map(values => tf.tensor1d(values))).dataSync()[0]!
      assert.ok(Math.abs(norm - Math.sqrt(sum)) < 1e-5)
    })
  })
})
