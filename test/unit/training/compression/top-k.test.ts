import assert from 'node:assert/strict'
import fc from 'fast-check'
import { createCodec } from '../../../../training/compression/create-codec.ts'

describe('topk', () => {
  it('keeps the k largest of each block, of equals the lower index', () => {
    const codec = createCodec('topk/0.25/32/f32')
    const value = fc.oneof(fc.constantFrom(0, -0, 1, -1, 0.5), fc.double({ min: -2, max: 2, noNaN: true }))
    fc.assert(
      fc.property(fc.array(value, { maxLength: 100 }), list => {
        const values = Float32Array.from(list)
        const want = new Float32Array(values.length)
        for (let start = 0; start < values.length; start += 32) {
          const block = [...values.subarray(start, start + 32)]
          const order = block.map((_, i) => i).sort((a, b) => Math.abs(block[b]!) - Math.abs(block[a]!) || a - b)
          for (const i of order.slice(0, Math.ceil(block.length / 4))) want[start + i] = block[i]!
        }
        assert.deepEqual(codec.decode(codec.encode(values, [values.length]), [values.length]), want)
      })
    )
  })

  it('refuses indices that do not increase or leave the block', () => {
    const codec = createCodec('topk/0.25/16/f32')
    const good = codec.encode(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), [8])
    for (const [first, second] of [
      [5, 5],
      [6, 5],
      [5, 8],
      [5, 300]
    ]) {
      const bytes = good.slice()
      new DataView(bytes.buffer).setUint16(0, first!, true)
      new DataView(bytes.buffer).setUint16(2, second!, true)
      assert.throws(() => codec.decode(bytes, [8]), { code: 'bad_codec_bytes' })
    }
  })

  it('sends everything in time: a constant delta is carried until it is its turn', () => {
    const codec = createCodec('topk/0.0625/16/f32')
    const values = Float32Array.from({ length: 16 }, (_, i) => (i + 1) / 16)
    let residual = new Float32Array(16)
    const total = new Float64Array(16)
    const ROUNDS = 400
    for (let round = 0; round < ROUNDS; round++) {
      const carried = residual.map((r, i) => r + values[i]!)
      const sent = codec.decode(codec.encode(carried, [16]), [16])
      for (let i = 0; i < 16; i++) total[i]! += sent[i]!
      residual = carried.map((c, i) => c - sent[i]!)
    }
    for (const [i, sum] of total.entries()) assert.ok(Math.abs(sum / ROUNDS - values[i]!) < 0.05)
  })
})
