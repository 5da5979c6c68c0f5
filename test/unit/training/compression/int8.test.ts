import assert from 'node:assert/strict'
import { createCodec } from '../../../../training/compression/create-codec.ts'

const codec = createCodec('int8/16')

describe('int8', () => {
  it('errs by at most half a scale in each block', () => {
    const values = Float32Array.from({ length: 1000 }, (_, i) => ((i * 7919) % 1009) / 1009 - 0.5)
    const sent = codec.decode(codec.encode(values, [1000]), [1000])
    for (let start = 0; start < 1000; start += 16) {
      const block = values.subarray(start, start + 16)
      const scale = Math.max(...block.map(Math.abs)) / 127
      for (const [i, value] of block.entries()) assert.ok(Math.abs(value - sent[start + i]!) <= scale * 0.5000001)
    }
  })

  it('rounds ties to even and mirrors signs', () => {
    const bytes = codec.encode(Float32Array.of(127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, -127), [8])
    assert.deepEqual([...new Int8Array(bytes.buffer, 4)], [127, 0, 2, 2, 0, -2, -2, -127])
    assert.equal(new DataView(bytes.buffer).getFloat32(0, true), 1)
  })

  it('stays finite at the ends of binary32', () => {
    for (const edge of [3.4028234663852886e38, 1.401298464324817e-45, 2 ** -118, 2 ** -119]) {
      const sent = codec.decode(codec.encode(Float32Array.of(edge, -edge), [2]), [2])
      assert.ok(sent.every(value => Number.isFinite(value) && Math.abs(value) <= edge * 1.0000001))
    }
  })

  it('refuses scales and codes that no encoder writes', () => {
    const spoiled = (change: (view: DataView) => void): Uint8Array => {
      const bytes = codec.encode(Float32Array.of(1, 2, 3), [3])
      change(new DataView(bytes.buffer))
      return bytes
    }
    assert.throws(
      () =>
        codec.decode(
          spoiled(v => v.setFloat32(0, -1, true)),
          [3]
        ),
      { code: 'bad_codec_bytes' }
    )
    assert.throws(
      () =>
        codec.decode(
          spoiled(v => v.setFloat32(0, 3e36, true)),
          [3]
        ),
      { code: 'bad_codec_bytes' }
    )
    assert.throws(
      () =>
        codec.decode(
          spoiled(v => v.setFloat32(0, Number.NaN, true)),
          [3]
        ),
      { code: 'non_finite' }
    )
    assert.throws(
      () =>
        codec.decode(
          spoiled(v => v.setInt8(5, -128)),
          [3]
        ),
      { code: 'bad_codec_bytes' }
    )
  })
})
