import assert from 'node:assert/strict'
import { tf } from '../../../../training/engines/tensorflow.ts'
import { type AdamWOptions, adamwScalars, adamwStep, checkAdamW } from '../../../../training/optimizers/adamw.ts'

const options: AdamWOptions = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipNorm: null }

describe('AdamW', () => {
  before(() => tf.setBackend('cpu'))

  it('moves by the rate in the first step, whatever the gradient, and decays apart from it', () => {
    tf.tidy(() => {
      const zeros = tf.zeros([3])
      const given = { parameter: tf.ones([3]), gradient: tf.tensor1d([1e-3, -5, 0]), first: zeros, second: zeros }
      const { parameter } = adamwStep(given, options, adamwScalars(options, 0.01, 1, true))
      for (const [i, want] of [1 - 0.001 - 0.01, 1 - 0.001 + 0.01, 1 - 0.001].entries())
        assert.ok(Math.abs(parameter.dataSync()[i]! - want) < 1e-6)
    })
  })

  it('names the setting that is wrong', () => {
    assert.throws(() => checkAdamW({ ...options, beta1: 1 }), { code: 'bad_optimizer', message: /beta1 1/ })
    assert.throws(() => checkAdamW({ ...options, clipNorm: 0 }), { code: 'bad_optimizer', message: /clipNorm 0/ })
  })
})
