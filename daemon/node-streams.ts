// Makes frames of a libp2p stream, and counts their bytes.
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { type FrameStream, MAX_FRAME_BYTES } from '../protocols/frame-stream.ts'

export interface TrafficCounter {
  sent: number
  received: number
}

/** Frames over `stream`; each is at most MAX_FRAME_BYTES, else the stream breaks. */
export function frameStream(stream: Stream, traffic: TrafficCounter): FrameStream {
  let heardMs = performance.now()
  let heardBytes = 0
  stream.addEventListener('message', ({ data }) => {
    heardMs = performance.now()
    heardBytes += data.byteLength
  })
  const frames = lpStream(stream, { maxDataLength: MAX_FRAME_BYTES })
  return {
    get heardMs() {
      return heardMs
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
        await frames.write(frame, options)
        traffic.sent += frame.length
      }
    },
    close: options => stream.close(options),
    abort: error => stream.abort(error)
  }
}

/** lpStream reads a length byte by byte: an end before the first byte says "0/1 bytes", and is the peer's goodbye unless the stream broke. */
function endedCleanly(error: unknown, stream: Stream): boolean {
  const atFrameStart = error instanceof Error && error.name === 'UnexpectedEOFError' && / 0\/1 bytes/.test(error.message)
  return atFrameStart && stream.status !== 'aborted' && stream.status !== 'reset'
}
