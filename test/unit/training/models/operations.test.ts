// The written-out gradients against what tfjs's own tape makes of the plain formulas.
import assert from 'node:assert/strict'
import { tf } from '../../../../training/engines/tensorflow.ts'
import { crossEntropy, embedding, gelu, layerNorm } from '../../../../training/models/operations.ts'

type Operation = (...inputs: tf.Tensor[]) => tf.Tensor

const numbers = (shape: number[], seed: number, scale = 1): tf.Tensor =>
  tf.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => scale * Math.sin(seed + i * 1.7)),
    shape
  )

function assertSame(own: Operation, plain: Operation, inputs: tf.Tensor[]): void {
  const run = (operation: Operation) => {
    const value = operation(...inputs)
    // A weight for each place, so that no gradient is hidden by a sum.
    const weights = numbers(value.shape, 5)
    const { grads } = tf.valueAndGrads((...given: tf.Tensor[]) => tf.sum(tf.mul(operation(...given), weights)) as tf.Scalar)(inputs)
    return [value, ...grads].map(tensor => [...tensor.dataSync()])
  }
  const [got, want] = [run(own), run(plain)]
  for (const [t, list] of want.entries())
    for (const [i, value] of list.entries())
      assert.ok(Math.abs(got[t]![i]! - value) < 2e-5, `output ${t}, ${i}: ${got[t]![i]} is not ${value}`)
}

describe('operations', () => {
  before(() => tf.setBackend('cpu'))
  beforeEach(() => tf.engine().startScope())
  afterEach(() => tf.engine().endScope())

  it('gelu() is the tanh form, with its gradient', () => {
    const plain: Operation = x => {
      const inner = tf.mul(tf.add(x!, tf.mul(tf.mul(tf.mul(x!, x!), x!), 0.044715)), Math.sqrt(2 / Math.PI))
      return tf.mul(tf.mul(x!, 0.5), tf.add(tf.tanh(inner), 1))
    }
    assertSame(x => gelu(x!), plain, [numbers([5, 7], 1, 4)])
  })

  it('layerNorm() normalises rows, with its three gradients', () => {
    const plain: Operation = (x, scale, shift) => {
      const centred = tf.sub(x!, tf.mean(x!, -1, true))
      return tf.add(tf.mul(tf.div(centred, tf.sqrt(tf.add(tf.mean(tf.mul(centred, centred), -1, true), 1e-5))), scale!), shift!)
    }
    assertSame((x, scale, shift) => layerNorm(x!, scale!, shift!, 1e-5), plain, [numbers([6, 8], 1), numbers([8], 2), numbers([8], 3)])
  })

  it('crossEntropy() is the negative log likelihood, with its gradient', () => {
    const targets = tf.tensor1d([3, 0, 3, 1], 'int32')
    const plain: Operation = logits => tf.neg(tf.sum(tf.mul(tf.logSoftmax(logits!), tf.oneHot(targets, 4)), -1))
    assertSame(logits => crossEntropy(logits!, targets), plain, [numbers([4, 4], 1, 10)])
  })

  it('crossEntropy() stays finite where a probability is too small for f32', () => {
    const losses = crossEntropy(tf.tensor2d([[0, 200]]), tf.tensor1d([0], 'int32'))
    assert.ok(Math.abs(losses.dataSync()[0]! - 200) < 1e-3)
  })

  it('embedding() gives rows, and sums the gradients of a token that comes twice', () => {
    const tokens = tf.tensor2d([1, 2, 1, 0], [2, 2], 'int32')
    const plain: Operation = table =>
      tf.reshape(tf.matMul(tf.oneHot(tf.reshape(tokens, [4]), 3).toFloat(), table as tf.Tensor2D), [2, 2, 5])
    assertSame(table => embedding(table!, tokens), plain, [numbers([3, 5], 1)])
  })
})
