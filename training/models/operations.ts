// The operations that models are written in, each with its gradient written out: fewer nodes than the tape would record, and formulations that give the
// same numbers on every backend. Not used on purpose: oneHot (wrong bits on wasm when asked for floats) and unsortedSegmentSum (missing on wasm), which
// tf.gather's own gradient needs. A backend may register a faster kernel under one of the names in FUSED; the numbers must stay the same.
import { tf } from '../engines/tensorflow.ts'

/** Kernel names that a backend may provide; where it does not, the composition below is used. */
export const FUSED = {
  /** inputs { x, scale, shift }, attrs { epsilon } -> [normalised and scaled x, mean, 1 / standard deviation] */
  layerNorm: 'ShoalLayerNorm',
  /** inputs { x }, attrs {} -> log softmax over the last axis */
  logSoftmax: 'ShoalLogSoftmax',
  /** inputs { x f32 [rows, classes], indices i32 [rows] } -> [rows]: one number of each row */
  pick: 'ShoalPick',
  /** inputs { x f32 [rows, classes], indices i32 [rows] } -> x with 1 subtracted at one place of each row */
  minusOneHot: 'ShoalMinusOneHot',
  /** inputs { updates f32 [rows, width], indices i32 [rows] }, attrs { size } -> [size, width]: rows summed by index */
  sumRows: 'ShoalSumRows'
} as const

function fused(name: string, inputs: Record<string, tf.Tensor>, attributes: Record<string, unknown> = {}): tf.Tensor[] | null {
  if (!tf.getKernel(name, tf.getBackend())) return null
  const result = tf.engine().runKernel(name, inputs as never, attributes as never) as unknown as tf.Tensor | tf.Tensor[]
  return Array.isArray(result) ? result : [result]
}

