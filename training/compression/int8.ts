// Codec `int8`: blocks of values that share one scale, each value a whole number of scales.
// Bytes of a block: scale, binary32 little-endian; then one signed byte for each value, from -127 to 127. The last block may be short.
// scale = largest magnitude / 127, rounded to binary32; a code is value / scale to nearest, ties to even; a value is code x scale, rounded to binary32.
import { TrainingError } from '../errors.ts'
import type { Codec } from './codec.ts'
import { INT8_BLOCK_VALUES } from './constants.ts'
import { checkCount, nonFinite, valuesFor, viewOf } from './counting.ts'

const SCALE_BYTES = 4
/** The largest scale of which 127 are still finite in binary32. */
const SCALE_MAX = Math.fround(2.6793883890187504e36)
/** Blocks below this are sent as zeros (the residual keeps them): their scale would be subnormal and a code could pass 127. */
const MAGNITUDE_MIN = 2 ** -118
/** Adding and taking away 1.5 x 2^52 rounds a small f64 to a whole number, ties to even, in two additions. */
const ROUNDER = 6_755_399_441_055_744

export function createInt8Codec(blockValues: number): Codec {
  const name = blockValues === INT8_BLOCK_VALUES ? 'int8' : `int8/${blockValues}`
  const maxBytes = (count: number): number => count + SCALE_BYTES * Math.ceil(count / blockValues)
  return {
    name,
    lossless: false,
    blockValues,
    maxBytes,
    encode(values, shape) {
      checkCount(values, shape)
      const bytes = new Uint8Array(maxBytes(values.length))
      writeBlocks(values, blockValues, new Int8Array(bytes.buffer), viewOf(bytes))
      return bytes
    },
    decode(bytes, shape) {
      const values = valuesFor(name, bytes, shape, maxBytes)
      readBlocks(new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), viewOf(bytes), blockValues, values)
      return values
    }
  }
}

function writeBlocks(values: Float32Array, blockValues: number, codes: Int8Array, view: DataView): void {
  for (let start = 0, at = 0; start < values.length; start += blockValues, at += SCALE_BYTES + blockValues) {
    const end = Math.min(start + blockValues, values.length)
    const scale = scaleFor(largestMagnitude(values, start, end))
    if (scale < 0) throw nonFinite('encode as int8', start)
    view.setFloat32(at, scale, true)
    if (scale > 0) writeCodes(values, start, end, 1 / scale, codes, at + SCALE_BYTES)
  }
}

/** One function with both loops: twice as fast as a call for each block. */
function readBlocks(codes: Int8Array, view: DataView, blockValues: number, values: Float32Array): void {
  for (let start = 0, at = 0; start < values.length; start += blockValues, at += SCALE_BYTES + blockValues) {
    const scale = view.getFloat32(at, true)
    if (!(scale >= 0 && scale <= SCALE_MAX)) throw badScale(scale, start)
    const end = Math.min(start + blockValues, values.length)
    const shift = at + SCALE_BYTES - start
    // Negative as soon as one code is -128, the only one below -127.
    let signs = 0
    for (let i = start; i < end; i++) {
      const code = codes[i + shift]!
      signs |= code + 127
      values[i] = code * scale
    }
    if (signs < 0) throw new TrainingError('bad_codec_bytes', `cannot decode int8: the block at value ${start} has the code -128`)
  }
}

/** The scale of a block whose largest magnitude is this one; -1 where it is not finite. */
function scaleFor(magnitude: number): number {
  if (!Number.isFinite(magnitude)) return -1
  if (magnitude < MAGNITUDE_MIN) return 0
  return Math.min(Math.fround(magnitude / 127), SCALE_MAX)
}

/** Largest magnitude in values[start, end), Infinity where one is not finite. */
function largestMagnitude(values: Float32Array, start: number, end: number): number {
  let largest = 0
  for (let i = start; i < end; i++) {
    const magnitude = Math.abs(values[i]!)
    // Written so that NaN passes: no comparison with it holds.
    if (!(magnitude <= largest)) {
      if (!(magnitude < Number.POSITIVE_INFINITY)) return Number.POSITIVE_INFINITY
      largest = magnitude
    }
  }
  return largest
}

function writeCodes(values: Float32Array, start: number, end: number, inverse: number, codes: Int8Array, at: number): void {
  for (let i = start; i < end; i++) codes[at++] = values[i]! * inverse + ROUNDER - ROUNDER
}

function badScale(scale: number, index: number): TrainingError {
  if (scale - scale !== 0) return nonFinite('decode a scale of int8', index)
  return new TrainingError('bad_codec_bytes', `cannot decode int8: the scale ${scale} at value ${index} is not from 0 to ${SCALE_MAX}`)
}
