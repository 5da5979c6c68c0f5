// Sizes that every codec checks in the same words.
import { TrainingError } from '../errors.ts'
import { VALUES_MAX } from './constants.ts'

/** Number of values in a shape; [] is one value. @throws TrainingError shape_mismatch */
export function countOf(shape: readonly number[]): number {
  let count = 1
  for (const size of shape) {
    if (!Number.isInteger(size) || size < 0)
      throw new TrainingError('shape_mismatch', `cannot use the shape [${shape}]: sizes are whole numbers`)
    count *= size
  }
  if (count > VALUES_MAX) throw new TrainingError('shape_mismatch', `cannot code ${count} values at once: at most ${VALUES_MAX}`)
  return count
}

/** @throws TrainingError shape_mismatch */
export function checkCount(values: Float32Array, shape: readonly number[]): void {
  const count = countOf(shape)
  if (values.length !== count)
    throw new TrainingError('shape_mismatch', `cannot encode ${values.length} values as [${shape}]: ${count} are needed`)
}

/**
 * Room for the values of a shape, once its bytes are there: what a stranger says of a shape costs no memory before that.
 *
 * @throws TrainingError bad_codec_bytes, shape_mismatch
 */
export function valuesFor(codec: string, bytes: Uint8Array, shape: readonly number[], bytesOf: (count: number) => number): Float32Array {
  const count = countOf(shape)
  const expected = bytesOf(count)
  if (bytes.byteLength !== expected)
    throw new TrainingError('bad_codec_bytes', `cannot decode ${bytes.byteLength} bytes as ${codec}: ${expected} are needed`)
  return new Float32Array(count)
}

/** The error of a value that is no number. */
export function nonFinite(action: string, index: number): TrainingError {
  return new TrainingError('non_finite', `cannot ${action}: value ${index} is not finite`, { details: { index } })
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
