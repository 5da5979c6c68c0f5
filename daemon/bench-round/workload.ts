// Made-up tensors for the benchmark: the same on every process from a seed, so that nobody has to be sent the right answer.
import type { StageNames } from '../arithmetic/arithmetic.ts'

interface NamedTensor {
  name: string
  shape: number[]
  values: Float32Array
}

/** Values of one tensor: 1 MiB of f32, a block's worth. */
const TENSOR_VALUES = 262_144
const TENSORS_PER_STAGE = 4
/** Spread of parameters and of pseudo-gradients, about what a small GPT has. */
const PARAMETER_SPREAD = 0.05
const DELTA_SPREAD = 0.01

/** Stages and tensor names of a model with so many values. */
export function stagesOf(values: number): StageNames[] {
  const names = sizes(values).map((_, i) => `tensor.${i}`)
  const stages: StageNames[] = []
  for (let i = 0; i < names.length; i += TENSORS_PER_STAGE) {
    stages.push({ name: `block.${stages.length}`, tensors: names.slice(i, i + TENSORS_PER_STAGE) })
  }
  return stages
}

/** The anchor that everybody starts from. */
export function startTensors(values: number): NamedTensor[] {
  return tensors(values, 1, PARAMETER_SPREAD)
}

/** What peer `index` found in `round`. */
export function deltaTensors(values: number, index: number, round: number): NamedTensor[] {
  return tensors(values, 2 + index + 1000 * round, DELTA_SPREAD)
}

/** The largest distance of an anchor from start - mean of all deltas, computed in f64 with nothing compressed. */
export function maxAbsError(anchor: NamedTensor[], values: number, peers: number, round: number): number {
  const start = startTensors(values)
  const sums = start.map(tensor => new Float64Array(tensor.values.length))
  for (let peer = 0; peer < peers; peer++) {
    for (const [t, { values: delta }] of deltaTensors(values, peer, round).entries()) {
      const sum = sums[t]!
      for (let i = 0; i < delta.length; i++) sum[i] = sum[i]! + delta[i]!
    }
  }
  const got = new Map(anchor.map(tensor => [tensor.name, tensor.values]))
  let largest = 0
  for (const [t, { name, values: from }] of start.entries()) {
    const found = got.get(name)
    if (found === undefined || found.length !== from.length) return Number.POSITIVE_INFINITY
    const sum = sums[t]!
    for (let i = 0; i < from.length; i++) largest = Math.max(largest, Math.abs(found[i]! - (from[i]! - sum[i]! / peers)))
  }
  return largest
}

function sizes(values: number): number[] {
  const whole = Math.floor(values / TENSOR_VALUES)
  const rest = values % TENSOR_VALUES
  return [...Array<number>(whole).fill(TENSOR_VALUES), ...(rest > 0 ? [rest] : [])]
}

function tensors(values: number, seed: number, spread: number): NamedTensor[] {
  const random = uniform(seed)
  return sizes(values).map((size, i) => {
    const made = new Float32Array(size)
    // Three uniforms make a bell that is good enough to compress.
    for (let j = 0; j < size; j++) made[j] = spread * (random() + random() + random())
    return { name: `tensor.${i}`, shape: size === TENSOR_VALUES ? [512, 512] : [size], values: made }
  })
}

/** Seeded numbers from -1 to 1 (mulberry32). */
function uniform(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x8000_0000 - 1
  }
}
