// Error feedback: what a codec leaves out of one contribution is carried into the next.
import { TrainingError } from '../errors.ts'
import type { Codec } from './codec.ts'

/** A tensor as training sees it: values in row-major order. */
export interface NamedTensor {
  name: string
  shape: number[]
  values: Float32Array
}

export interface EncodedDelta {
  bytes: Uint8Array
  /** c - sent, where c = residual + delta; null where the codec loses nothing. */
  residual: Float32Array | null
  /** What every other node will decode. */
  sent: Float32Array
}

/**
 * Encodes c = residual + delta (rounded once to f32). Nothing is lost: sent + residual is c exactly, in real numbers, except for f16 of magnitudes
 * above 131008, where the sum rounds to c.
 * @throws TrainingError non_finite, shape_mismatch
 */
export function encodeDelta(codec: Codec, delta: NamedTensor, residual: Float32Array | null): EncodedDelta {
  if (residual !== null && residual.length !== delta.values.length)
    throw new TrainingError(
      'shape_mismatch',
      `cannot add a residual of ${residual.length} values to ${delta.name} of ${delta.values.length}`
    )
  const carried = residual === null ? delta.values : sum(residual, delta.values)
  const bytes = codec.encode(carried, delta.shape)
  if (codec.lossless) return { bytes, residual: null, sent: carried }
  const sent = codec.decode(bytes, delta.shape)
  return { bytes, residual: difference(carried, sent), sent }
}

function sum(a: Float32Array, b: Float32Array): Float32Array {
  const result = new Float32Array(a.length)
  for (let i = 0; i < a.length; i++) result[i] = a[i]! + b[i]!
  return result
}

function difference(a: Float32Array, b: Float32Array): Float32Array {
  const result = new Float32Array(a.length)
  for (let i = 0; i < a.length; i++) result[i] = a[i]! - b[i]!
  return result
}
