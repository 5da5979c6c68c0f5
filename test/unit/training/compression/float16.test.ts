import assert from 'node:assert/strict'
import { createCodec } from '../../../../training/compression/create-codec.ts'
import { halfBits, halfValue, isFiniteHalf } from '../../../../training/compression/float16.ts'

const bitsOf = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0]!

describe('float16', () => {
  it('gives every finite half back', () => {
    for (let half = 0; half < 65_536; half++) if (isFiniteHalf(half)) assert.equal(halfBits(bitsOf(halfValue(half))), half)
  })

  it('rounds halfway cases to even, on both sides of the subnormals', () => {
    for (let half = 0; half < 0x7bff; half++) {
      const middle = (halfValue(half) + halfValue(half + 1)) / 2
      assert.equal(halfBits(bitsOf(middle)), half + (half & 1))
      assert.equal(halfBits(bitsOf(middle) - 1), half)
      assert.equal(halfBits(bitsOf(middle) + 1), half + 1)
    }
  })

  it('knows the textbook values', () => {
    const known: [number, number][] = [
      [1, 0x3c00],
      [-2, 0xc000],
      [65504, 0x7bff],
      [0.333251953125, 0x3555],
      [2 ** -14, 0x0400],
      [2 ** -24, 1],
      [-0, 0x8000]
    ]
    for (const [value, half] of known) assert.equal(halfBits(bitsOf(value)), half)
  })

  it('saturates instead of overflowing', () => {
    const sent = createCodec('f16').decode(createCodec('f16').encode(Float32Array.of(65_519, 65_520, -1e30), [3]), [3])
    assert.deepEqual([...sent], [65_504, 65_504, -65_504])
  })
})
