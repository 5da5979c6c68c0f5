// The laws of every codec, run by each of them.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type Codec, createCodec, encodeDelta } from '../../training/compression/index.ts'
import { TrainingError } from '../../training/errors.ts'

const NAMES = ['f32', 'f16', 'int8', 'int8/16', 'topk', 'topk/0.1/64/f32', 'topk/0.25/16/int8', 'topk/1/32/f16']
const RUNS = { numRuns: 60 }

/** Values as training makes them, with zeros, repeats and extremes among them; magnitudes that every codec represents. */
const floats = (max = 65_504): fc.Arbitrary<Float32Array> =>
  fc
    .array(
      fc.oneof(
        { weight: 6, arbitrary: fc.double({ min: -1, max: 1, noNaN: true }) },
        { weight: 2, arbitrary: fc.double({ min: -max, max, noNaN: true }) },
        { weight: 1, arbitrary: fc.constantFrom(0, -0, 0.5, -0.5, 1.4e-45, -1e-40, 2 ** -24, 2 ** -25, 3e-8) }
      ),
      { maxLength: 700 }
    )
    .map(values => Float32Array.from(values))

const bits = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

/** Decodes; any error but TrainingError fails the law. */
function decodeOrRefuse(codec: Codec, bytes: Uint8Array, count: number): Float32Array | null {
  try {
    return codec.decode(bytes, [count])
  } catch (error) {
    assert.ok(error instanceof TrainingError, `not a TrainingError: ${error}`)
    return null
  }
}

for (const name of NAMES) {
  describe(`codec ${name}`, () => {
    const codec = createCodec(name)

    it('gives no memory to a shape whose bytes are not there', () => {
      const before = process.memoryUsage().arrayBuffers
      for (let i = 0; i < 20; i++) assert.throws(() => codec.decode(new Uint8Array(8), [2 ** 14, 2 ** 14]), { code: 'bad_codec_bytes' })
      assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 28)
    })

    it('has the name that makes it', () => assert.equal(codec.name, name))

    it('writes exactly maxBytes and the same bytes again', () => {
      fc.assert(
        fc.property(floats(), values => {
          const bytes = codec.encode(values, [values.length])
          assert.equal(bytes.byteLength, codec.maxBytes(values.length))
          assert.deepEqual(codec.encode(values.slice(), [values.length]), bytes)
        }),
        RUNS
      )
    })

    it('conserves: sent + residual is what was to be sent, exactly', () => {
      fc.assert(
        fc.property(floats(), values => {
          const delta = { name: 't', shape: [values.length], values }
          const first = encodeDelta(codec, delta, null)
          const second = encodeDelta(codec, delta, first.residual)
          for (let i = 0; i < values.length; i++) {
            const carried = Math.fround((first.residual?.[i] ?? 0) + values[i]!)
            if (first.residual !== null) assert.equal(values[i]! - first.sent[i]!, first.residual[i])
            else assert.equal(first.sent[i], values[i])
            if (second.residual !== null) assert.equal(carried - second.sent[i]!, second.residual[i])
          }
        }),
        RUNS
      )
    })

    it('never sends a value farther than it is from zero by more than itself', () => {
      fc.assert(
        fc.property(floats(), values => {
          const sent = codec.decode(codec.encode(values, [values.length]), [values.length])
          for (let i = 0; i < values.length; i++) assert.ok(Math.abs(values[i]! - sent[i]!) <= Math.abs(values[i]!))
        }),
        RUNS
      )
    })

    it('decodes any run of whole blocks alone', () => {
      fc.assert(
        fc.property(floats(), fc.nat(20), (values, cut) => {
          const bytes = codec.encode(values, [values.length])
          const at = Math.min(cut * codec.blockValues, values.length - (values.length % codec.blockValues))
          const whole = codec.decode(bytes, [values.length])
          const head = codec.decode(bytes.subarray(0, codec.maxBytes(at)), [at])
          const tail = codec.decode(bytes.subarray(codec.maxBytes(at)), [values.length - at])
          assert.deepEqual(bits(head), bits(whole.slice(0, at)))
          assert.deepEqual(bits(tail), bits(whole.slice(at)))
        }),
        RUNS
      )
    })

    it('throws nothing but TrainingError on changed bytes, and gives finite values', () => {
      fc.assert(
        fc.property(floats(), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }), (values, changes) => {
          const bytes = codec.encode(values, [values.length])
          for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte
          const decoded = decodeOrRefuse(codec, bytes, values.length)
          if (decoded !== null) assert.ok(decoded.every(Number.isFinite))
        }),
        { numRuns: 300 }
      )
    })

    it('throws nothing but TrainingError on any bytes at all', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, count) => {
          const decoded = decodeOrRefuse(codec, bytes, count)
          if (decoded !== null) assert.ok(decoded.every(Number.isFinite))
        }),
        { numRuns: 300 }
      )
    })

    it('refuses bytes too few or too many', () => {
      const bytes = codec.encode(new Float32Array(100).fill(0.5), [10, 10])
      for (const wrong of [bytes.subarray(1), new Uint8Array(bytes.length + 1), new Uint8Array(0)])
        assert.throws(() => codec.decode(wrong, [10, 10]), { code: 'bad_codec_bytes' })
    })

    it('refuses values that are not finite and shapes that are not theirs', () => {
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        const values = new Float32Array(100).fill(1)
        values[57] = bad
        assert.throws(() => codec.encode(values, [100]), { code: 'non_finite' })
      }
      assert.throws(() => codec.encode(new Float32Array(3), [2, 2]), { code: 'shape_mismatch' })
      for (const shape of [[-1], [0.5], [2 ** 31, 2 ** 31]])
        assert.throws(() => codec.decode(new Uint8Array(4), shape), { code: 'shape_mismatch' })
    })

    it('takes views at any offset', () => {
      const buffer = new Uint8Array(codec.maxBytes(100) + 3)
      const values = Float32Array.from({ length: 101 }, (_, i) => i / 7).subarray(1)
      const bytes = codec.encode(values, [100])
      buffer.set(bytes, 3)
      assert.deepEqual(codec.decode(buffer.subarray(3), [100]), codec.decode(bytes, [100]))
    })
  })
}
