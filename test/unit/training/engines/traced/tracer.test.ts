import assert from 'node:assert/strict'
import { tf } from '../../../../../training/engines/tensorflow.ts'
import '../../../../../training/engines/traced/kernels.ts'
import { bind, outputOf, Session } from '../../../../../training/engines/traced/session.ts'
import { trace } from '../../../../../training/engines/traced/tracer.ts'

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
