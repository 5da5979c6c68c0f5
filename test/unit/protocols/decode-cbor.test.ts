import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { decodeCbor } from '../../../protocols/decode-cbor.ts'

/** `levels` lists around a number. */
const nested = (levels: number): Uint8Array => Uint8Array.from([...new Array<number>(levels).fill(0x81), 0x00])

describe('decodeCbor()', () => {
  it('decodes what dag-cbor writes, whatever stands beside it', () => {
    for (const value of [0, -1, 1.5, 'x'.repeat(300), new Uint8Array(70), [], {}, [[], [[1]], {}], { a: { b: [null, true] }, c: ['x'] }]) {
      assert.deepEqual(decodeCbor('it', dagCbor.encode(value)), value)
    }
    decodeCbor('it', nested(16))
    decodeCbor('it', dagCbor.encode(new Array(500).fill([[[[]]]])))
  })

  it('refuses what nests deeper than a message before it is decoded', () => {
    for (const levels of [17, 2_000, 200_000])
      assert.throws(() => decodeCbor('it', nested(levels)), { code: 'bad_message', message: /levels/ })
    const startedMs = performance.now()
    // A list of 130 deep ones: encoding it again took seconds.
    const deep = Buffer.concat([Uint8Array.from([0x98, 130]), ...new Array<Uint8Array>(130).fill(nested(2_000))])
    assert.throws(() => decodeCbor('it', deep), { code: 'bad_message' })
    assert.ok(performance.now() - startedMs < 3_000)
  })

  it('refuses a minus zero, which would be written as another value', () => {
    const minusZero = Uint8Array.from([0x81, 0xfb, 0x80, 0, 0, 0, 0, 0, 0, 0])
    assert.throws(() => decodeCbor('it', minusZero), { code: 'bad_message', message: /minus zero/ })
    assert.deepEqual(decodeCbor('it', dagCbor.encode([-0])), [0])
    assert.deepEqual(decodeCbor('it', dagCbor.encode([-2])), [-2])
  })

  it('refuses what is not dag-cbor', () => {
    for (const bytes of [[], [0x82, 0x01], [0x9f, 0xff], [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [0x01, 0x01]])
      assert.throws(() => decodeCbor('it', Uint8Array.from(bytes)), { code: 'bad_message' })
  })
})
