// Body indexes come from strangers: whatever the bytes, a decoder gives what an encoder would have written, or a ProtocolError.
import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import fc from 'fast-check'
import { decodeBodyRoot, decodeStageIndex, encodeBody, encodeBodyRoot, encodeStageIndex } from '../../protocols/bodies/index.ts'
import { ProtocolError } from '../../protocols/errors.ts'

const { root, blocks } = encodeBody([
  { name: 'embedding', tensors: [{ name: 'wte', shape: [2, 3], bytes: new Uint8Array(6) }] },
  { name: 'head', tensors: [{ name: 'ln_f', shape: [1_100_000], bytes: new Uint8Array(1_100_000).fill(1) }] }
])
const rootBytes = blocks.find(block => block.cid === root)!.bytes
const stageBytes = blocks.at(-2)!.bytes

function checkDecoders(bytes: Uint8Array): void {
  for (const again of [() => encodeBodyRoot(decodeBodyRoot(bytes)).bytes, () => encodeStageIndex(decodeStageIndex(bytes)).bytes]) {
    try {
      decodeBodyRoot(again())
    } catch (error) {
      assert.ok(error instanceof ProtocolError, `not a ProtocolError: ${error}`)
    }
  }
}

describe('decoders of body indexes', () => {
  it('throw nothing but ProtocolError on changed bytes', () => {
    for (const original of [rootBytes, stageBytes])
      fc.assert(
        fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }), fc.nat(40), (changes, cut) => {
          const bytes = new Uint8Array(original.subarray(0, original.length - (cut > 30 ? cut - 30 : 0)))
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte
          checkDecoders(bytes)
        }),
        { numRuns: 500 }
      )
  })

  it('throw nothing but ProtocolError on any value', () => {
    const value = fc.object({ key: fc.constantFrom('v', 'stages', 'tensors', 'name', 'index', 'shape', 'size', 'chunks'), maxDepth: 4 })
    fc.assert(
      fc.property(value, fields => {
        let bytes: Uint8Array
        try {
          bytes = dagCbor.encode({ ...fields, v: 1 })
        } catch {
          return // dag-cbor has no word for it.
        }
        checkDecoders(bytes)
      }),
      { numRuns: 500 }
    )
  })

  it('throw nothing but ProtocolError on any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), checkDecoders), { numRuns: 500 })
  })
})