/** Rows of `table` [size, width] at `tokens` (i32, any shape) -> [...tokens.shape, width]. */
export function embedding(table: tf.Tensor, tokens: tf.Tensor): tf.Tensor {
  const [size, width] = table.shape as [number, number]
  const indices = tf.reshape(tokens, [tokens.size])
  const rows = tf.customGrad((...given) => {
    const [input] = given as unknown as [tf.Tensor]
    const save = given[1] as unknown as tf.GradSaveFunc
    save([indices])
    return {
      value: tf.gather(input, indices as tf.Tensor1D),
      gradFunc: (dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => sumRows(dy as tf.Tensor, saved[0]!, size)
    }
  })(table)
  return tf.reshape(rows, [...tokens.shape, width])
}

function sumRows(updates: tf.Tensor, indices: tf.Tensor, size: number): tf.Tensor {
  const own = fused(FUSED.sumRows, { updates, indices }, { size })
  return own ? own[0]! : tf.scatterND(tf.reshape(indices, [indices.size, 1]), updates, [size, updates.shape[1]!])
}

/** x [rows, in] times weights [in, out], plus bias [out] where there is one. */
export function dense(x: tf.Tensor, weights: tf.Tensor, bias?: tf.Tensor): tf.Tensor {
  const product = tf.matMul(x as tf.Tensor2D, weights as tf.Tensor2D)
  return bias ? tf.add(product, bias) : product
}

/** Layer normalisation over the last axis of x [rows, width]; Ba, Kiros and Hinton 2016. */
export function layerNorm(x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor, epsilon: number): tf.Tensor {
  return tf.customGrad((...given) => {
    const [input, gain, bias] = given as unknown as [tf.Tensor, tf.Tensor, tf.Tensor]
    const save = given[3] as unknown as tf.GradSaveFunc
    const own = fused(FUSED.layerNorm, { x: input, scale: gain, shift: bias }, { epsilon })
    const mean = own ? own[1]! : tf.mean(input, -1, true)
    const inverse = own ? own[2]! : tf.rsqrt(tf.add(tf.mean(tf.square(tf.sub(input, mean)), -1, true), epsilon))
    const value = own ? own[0]! : tf.add(tf.mul(tf.mul(tf.sub(input, mean), inverse), gain), bias)
    save([input, gain, mean, inverse])
    return {
      value,
      gradFunc: (dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => {
        const [savedInput, savedGain, savedMean, savedInverse] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
        const dValue = dy as tf.Tensor
        const normalised = tf.mul(tf.sub(savedInput, savedMean), savedInverse)
        const dNormalised = tf.mul(dValue, savedGain)
        const along = tf.mean(tf.mul(dNormalised, normalised), -1, true)
        const dx = tf.mul(tf.sub(tf.sub(dNormalised, tf.mean(dNormalised, -1, true)), tf.mul(normalised, along)), savedInverse)
        return [dx, tf.sum(tf.mul(dValue, normalised), 0), tf.sum(dValue, 0)]
      }
    }
  })(x, scale, shift)
}

// gelu_new: x / 2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3); Hendrycks and Gimpel 2016, section 2.
const GELU_LINEAR = 2 * Math.sqrt(2 / Math.PI)
const GELU_CUBIC = GELU_LINEAR * 0.044715

/** GPT-2's gelu (the tanh form), any shape. */
export function gelu(x: tf.Tensor): tf.Tensor {
  return tf.customGrad((...given) => {
    const [input] = given as unknown as [tf.Tensor]
    const save = given[1] as unknown as tf.GradSaveFunc
    const square = tf.square(input)
    const gate = tf.sigmoid(tf.mul(input, tf.add(tf.mul(square, GELU_CUBIC), GELU_LINEAR)))
    const value = tf.mul(input, gate)
    save([square, gate, value])
    return {
      value,
      gradFunc: (dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => {
        const [savedSquare, savedGate, savedValue] = saved as [tf.Tensor, tf.Tensor, tf.Tensor]
        // d(x s(v)) = s + x s (1 - s) v'(x), v' = linear + 3 cubic x^2
        const slope = tf.add(tf.mul(savedSquare, 3 * GELU_CUBIC), GELU_LINEAR)
        const inner = tf.mul(tf.mul(savedValue, tf.sub(1, savedGate)), slope)
        return tf.mul(dy as tf.Tensor, tf.add(savedGate, inner))
      }
    }
  })(x)
}

/** Added to scores that look ahead: far below any score, and finite, so that no backend makes NaN of it. */
const MASKED = -1e9

/** Multi-head causal attention of qkv [batch * length, 3 * width] (q, k, v beside one another) -> [batch * length, width]. */
export function causalAttention(qkv: tf.Tensor, { batch, length, heads }: { batch: number; length: number; heads: number }): tf.Tensor {
  const width = qkv.shape[1]! / 3
  const size = width / heads
  const [q, k, v] = (tf.split(qkv, 3, 1) as tf.Tensor[]).map(part =>
    tf.transpose(tf.reshape(part, [batch, length, heads, size]), [0, 2, 1, 3])
  ) as [tf.Tensor, tf.Tensor, tf.Tensor]
  const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(size))
  const weights = tf.softmax(tf.add(scores, causalMask(length)))
  return tf.reshape(tf.transpose(tf.matMul(weights, v), [0, 2, 1, 3]), [batch * length, width])
}

function causalMask(length: number): tf.Tensor {
  const values = new Float32Array(length * length)
  for (let row = 0; row < length; row++) values.fill(MASKED, row * length + row + 1, (row + 1) * length)
  return tf.tensor(values, [length, length])
}

/** Cross entropy of each row in nats: logits [rows, classes] against targets i32 [rows] -> [rows]. */
export function crossEntropy(logits: tf.Tensor, targets: tf.Tensor): tf.Tensor {
  return tf.customGrad((...given) => {
    const [input] = given as unknown as [tf.Tensor]
    const save = given[1] as unknown as tf.GradSaveFunc
    const logProbabilities = logSoftmax(input)
    save([logProbabilities, targets])
    return {
      value: tf.neg(pick(logProbabilities, targets)),
      gradFunc: (dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => {
        const [savedLog, savedTargets] = saved as [tf.Tensor, tf.Tensor]
        return tf.mul(minusOneHot(tf.exp(savedLog), savedTargets), tf.reshape(dy as tf.Tensor, [savedTargets.size, 1]))
      }
    }
  })(logits)
}

function logSoftmax(x: tf.Tensor): tf.Tensor {
  const own = fused(FUSED.logSoftmax, { x })
  if (own) return own[0]!
  const shifted = tf.sub(x, tf.max(x, -1, true))
  return tf.sub(shifted, tf.log(tf.sum(tf.exp(shifted), -1, true)))
}

function pick(x: tf.Tensor, indices: tf.Tensor): tf.Tensor {
  const own = fused(FUSED.pick, { x, indices })
  return own ? own[0]! : tf.gather(tf.reshape(x, [x.size]), flatPlaces(x, indices) as tf.Tensor1D)
}

function minusOneHot(x: tf.Tensor, indices: tf.Tensor): tf.Tensor {
  const own = fused(FUSED.minusOneHot, { x, indices })
  if (own) return own[0]!
  const places = tf.reshape(flatPlaces(x, indices), [indices.size, 1])
  return tf.sub(x, tf.reshape(tf.scatterND(places, tf.ones([indices.size]), [x.size]), x.shape))
}

function flatPlaces(x: tf.Tensor, indices: tf.Tensor): tf.Tensor {
  const [rows, classes] = x.shape as [number, number]
  return tf.add(
    indices,
    tf.tensor1d(
      Int32Array.from({ length: rows }, (_, row) => row * classes),
      'int32'
    )
  )
}
