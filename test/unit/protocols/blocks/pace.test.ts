import assert from 'node:assert/strict'
import fc from 'fast-check'
import { askToSend, bytesLeft, createUpload, pacedFrameBytes } from '../../../../protocols/blocks/index.ts'

describe('the pace of an upload cap', () => {
  it('lets no more leave than the rate and one burst, whatever is asked for when', () => {
    const moves = fc.array(fc.record({ waitMs: fc.nat(500), facts: fc.nat(2_000), blocks: fc.nat(40) }), { minLength: 1, maxLength: 200 })
    fc.assert(
      fc.property(fc.integer({ min: 16_000, max: 10_000_000 }), moves, (rate, moves) => {
        const state = createUpload(rate, 0)
        const frame = pacedFrameBytes(rate, 256 * 1024)
        let [now, sent, facts] = [0, 0, 0]
        for (const move of moves) {
          now += move.waitMs
          // Facts go at once, and blocks pay for them.
          const some = Math.min(move.facts, rate / 100)
          bytesLeft(state, some, now)
          facts += some
          for (let i = 0; i < move.blocks && askToSend(state, frame, now) === 0; i++) {
            sent += frame
            bytesLeft(state, frame, now)
          }
          assert.ok(sent <= (rate * now) / 1000 + rate * 0.5 + 1024, `${sent} bytes of blocks after ${now} ms`)
          assert.ok(sent + facts <= (rate * now) / 1000 + rate * 0.5 + facts + 1024)
          assert.equal(state.reserved, 0)
        }
      })
    )
  })

  it('says when to ask again, and then lets the frame go', () => {
    const state = createUpload(100_000, 0)
    let now = 0
    for (let frame = 0; frame < 1_000; frame++) {
      const waitMs = askToSend(state, 6_250, now)
      if (waitMs > 0) {
        now += waitMs
        assert.equal(askToSend(state, 6_250, now), 0)
      }
      bytesLeft(state, 6_250, now)
    }
    // 6.25 MB at 100 kB/s, less the burst at the start.
    assert.ok(Math.abs(now - 62_000) < 700, `${now} ms`)
  })

  it('charges blocks once, when they are let through, and their headers when they leave', () => {
    const state = createUpload(100_000, 0)
    assert.equal(askToSend(state, 10_000, 0), 0)
    const { room } = state
    bytesLeft(state, 4_000, 0)
    bytesLeft(state, 6_000, 0)
    assert.equal(state.room, room)
    bytesLeft(state, 120, 0)
    assert.equal(state.room, room - 120)
  })

  it('is in debt for some seconds at most when facts exceed the rate by themselves', () => {
    const state = createUpload(20_000, 0)
    bytesLeft(state, 10_000_000, 0)
    assert.ok(askToSend(state, 1_250, 0) <= 4_100)
  })
})
