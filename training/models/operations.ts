// The operations that models are written in, each with its gradient written out: fewer nodes than the tape would record, and formulations that give the
// same numbers on every backend. Not used on purpose: oneHot (wrong bits on wasm when asked for floats) and unsortedSegmentSum (missing on wasm), which
// tf.gather's own gradient needs. A backend may register a faster kernel under one of the names in FUSED; the numbers must stay the same.
import { tf } from '../engines/tensorflow.ts'

/** Kernel names that a backend may provide; where it does not, the composition below is used. */
export const FUSED = {
  /** inputs { x, scale, shift }, attrs { epsilon } -> [normalised and scaled x, mean, 1 / standard deviation] */
  layerNorm: 'ShoalLayerNorm',
  /** inputs { x, scale }, attrs { epsilon } -> [x over its root mean square and scaled, 1 / that root] */
  rmsNorm: 'ShoalRmsNorm',
  /** inputs { x }, attrs {} -> gelu in the tanh form */
  gelu: 'ShoalGelu',
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

/** x [rows, in] times weights [out, in] transposed: matrices as PyTorch's Linear keeps them. */
export function linear(x: tf.Tensor, weights: tf.Tensor): tf.Tensor {
  return tf.matMul(x as tf.Tensor2D, weights as tf.Tensor2D, false, true)
}

/** x [rows, in] times weights [in, out], plus bias [out] where there is one. */
export function dense(x: tf.Tensor, weights: tf.Tensor, bias?: tf.Tensor): tf.Tensor {
  const product = tf.matMul(x as tf.Tensor2D, weights as tf.Tensor2D)
  return bias ? tf.add(product, bias) : product
}

/** Hidden numbers of a feed-forward layer that are computed at a time. */
const HIDDEN_PIECE = 512

/**
 * Pieces of a feed-forward layer's weights along their hidden axis, so that the layer can be summed over pieces. What lies between its products stays in a
 * processor's cache then, and no product reads rows that lie a high power of two apart in memory, which costs onnxruntime's a fifth.
 */
export function hiddenPieces(weights: tf.Tensor, axis: number): tf.Tensor[] {
  const count = Math.ceil(weights.shape[axis]! / HIDDEN_PIECE)
  return count === 1 ? [weights] : tf.split(weights, evenly(weights.shape[axis]!, count), axis)
}

/** Whole numbers that add up to `total` and differ by one at most. */
function evenly(total: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.floor(((i + 1) * total) / count) - Math.floor((i * total) / count))
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

/** Root-mean-square normalisation over the last axis of x [rows, width]; Zhang and Sennrich 2019. */
export function rmsNorm(x: tf.Tensor, scale: tf.Tensor, epsilon: number): tf.Tensor {
  return tf.customGrad((...given) => {
    const [input, gain] = given as unknown as [tf.Tensor, tf.Tensor]
    const save = given[2] as unknown as tf.GradSaveFunc
    const own = fused(FUSED.rmsNorm, { x: input, scale: gain }, { epsilon })
    const inverse = own ? own[1]! : tf.rsqrt(tf.add(tf.mean(tf.square(input), -1, true), epsilon))
    const value = own ? own[0]! : tf.mul(tf.mul(input, inverse), gain)
    save([input, gain, inverse])
    return {
      value,
      gradFunc: (dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => {
        const [savedInput, savedGain, savedInverse] = saved as [tf.Tensor, tf.Tensor, tf.Tensor]
        const dValue = dy as tf.Tensor
        const normalised = tf.mul(savedInput, savedInverse)
        const dNormalised = tf.mul(dValue, savedGain)
        const along = tf.mean(tf.mul(dNormalised, normalised), -1, true)
        const dx = tf.mul(tf.sub(dNormalised, tf.mul(normalised, along)), savedInverse)
        return [dx, tf.sum(tf.mul(dValue, normalised), 0)]
      }
    }
  })(x, scale)
}

/** gate sigmoid(gate) up, any shape; SwiGLU, Shazeer 2020, equation 6, without its matrices. */
export function swiglu(gate: tf.Tensor, up: tf.Tensor): tf.Tensor {
  return tf.customGrad((...given) => {
    const [input, factor] = given as unknown as [tf.Tensor, tf.Tensor]
    const save = given[2] as unknown as tf.GradSaveFunc
    const open = tf.sigmoid(input)
    const silu = tf.mul(input, open)
    save([open, silu, factor])
    return {
      value: tf.mul(silu, factor),
      gradFunc: (dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => {
        const [savedOpen, savedSilu, savedFactor] = saved as [tf.Tensor, tf.Tensor, tf.Tensor]
        const dValue = dy as tf.Tensor
        // d(x s(x)) = s + x s (1 - s)
        const slope = tf.add(savedOpen, tf.mul(savedSilu, tf.sub(1, savedOpen)))
        return [tf.mul(tf.mul(dValue, savedFactor), slope), tf.mul(dValue, savedSilu)]
      }
    }
  })(gate, up)
}

/**
 * Rotary positions of x [batch, heads, length, size]: number i of the first half of each head and number i of the second are a pair that is turned by
 * position / theta^(2i / size). Su and others 2021, equation 34, in the pairing of Hugging Face's Llama.
 *
 * @param at where x's one position is @default x begins the text
 */
export function rotary(x: tf.Tensor, theta: number, at?: RotaryPlace): tf.Tensor {
  const [, , length, size] = x.shape as [number, number, number, number]
  const tables = rotaryTables(at?.places ?? length, size, theta)
  const table = (values: Float32Array) => {
    const rows = tf.tensor(values, [values.length / (size / 2), size / 2])
    return at ? tf.gather(rows, at.position as tf.Tensor1D) : rows
  }
  return tf.customGrad((...given) => {
    const [input] = given as unknown as [tf.Tensor]
    const save = given[1] as unknown as tf.GradSaveFunc
    const [cosines, sines] = [table(tables.cosines), table(tables.sines)]
    save([cosines, sines])
    return {
      value: turned(input, cosines, sines),
      // Turned back: a rotation's transpose is its inverse.
      gradFunc: (dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => turned(dy as tf.Tensor, saved[0]!, tf.neg(saved[1]!))
    }
  })(x)
}

/** A position that is known only when the program runs: i32 [1], below `places`. */
export interface RotaryPlace {
  position: tf.Tensor
  places: number
}

/** Cosines and sines of the angles of `length` positions, [length, size / 2] each. */
function rotaryTables(length: number, size: number, theta: number): { cosines: Float32Array; sines: Float32Array } {
  const key = `${length} ${size} ${theta}`
  if (lastTables?.key === key) return lastTables
  const half = size / 2
  const angle = (place: number) => Math.floor(place / half) / theta ** ((2 * (place % half)) / size)
  const table = (of: (angle: number) => number) => Float32Array.from({ length: length * half }, (_, place) => of(angle(place)))
  lastTables = { key, cosines: table(Math.cos), sines: table(Math.sin) }
  return lastTables
}

/** Every layer asks for the same ones. */
let lastTables: { key: string; cosines: Float32Array; sines: Float32Array } | null = null

function turned(x: tf.Tensor, cosines: tf.Tensor, sines: tf.Tensor): tf.Tensor {
  const [first, second] = tf.split(x, 2, 3) as [tf.Tensor, tf.Tensor]
  return tf.concat([tf.sub(tf.mul(first, cosines), tf.mul(second, sines)), tf.add(tf.mul(second, cosines), tf.mul(first, sines))], 3)
}

// gelu_new: x / 2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3); Hendrycks and Gimpel 2016, section 2.
const GELU_LINEAR = 2 * Math.sqrt(2 / Math.PI)
const GELU_CUBIC = GELU_LINEAR * 0.044715

/** GPT-2's gelu (the tanh form), any shape. Keeps its input and its value only, and computes the gate again: activations are most of a step's memory. */
export function gelu(x: tf.Tensor): tf.Tensor {
  return tf.customGrad((...given) => {
    const [input] = given as unknown as [tf.Tensor]
    const save = given[1] as unknown as tf.GradSaveFunc
    const own = fused(FUSED.gelu, { x: input })
    const value = own ? own[0]! : tf.mul(input, geluGate(input, tf.square(input)))
    save([input, value])
    return {
      value,
      gradFunc: (dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => {
        const [savedInput, savedValue] = saved as [tf.Tensor, tf.Tensor]
        const square = tf.square(savedInput)
        const gate = geluGate(savedInput, square)
        // d(x s(v)) = s + x s (1 - s) v'(x) = s (1 + (x - x s) v'), v' = linear + 3 cubic x^2
        const slope = tf.add(tf.mul(square, 3 * GELU_CUBIC), GELU_LINEAR)
        const inner = tf.mul(tf.sub(savedInput, savedValue), slope)
        return tf.mul(dy as tf.Tensor, tf.add(gate, tf.mul(gate, inner)))
      }
    }
  })(x)
}

function geluGate(x: tf.Tensor, square: tf.Tensor): tf.Tensor {
  return tf.sigmoid(tf.mul(x, tf.add(tf.mul(square, GELU_CUBIC), GELU_LINEAR)))
}

/** Added to scores that look ahead: far below any score, and finite, so that no backend makes NaN of it. */
export const MASKED = -1e9

/** Rows of one token each: queries [batch * length, heads * size], keys and values [batch * length, keyValueHeads * size]. */
export interface AttentionInputs {
  queries: tf.Tensor
  keys: tf.Tensor
  values: tf.Tensor
}

export interface AttentionShape {
  batch: number
  length: number
  heads: number
  /** Heads of keys and values; each serves heads / keyValueHeads of the queries' in order (Ainslie and others 2023). @default heads */
  keyValueHeads?: number
}

/**
 * Multi-head causal attention -> as the queries.
 *
 * @param place puts positions into queries and keys [batch, heads, length, size], where the model does it here
 */
export function causalAttention(
  { queries, keys, values }: AttentionInputs,
  shape: AttentionShape,
  place: (x: tf.Tensor) => tf.Tensor = x => x
): tf.Tensor {
  const { batch, length, heads, keyValueHeads = heads } = shape
  const width = queries.shape[1]!
  const size = width / heads
  const group = heads / keyValueHeads
  const attended = attend(
    tf.reshape(place(byHead(queries, shape, heads)), [batch * keyValueHeads, group, length, size]),
    tf.reshape(place(byHead(keys, shape, keyValueHeads)), [batch * keyValueHeads, length, size]),
    tf.reshape(byHead(values, shape, keyValueHeads), [batch * keyValueHeads, length, size])
  )
  return tf.reshape(tf.transpose(tf.reshape(attended, [batch, heads, length, size]), [0, 2, 1, 3]), [batch * length, width])
}

/** Rows [batch * length, count * size] -> [batch, count, length, size]. */
export function byHead(x: tf.Tensor, { batch, length }: AttentionShape, count: number): tf.Tensor {
  return tf.transpose(tf.reshape(x, [batch, length, count, x.shape[1]! / count]), [0, 2, 1, 3])
}

/** Rows of queries that are computed together: each block leaves out the keys that lie ahead of all of it. */
const ATTENTION_BLOCK = 128

/** Queries [sets, group, length, size] over keys and values [sets, length, size], each query over the keys up to its own position -> as the queries. */
function attend(queries: tf.Tensor, keys: tf.Tensor, values: tf.Tensor): tf.Tensor {
  const [sets, group, length, size] = queries.shape as [number, number, number, number]
  const scale = 1 / Math.sqrt(size)
  const blocks = Array.from({ length: Math.ceil(length / ATTENTION_BLOCK) }, (_, i) => {
    const start = i * ATTENTION_BLOCK
    const end = Math.min(start + ATTENTION_BLOCK, length)
    return { start, end, rows: end - start }
  })
  // The queries of a group stand below one another, so that its keys and values are used where they lie.
  const rowsOf = (x: tf.Tensor, { start, rows }: { start: number; rows: number }) =>
    tf.reshape(rows === length ? x : tf.slice(x, [0, 0, start, 0], [sets, group, rows, x.shape[3]!]), [sets, group * rows, x.shape[3]!])
  const upTo = (x: tf.Tensor, end: number) => (end === length ? x : tf.slice(x, [0, 0, 0], [sets, end, size]))
  const whole = (parts: tf.Tensor[]) =>
    parts.length === 1
      ? tf.reshape(parts[0]!, [sets, group, length, size])
      : tf.concat(
          parts.map((part, i) => tf.reshape(part, [sets, group, blocks[i]!.rows, size])),
          2
        )
  // Sums of gradients of which each reaches from the first key to the last that its block sees.
  const summed = (parts: tf.Tensor[]) =>
    parts
      .map(part =>
        part.shape[1] === length
          ? part
          : tf.pad(part, [
              [0, 0],
              [0, length - part.shape[1]!],
              [0, 0]
            ])
      )
      .reduce((sum, part) => tf.add(sum, part))
  return tf.customGrad((...given) => {
    const [q, k, v] = given as unknown as [tf.Tensor, tf.Tensor, tf.Tensor]
    const save = given[3] as unknown as tf.GradSaveFunc
    const weights = blocks.map(block => {
      const scores = tf.mul(tf.matMul(rowsOf(q, block), upTo(k, block.end), false, true), scale)
      return tf.softmax(tf.add(scores, causalMask(block, group)))
    })
    const value = whole(blocks.map((block, i) => tf.matMul(weights[i]!, upTo(v, block.end))))
    save([q, k, v, value, ...weights])
    return {
      value,
      gradFunc: (dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => {
        const [savedQ, savedK, savedV, savedValue, ...savedWeights] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, ...tf.Tensor[]]
        const dValue = dy as tf.Tensor
        // The softmax's sum over keys is one over the value's numbers: sum_k P dP = sum_k P (dO . v_k) = dO . O.
        const along = tf.sum(tf.mul(dValue, savedValue), -1, true)
        const parts = blocks.map((block, i) => {
          const p = savedWeights[i]!
          const dRows = rowsOf(dValue, block)
          const dWeights = tf.matMul(dRows, upTo(savedV, block.end), false, true)
          const dScores = tf.mul(p, tf.sub(dWeights, rowsOf(along, block)))
          return {
            q: tf.mul(tf.matMul(dScores, upTo(savedK, block.end)), scale),
            k: tf.mul(tf.matMul(dScores, rowsOf(savedQ, block), true), scale),
            v: tf.matMul(p, dRows, true)
          }
        })
        return [whole(parts.map(part => part.q)), summed(parts.map(part => part.k)), summed(parts.map(part => part.v))]
      }
    }
  })(queries, keys, values)
}

/** What is added to scores [group * rows, end] of queries from `start` to `end`. */
function causalMask({ start, end, rows }: { start: number; end: number; rows: number }, group: number): tf.Tensor {
  const values = new Float32Array(group * rows * end)
  for (let row = 0; row < group * rows; row++) values.fill(MASKED, row * end + start + (row % rows) + 1, (row + 1) * end)
  return tf.tensor(values, [group * rows, end])
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
