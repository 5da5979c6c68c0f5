import assert from 'node:assert/strict'
import { tf } from '../../../../../training/engines/tensorflow.ts'
import '../../../../../training/engines/traced/kernels.ts'
import { bind, outputOf, Session } from '../../../../../training/engines/traced/session.ts'
import { trace } from '../../../../../training/engines/traced/tracer.ts'
import { embedding } from '../../../../../training/models/operations.ts'

describe('trace()', () => {
  before(() => tf.setBackend('cpu'))

  it('records a program that then computes on other numbers', async () => {
    const { bytes } = trace({ x: { shape: [2, 3], type: 'float32' } }, ({ x }) => ({
      rows: tf.sum(tf.mul(x!, 2), 1),
      turned: tf.transpose(tf.concat([x!, tf.onesLike(x!)], 0)),
      parts: tf.add(
        ...(tf.split(
          tf.pad(
            x!,
            [
              [0, 0],
              [0, 1]
            ],
            5
          ),
          2,
          1
        ) as [tf.Tensor, tf.Tensor])
      )
    }))
    const session = await Session.open(bytes, { threads: 1 })
    const outputs = { rows: outputOf([2]), turned: outputOf([3, 4]), parts: outputOf([2, 2]) }
    const x = Float32Array.from([1, 2, 3, 4, 5, 6])
    await session.run({ x: bind(x, [2, 3]) }, { rows: outputs.rows.binding, turned: outputs.turned.binding, parts: outputs.parts.binding })
    assert.deepEqual([...outputs.rows.values], [12, 30])
    assert.deepEqual([...outputs.turned.values], [1, 4, 1, 1, 2, 5, 1, 1, 3, 6, 1, 1])
    assert.deepEqual([...outputs.parts.values], [4, 7, 10, 10])
    await session.close()
  })

  it('sums the gradients of tokens that come often, into small tables and large ones', async () => {
    for (const size of [9, 3000]) {
      const program = (table: tf.Tensor, tokens: tf.Tensor) => tf.grad(x => tf.sum(tf.square(embedding(x, tokens))))(table)
      const { bytes } = trace(
        { table: { shape: [size, 3], type: 'float32' }, tokens: { shape: [2, 5], type: 'int32' } },
        ({ table, tokens }) => ({ gradient: program(table!, tokens!) })
      )
      const session = await Session.open(bytes, { threads: 2 })
      const table = Float32Array.from({ length: 3 * size }, (_, i) => Math.sin(i))
      const tokens = Int32Array.from([8, 1, 8, 0, 8, 1, 3, size - 1, 8, 2])
      const gradient = outputOf([size, 3])
      await session.run({ table: bind(table, [size, 3]), tokens: bind(tokens, [2, 5]) }, { gradient: gradient.binding })
      const want = program(tf.tensor2d(table, [size, 3]), tf.tensor2d(tokens, [2, 5], 'int32')).dataSync()
      for (const [i, value] of want.entries()) assert.ok(Math.abs(gradient.values[i]! - value) < 1e-5)
      await session.close()
    }
  })

  it('keeps equal constants once', () => {
    const mask = () => tf.tensor1d(Float32Array.from({ length: 1000 }, (_, i) => i))
    const { bytes } = trace({ x: { shape: [1000], type: 'float32' } }, ({ x }) => ({ y: tf.add(tf.mul(x!, mask()), mask()) }))
    assert.ok(bytes.length < 5000, `${bytes.length} bytes`)
  })

  it('names the operation that has no translation, and leaves tfjs as it was', () => {
    const tensors = tf.memory().numTensors
    assert.throws(() => trace({ x: { shape: [2], type: 'float32' } }, ({ x }) => ({ y: tf.atanh(x!) })), {
      code: 'untraceable_operation',
      message: /Atanh/
    })
    assert.equal(tf.getBackend(), 'cpu')
    assert.equal(tf.memory().numTensors, tensors)
  })

  it('refuses a program that reads a value', () => {
    assert.throws(() => trace({ x: { shape: [1], type: 'float32' } }, ({ x }) => ({ y: tf.mul(x!, x!.dataSync()[0]!) })), {
      code: 'untraceable_operation'
    })
  })
})
