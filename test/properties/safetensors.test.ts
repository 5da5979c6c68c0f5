// Laws of safetensors: what is written is read, and no bytes whatever make the reader fail with anything but its own error.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { encodeSafetensors, readSafetensors, StorageError, type StoredTensor } from '../../storage/index.ts'
import { DTYPE_BYTES, type Dtype, tensorBytes } from '../../storage/tensors.ts'

const anyTensor = fc
  .record({
    name: fc.oneof(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
      fc.constantFrom('0', '10', '__proto__', 'constructor', 'a"b\\', 'é\n')
    ),
    dtype: fc.constantFrom(...(Object.keys(DTYPE_BYTES) as Dtype[])),
    shape: fc.array(fc.nat(4), { maxLength: 4 })
  })
  .chain(info =>
    fc
      .uint8Array({ minLength: tensorBytes(info.dtype, info.shape)!, maxLength: tensorBytes(info.dtype, info.shape)! })
      .map(bytes => ({ ...info, bytes }))
  )
const anyTensors: fc.Arbitrary<StoredTensor[]> = fc.uniqueArray(anyTensor, { selector: ({ name }) => name, maxLength: 6 })
const anyMetadata = fc.dictionary(fc.string({ maxLength: 10 }), fc.string({ maxLength: 10 }), { maxKeys: 3 })

const byName = (tensors: StoredTensor[]) => new Map(tensors.map(tensor => [tensor.name, tensor]))

function readsOrRefuses(bytes: Uint8Array): void {
  try {
    readSafetensors(bytes)
  } catch (error) {
    assert.ok(error instanceof StorageError, `${error}`)
  }
}

describe('laws of safetensors', () => {
  it('reading gives back what was written', () => {
    fc.assert(
      fc.property(anyTensors, anyMetadata, (tensors, metadata) => {
        const read = readSafetensors(encodeSafetensors(tensors, metadata))
        assert.deepEqual(byName(read.tensors), byName(tensors))
        assert.deepEqual({ ...read.metadata }, { ...metadata })
      })
    )
  })

  it('writing what was read gives the same bytes, once the order is settled', () => {
    fc.assert(
      fc.property(anyTensors, tensors => {
        const settled = readSafetensors(encodeSafetensors(tensors)).tensors
        const bytes = encodeSafetensors(settled)
        // Empty tensors share one place, so that their order is the header's; an integer-like name moves to the front of it.
        if (settled.every(tensor => tensor.bytes.byteLength > 0)) assert.deepEqual(encodeSafetensors(readSafetensors(bytes).tensors), bytes)
      })
    )
  })

  it('every truncation and every extension is refused', () => {
    fc.assert(
      fc.property(anyTensors, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (tensors, part) => {
        const bytes = encodeSafetensors(tensors)
        assert.throws(() => readSafetensors(bytes.subarray(0, Math.floor(part * bytes.byteLength))), StorageError)
        const longer = new Uint8Array(bytes.byteLength + 1)
        longer.set(bytes)
        assert.throws(() => readSafetensors(longer), StorageError)
      })
    )
  })

  it('no mutation fails with anything but a StorageError', () => {
    const anyMutation = fc.array(fc.tuple(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.nat(255)), {
      minLength: 1,
      maxLength: 4
    })
    fc.assert(
      fc.property(anyTensors, anyMutation, (tensors, mutation) => {
        const bytes = encodeSafetensors(tensors)
        for (const [place, byte] of mutation) bytes[Math.floor(place * bytes.byteLength)] = byte
        readsOrRefuses(bytes)
      }),
      { numRuns: 500 }
    )
  })

  it('no header fails with anything but a StorageError', () => {
    const anyInfo = fc.record(
      {
        dtype: fc.oneof(fc.constantFrom('F32', 'U8', 'X'), fc.jsonValue()),
        shape: fc.oneof(fc.array(fc.nat(4)), fc.jsonValue()),
        data_offsets: fc.oneof(fc.tuple(fc.nat(20), fc.nat(20)), fc.jsonValue())
      },
      { requiredKeys: [] }
    )
    const anyHeader = fc.oneof(
      fc.dictionary(fc.string({ maxLength: 3 }), anyInfo),
      fc.record({ __metadata__: fc.jsonValue(), a: anyInfo }),
      fc.jsonValue()
    )
    fc.assert(
      fc.property(anyHeader, fc.nat(20), (header, dataBytes) => {
        const json = Buffer.from(JSON.stringify(header))
        const bytes = Buffer.alloc(8 + json.byteLength + dataBytes)
        bytes.writeBigUInt64LE(BigInt(json.byteLength))
        json.copy(bytes, 8)
        readsOrRefuses(bytes)
      }),
      { numRuns: 500 }
    )
  })

  it('no bytes at all fail with anything but a StorageError', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), readsOrRefuses))
  })
})
