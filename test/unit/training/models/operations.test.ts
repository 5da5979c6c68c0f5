// The written-out gradients against what tfjs's own tape makes of the plain formulas.
import assert from 'node:assert/strict'
import { tf } from '../../../../training/engines/tensorflow.ts'
import {
  causalAttention,
  crossEntropy,
  embedding,
  gelu,
  hiddenPieces,
  layerNorm,
  rmsNorm,
  rotary,
  swiglu
} from '../../../../training/models/operations.ts'

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

  it('rmsNorm() divides rows by their root mean square, with its two gradients', () => {
    const plain: Operation = (x, scale) => tf.mul(tf.div(x!, tf.sqrt(tf.add(tf.mean(tf.mul(x!, x!), -1, true), 1e-6))), scale!)
    assertSame((x, scale) => rmsNorm(x!, scale!, 1e-6), plain, [numbers([6, 8], 1), numbers([8], 2)])
  })

  it('swiglu() gates one input by the other, with both gradients', () => {
    const plain: Operation = (gate, up) => tf.mul(tf.mul(gate!, tf.sigmoid(gate!)), up!)
    assertSame((gate, up) => swiglu(gate!, up!), plain, [numbers([5, 7], 1, 4), numbers([5, 7], 2)])
  })

  it('rotary() turns each pair by its position, with its gradient, and leaves products at equal distance equal', () => {
    const plain: Operation = x => {
      const turns = [0, 1, 2].map(position => [0, 1].map(i => position / 100 ** (i / 2)))
      const table = (of: (angle: number) => number) => tf.tensor2d(turns.map(row => [...row, ...row].map(of)))
      const [first, second] = tf.split(x!, 2, 3) as [tf.Tensor, tf.Tensor]
      return tf.add(tf.mul(x!, table(Math.cos)), tf.mul(tf.concat([tf.neg(second), first], 3), table(Math.sin)))
    }
    assertSame(x => rotary(x!, 100), plain, [numbers([2, 2, 3, 4], 1)])
    const same = rotary(tf.tile(numbers([1, 1, 1, 4], 1), [1, 1, 4, 1]), 100)
    const products = tf.matMul(same, same, false, true).arraySync() as number[][][][]
    assert.ok(Math.abs(products[0]![0]![0]![1]! - products[0]![0]![2]![3]!) < 1e-5)
  })

  it('causalAttention() lets a group of heads share keys and values as if each had a copy', () => {
    const shape = { batch: 2, length: 3, heads: 4 }
    const repeat = (x: tf.Tensor) => tf.reshape(tf.tile(tf.reshape(x, [6, 2, 1, 2]), [1, 1, 2, 1]), [6, 8])
    const copied: Operation = (queries, keys, values) =>
      causalAttention({ queries: queries!, keys: repeat(keys!), values: repeat(values!) }, shape)
    const shared: Operation = (queries, keys, values) =>
      causalAttention({ queries: queries!, keys: keys!, values: values! }, { ...shape, keyValueHeads: 2 })
    assertSame(shared, copied, [numbers([6, 8], 1), numbers([6, 4], 2), numbers([6, 4], 3)])
  })

  it('causalAttention() is softmax over no later position, with its three gradients, in blocks of unlike lengths too', () => {
    const [batch, heads, size] = [2, 2, 2]
    for (const length of [3, 128, 300]) {
      const ahead = tf.linalg.bandPart(tf.ones([length, length]), -1, 0)
      const plain: Operation = (...given) => {
        const [q, k, v] = given.map(x => tf.transpose(tf.reshape(x, [batch, length, heads, size]), [0, 2, 1, 3])) as [
          tf.Tensor,
          tf.Tensor,
          tf.Tensor
        ]
        const scores = tf.add(tf.div(tf.matMul(q, k, false, true), Math.sqrt(size)), tf.mul(tf.sub(1, ahead), -1e9))
        return tf.reshape(tf.transpose(tf.matMul(tf.softmax(scores), v), [0, 2, 1, 3]), [batch * length, heads * size])
      }
      const shape = [batch * length, heads * size]
      assertSame(
        (queries, keys, values) => causalAttention({ queries: queries!, keys: keys!, values: values! }, { batch, length, heads }),
        plain,
        [numbers(shape, 1), numbers(shape, 2), numbers(shape, 3)]
      )
    }
  })

  it('hiddenPieces() cuts weights into pieces that make up the whole', () => {
    for (const width of [7, 512, 513, 2048]) {
      const weights = numbers([2, width], 1)
      const pieces = hiddenPieces(weights, 1)
      assert.equal(pieces.length, Math.ceil(width / 512))
      assert.deepEqual([...tf.concat(pieces, 1).dataSync()], [...weights.dataSync()])
    }
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
    const rows = tf.oneHot(tf.reshape(tokens, [4]), 3, 1, 0, 'float32') as tf.Tensor2D
    const plain: Operation = table => tf.reshape(tf.matMul(rows, table as tf.Tensor2D), [2, 2, 5])
    assertSame(table => embedding(table!, tokens), plain, [numbers([3, 5], 1)])
  })
})
