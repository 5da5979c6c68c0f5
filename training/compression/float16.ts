// Codec `f16`: IEEE binary16, little-endian, 2 bytes for each value; rounded to nearest, ties to even.
// Magnitudes from 65520 on, which would round to infinity, become 65504: a codec never makes a number into none.
import type { Codec } from './codec.ts'
import { checkCount, nonFinite, valuesFor, viewOf } from './counting.ts'

export const float16Codec: Codec = {
  name: 'f16',
  lossless: false,
  blockValues: 1,
  maxBytes: count => 2 * count,
  encode(values, shape) {
    checkCount(values, shape)
    const bytes = new Uint8Array(2 * values.length)
    const bad = writeHalves(new Uint32Array(values.buffer, values.byteOffset, values.length), viewOf(bytes))
    if (bad >= 0) throw nonFinite('encode as f16', bad)
    return bytes
  },
  decode(bytes, shape) {
    const values = valuesFor('f16', bytes, shape, count => 2 * count)
    const bad = readHalves(viewOf(bytes), values)
    if (bad >= 0) throw nonFinite('decode f16', bad)
    return values
  }
}

/** Bits of a finite binary32 to those of the nearest binary16. */
export function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude >= 0x477ff000) return sign | 0x7bff
  if (magnitude >= 0x38800000) return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
  // Below 2^-14 halves are multiples of 2^-24; at 2^-25 the tie goes to zero.
  if (magnitude <= 0x33000000) return sign
  const shift = 126 - (magnitude >>> 23)
  const significand = (magnitude & 0x7fffff) | 0x800000
  return sign | ((significand + (1 << (shift - 1)) - 1 + ((significand >>> shift) & 1)) >>> shift)
}

/** Value of the finite binary16 with these bits. */
export function halfValue(half: number): number {
  const exponent = (half >>> 10) & 31
  const fraction = half & 0x3ff
  // A power of two from a shift: exact, and no function whose last bit could differ between engines.
  const magnitude = exponent === 0 ? fraction / 16_777_216 : ((1024 + fraction) * (1 << exponent)) / 33_554_432
  return half & 0x8000 ? -magnitude : magnitude
}

export function isFiniteHalf(half: number): boolean {
  return (half & 0x7c00) !== 0x7c00
}

function writeHalves(bits: Uint32Array, view: DataView): number {
  let bad = -1
  for (let i = 0; i < bits.length; i++) {
    const value = bits[i]!
    if ((value & 0x7fffffff) >= 0x7f800000) bad = i
    view.setUint16(2 * i, halfBits(value), true)
  }
  return bad
}

function readHalves(view: DataView, values: Float32Array): number {
  let bad = -1
  for (let i = 0; i < values.length; i++) {
    const half = view.getUint16(2 * i, true)
    if (!isFiniteHalf(half)) bad = i
    values[i] = halfValue(half)
  }
  return bad
}
