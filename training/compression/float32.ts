// Codec `f32`: the values as they are. Anchors are written this way too.
// Bytes: IEEE binary32, little-endian, 4 for each value.
import type { Codec } from './codec.ts'
import { checkCount, checkSize, countOf, nonFinite, viewOf } from './counting.ts'

export const float32Codec: Codec = {
  name: 'f32',
  lossless: true,
  blockValues: 1,
  maxBytes: count => 4 * count,
  encode(values, shape) {
    checkCount(values, shape)
    const bytes = new Uint8Array(4 * values.length)
    const bad = writeFloats(values, viewOf(bytes))
    if (bad >= 0) throw nonFinite('encode as f32', bad)
    return bytes
  },
  decode(bytes, shape) {
    const values = new Float32Array(countOf(shape))
    checkSize('f32', bytes, 4 * values.length)
    const bad = readFloats(viewOf(bytes), values)
    if (bad >= 0) throw nonFinite('decode f32', bad)
    return values
  }
}

/** Index of the last value that is not finite, or -1. */
function writeFloats(values: Float32Array, view: DataView): number {
  let bad = -1
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    if (value - value !== 0) bad = i
    view.setFloat32(4 * i, value, true)
  }
  return bad
}

function readFloats(view: DataView, values: Float32Array): number {
  let bad = -1
  for (let i = 0; i < values.length; i++) {
    const value = view.getFloat32(4 * i, true)
    if (value - value !== 0) bad = i
    values[i] = value
  }
  return bad
}
