// Makes frames of a libp2p stream, and counts their bytes.
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'
import { isProtocolError, ProtocolError } from '../protocols/errors.ts'
import { type FrameStream, MAX_FRAME_BYTES } from '../protocols/frame-stream.ts'

export interface TrafficCounter {
  sent: number
  received: number
}

export interface NodeStream extends FrameStream {
  /** When bytes last came, or a frame was handed over: ms of performance.now(). */
  readonly movedMs: number
}

/** Frames that may lie unread on a stream that somebody else opened: one is on the way while another is looked at. */
const UNREAD_FRAMES = 4

/** Bytes unread at least: one message of the multiplexer. */
const MIN_UNREAD_BYTES = 128 * 1024

/** Bytes of a frame's length: more than any frame may have. */
const MAX_LENGTH_BYTES = 5

/** Milliseconds that a peer may take to end its side once it was answered: the last of the answer may still be on its way. */
const LINGER_MS = 5_000

/** Frames over `stream`; each is at most `frameBytesMax`, else the stream breaks. For a smaller one than the usual, what lies unread is bounded by it, too. */
export function frameStream(stream: Stream, traffic: TrafficCounter, frameBytesMax: number = MAX_FRAME_BYTES): NodeStream {
  let heardMs = performance.now()
  let wroteMs = heardMs
  let heardBytes = 0
  stream.addEventListener('message', ({ data }) => {
    heardMs = performance.now()
    heardBytes += data.byteLength
  })
  const unread = frameBytesMax < MAX_FRAME_BYTES ? { maxBufferSize: Math.max(UNREAD_FRAMES * frameBytesMax, MIN_UNREAD_BYTES) } : {}
  const frames = lpStream(stream, { maxDataLength: frameBytesMax, lengthDecoder: frameLength, ...unread })
  return {
    get heardMs() {
      return heardMs
    },
    get movedMs() {
      return Math.max(heardMs, wroteMs)
    },
    get heardBytes() {
      return heardBytes
    },
    async read(options) {
      try {
        const frame = (await frames.read(options)).subarray()
        traffic.received += frame.length
        return frame
      } catch (error) {
        if (endedCleanly(error, stream)) return null
        throw error
      }
    },
    async write(list, options) {
      // lpStream waits for 'drain' after each write, so a slow peer slows us; see the streams table of the network notes.
      for (const frame of list) {
        options?.signal?.throwIfAborted()
        await unlessAborted(frames.write(frame), options?.signal).catch(error => {
          throw writeError(error)
        })
        wroteMs = performance.now()
        traffic.sent += frame.length
      }
    },
    close: options => stream.close(options),
    abort: error => stream.abort(error)
  }
}

/** lpStream, given a signal, would leave a listener on it for each frame that waited, and a signal here lives as long as its stream. */
async function unlessAborted(waiting: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return await waiting
  const { promise, reject } = Promise.withResolvers<never>()
  const stop = (): void => reject(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  try {
    await Promise.race([waiting, promise])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/**
 * A frame's length, as an unsigned LEB128 number. lpStream's own reads on for as long as a length does not end, and keeps each of its bytes in an array of its own.
 *
 * @throws RangeError where there is more of it to come; ProtocolError 'message_too_large' where there is too much already
 */
export function frameLength(read: Uint8Array | Uint8ArrayList): number {
  const bytes = read.subarray()
  let length = 0
  for (const [i, byte] of bytes.entries()) {
    length += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return length
  }
  if (bytes.length < MAX_LENGTH_BYTES) throw new RangeError('the length goes on')
  throw new ProtocolError('message_too_large', `cannot read a frame whose length takes more than ${MAX_LENGTH_BYTES} bytes`)
}

/** Resolves when both sides have ended a stream that was answered: it is dropped where the peer takes too long, as what it goes on to send is read by nobody. */
export async function untilEnded(stream: Stream): Promise<void> {
  if (stream.status !== 'open' && stream.status !== 'closing') return
  const timer = setTimeout(() => stream.abort(new Error('it was answered, and not ended')), LINGER_MS)
  await new Promise(resolve => stream.addEventListener('close', resolve, { once: true }))
  clearTimeout(timer)
}

/** lpStream reads a length byte by byte: an end before the first byte says "0/1 bytes", and is the peer's goodbye unless the stream broke. */
function endedCleanly(error: unknown, stream: Stream): boolean {
  return error instanceof Error && endedBetweenFrames(error) && stream.status !== 'aborted' && stream.status !== 'reset'
}

function endedBetweenFrames(error: Error): boolean {
  return error.name === 'UnexpectedEOFError' && / 0\/1 bytes/.test(error.message)
}

/** Whoever waits to write when the stream ends is given the event itself by libp2p, which says nothing to anybody who reads it. */
export function writeError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  const { error } = (thrown ?? {}) as { error?: unknown }
  return error instanceof Error ? error : new ProtocolError('peer_unreachable', 'the stream ended while it was written to')
}

/** libp2p's errors of a frame that is longer than it may be. */
const TOO_LONG = new Set(['InvalidDataLengthError', 'InvalidDataLengthLengthError', 'InvalidMessageLengthError', 'StreamBufferError'])

/** The code of what an asker did wrong on a stream; null where it only went away. */
export function refusalCodeOf(error: unknown): string | null {
  if (isProtocolError(error)) return error.code
  if (!(error instanceof Error)) return null
  if (TOO_LONG.has(error.name)) return 'message_too_large'
  if (error.name === 'TimeoutError') return 'peer_stalled'
  // One that gave up, or died, resets its stream between two frames: that is no message, and so no bad one.
  return error.name === 'UnexpectedEOFError' && !endedBetweenFrames(error) ? 'bad_message' : null
}
