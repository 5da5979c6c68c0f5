import assert from 'node:assert/strict'
import { tf } from '../../../../training/engines/tensorflow.ts'
import { type AdamWOptions, adamwInPlace, adamwScalars, adamwStep, checkAdamW } from '../../../../training/optimizers/adamw.ts'

const options: AdamWOptions = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipNorm: null }
const array = (seed: number) => Float32Array.from({ length: 11 }, (_, i) => Math.sin(seed + i))

describe('AdamW', () => {
  before(() => tf.setBackend('cpu'))

  it('moves by the rate in the first step, whatever the gradient, and decays apart from it', () => {
    const [parameter, gradient] = [Float32Array.of(1, 1, 1), Float32Array.of(1e-3, -5, 0)]
    adamwInPlace(parameter, gradient, new Float32Array(3), new Float32Array(3), 1, options, adamwScalars(options, 0.01, 1, true))
    for (const [i, want] of [1 - 0.001 - 0.01, 1 - 0.001 + 0.01, 1 - 0.001].entries()) assert.ok(Math.abs(parameter[i]! - want) < 1e-6)
  })

  it('gives the same in one pass over arrays and in tfjs operations, over several steps', () => {
    tf.tidy(() => {
      const host = { parameter: array(1), first: new Float32Array(11), second: new Float32Array(11) }
      let eager = { parameter: tf.tensor1d(array(1)), first: tf.zeros([11]), second: tf.zeros([11]) } as ReturnType<typeof adamwStep>
      for (let step = 1; step <= 5; step++) {
        const scalars = adamwScalars(options, 0.02, step, step % 2 === 0)
        adamwInPlace(host.parameter, array(step * 3), host.first, host.second, 0.5, options, scalars)
        eager = adamwStep({ ...eager, gradient: tf.mul(tf.tensor1d(array(step * 3)), 0.5) }, options, scalars)
      }
      for (const key of ['parameter', 'first', 'second'] as const)
        for (const [i, value] of eager[key].dataSync().entries()) assert.ok(Math.abs(host[key][i]! - value) < 1e-6, `${key} ${i}`)
    })
  })

  it('names the setting that is wrong', () => {
    assert.throws(() => checkAdamW({ ...options, beta1: 1 }), { code: 'bad_optimizer', message: /beta1 1/ })
    assert.throws(() => checkAdamW({ ...options, clipNorm: 0 }), { code: 'bad_optimizer', message: /clipNorm 0/ })
  })
})
