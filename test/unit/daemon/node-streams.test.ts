import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import type { Stream } from '@libp2p/interface'
import { frameLength, frameStream, refusalCodeOf, writeError } from '../../../daemon/node-streams.ts'
import { ProtocolError } from '../../../protocols/errors.ts'

/** A stream that can take no more after each frame until it is drained. */
class FullStream extends EventTarget {
  push(): void {}
  log(): void {}
  send(): boolean {
    return false
  }
  drain(): void {
    this.dispatchEvent(new Event('drain'))
  }
}

describe('frameStream()', () => {
  let stream: FullStream
  let frames: ReturnType<typeof frameStream>

  beforeEach(() => {
    stream = new FullStream()
    frames = frameStream(stream as unknown as Stream, { sent: 0, received: 0 })
  })

  it('leaves nothing on a signal for the frames that waited under it', async () => {
    const { signal } = new AbortController()
    for (let i = 0; i < 3; i++) {
      const written = frames.write([new Uint8Array(1)], { signal })
      stream.drain()
      await written
    }
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })

  it('counts a frame that was taken off our hands as a move, though the peer says nothing', async () => {
    const written = frames.write([new Uint8Array(1)])
    const { heardMs } = frames
    assert.equal(frames.movedMs, heardMs)
    const drainedMs = performance.now()
    stream.drain()
    await written
    assert.ok(frames.movedMs >= drainedMs)
    assert.equal(frames.heardMs, heardMs)
  })

  it('ends a wait with what its signal was aborted with', async () => {
    const aborting = new AbortController()
    const written = frames.write([new Uint8Array(1)], { signal: aborting.signal })
    aborting.abort(new ProtocolError('peer_stalled', 'it takes nothing'))
    await assert.rejects(written, { code: 'peer_stalled' })
  })
})

describe('frameLength()', () => {
  it('reads a length as far as one goes, and refuses one that does not end', () => {
    assert.deepEqual(
      [[5], [0x80, 1], [0xff, 0xff, 0xff, 0x7f], [0]].map(bytes => frameLength(Uint8Array.from(bytes))),
      [5, 128, 2 ** 28 - 1, 0]
    )
    assert.throws(() => frameLength(Uint8Array.from([0xff, 0xff, 0xff, 0xff])), RangeError)
    assert.throws(() => frameLength(new Uint8Array(5).fill(0xff)), { code: 'message_too_large' })
  })
})

describe('writeError()', () => {
  it('makes a sentence of the event by which a stream ends under a writer', () => {
    assert.deepEqual(
      [new Event('close'), undefined].map(thrown => [(writeError(thrown) as ProtocolError).code, writeError(thrown).message]),
      Array(2).fill(['peer_unreachable', 'the stream ended while it was written to'])
    )
    const broken = new Error('reset by the other side')
    assert.equal(writeError(broken), broken)
    assert.equal(writeError(Object.assign(new Event('close'), { error: broken })), broken)
  })
})

describe('refusalCodeOf()', () => {
  const ended = (how: string): Error =>
    Object.assign(new Error(`Unexpected EOF - stream closed after reading ${how} bytes`), { name: 'UnexpectedEOFError' })

  it('takes an asker that resets its stream between two frames for one that went away', () => {
    assert.equal(refusalCodeOf(ended('0/1')), null)
    assert.equal(refusalCodeOf(new Error('the connection was reset')), null)
  })

  it('takes half a frame for a bad message, and keeps the code of what a protocol refused', () => {
    assert.equal(refusalCodeOf(ended('3/10')), 'bad_message')
    assert.equal(refusalCodeOf(new ProtocolError('message_too_large', 'too large')), 'message_too_large')
  })
})
