// Codec `f32`: the values as they are. Anchors are written this way too.
// Bytes: IEEE binary32, little-endian, 4 for each value.
import assert from 'node:assert/strict'
import type { Codec } from './codec.ts'
import { checkCount, nonFinite, valuesFor } from './counting.ts'

// Memory is copied as it is; of the platforms that Node is built for only s390x has the other order.
assert.equal(new Uint8Array(new Uint16Array([1]).buffer)[0], 1, 'Shoal needs a little-endian machine')

export const float32Codec: Codec = {
  name: 'f32',
  lossless: true,
  blockValues: 1,
  maxBytes: count => 4 * count,
  encode(values, shape) {
    checkCount(values, shape)
    if (!allFinite(values)) throw nonFinite('encode as f32', values.findIndex(isNotFinite))
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice()
  },
  decode(bytes, shape) {
    const values = valuesFor('f32', bytes, shape, count => 4 * count)
    new Uint8Array(values.buffer).set(bytes)
    if (!allFinite(values)) throw nonFinite('decode f32', values.findIndex(isNotFinite))
    return values
  }
}

/** Zero times a number is zero; times infinity or NaN it is NaN, and stays so in a sum: no branch for each value. */
function allFinite(values: Float32Array): boolean {
  let zero = 0
  for (let i = 0; i < values.length; i++) zero += values[i]! * 0
  return zero === 0
}

function isNotFinite(value: number): boolean {
  return !Number.isFinite(value)
}
