import assert from 'node:assert/strict'
import fc from 'fast-check'
import { FRAME_BYTES, MAX_BLOCK_BYTES, MAX_WANTS_PER_FRAME } from '../../../../protocols/blocks/constants.ts'
import { AnswerDecoder, AnswerEncoder, decodeRequest, encodeRequest } from '../../../../protocols/blocks/messages.ts'
import { cidOf, cidToBytes, RAW } from '../../../../protocols/cids.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const cid = cidOf(new Uint8Array([1, 2, 3]), RAW)

describe('messages of blocks', () => {
  it('keep their bytes', () => {
    assert.equal(
      hex(encodeRequest({ kind: 'want', cids: [cid] })),
      `01${'01551220'}039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81`
    )
    assert.equal(hex(encodeRequest({ kind: 'credit', bytes: 3_145_728 })), '0200300000')
    const encoder = new AnswerEncoder()
    assert.deepEqual(encoder.add(new Uint8Array([9, 8])), [])
    assert.deepEqual(encoder.add(undefined), [])
    assert.deepEqual(encoder.flush().map(hex), ['00000000020908' + '01'])
  })

  it('read requests back', () => {
    const cids = Array.from({ length: MAX_WANTS_PER_FRAME }, (_, n) => cidOf(new Uint8Array([n]), RAW))
    assert.deepEqual(decodeRequest(encodeRequest({ kind: 'want', cids })), { kind: 'want', cids })
    assert.deepEqual(decodeRequest(encodeRequest({ kind: 'credit', bytes: 77 })), { kind: 'credit', bytes: 77 })
  })

  it('refuse requests that are none', () => {
    const sha512 = cidToBytes(cid).slice()
    sha512[2] = 0x13
    const bad = [
      [],
      [0],
      [1],
      [2, 0],
      [2, 0, 0, 0, 0, 0],
      [1, ...cidToBytes(cid).subarray(1)],
      [1, ...sha512],
      [1, ...Array.from({ length: (MAX_WANTS_PER_FRAME + 1) * 36 }, () => 0)]
    ]
    for (const bytes of bad) assert.throws(() => decodeRequest(new Uint8Array(bytes)), { code: 'bad_message' })
  })

  it('put answers together again, however they are cut', () => {
    const block = fc.oneof(fc.constant(undefined), fc.uint8Array({ maxLength: 40 }), fc.constant(new Uint8Array(FRAME_BYTES + 3).fill(5)))
    fc.assert(
      fc.property(
        fc.array(block, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 50_000 }), { minLength: 1, maxLength: 8 }),
        (blocks, cuts) => {
          const encoder = new AnswerEncoder()
          const frames = blocks.flatMap(bytes => encoder.add(bytes))
          frames.push(...encoder.flush())
          assert.ok(frames.every(({ length }) => length <= FRAME_BYTES))
          assert.ok(frames.slice(0, -1).every(({ length }) => length === FRAME_BYTES))
          const whole = Buffer.concat(frames)
          const decoder = new AnswerDecoder()
          const answers: (Uint8Array | undefined)[] = []
          for (let at = 0, turn = 0; at < whole.length; turn++) {
            const size = cuts[turn % cuts.length]!
            answers.push(...decoder.push(whole.subarray(at, at + size)))
            at += size
          }
          assert.equal(answers.length, blocks.length)
          answers.forEach((answer, index) => {
            const expected = blocks[index]
            assert.ok(expected === undefined ? answer === undefined : Buffer.from(expected).equals(answer!))
          })
          assert.ok(decoder.atBoundary)
        }
      ),
      { numRuns: 60 }
    )
  })

  it('refuse answers that are too large or none', () => {
    const tooLarge = new Uint8Array(5)
    new DataView(tooLarge.buffer).setUint32(1, MAX_BLOCK_BYTES + 1)
    assert.throws(() => [...new AnswerDecoder().push(tooLarge)], { code: 'message_too_large' })
    assert.throws(() => [...new AnswerDecoder().push(new Uint8Array([2]))], { code: 'bad_message' })
  })
})
