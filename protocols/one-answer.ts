// One question and its answer over a stream of frames: the whole of sync and of admission on the asking side.
import { isProtocolError, ProtocolError } from './errors.ts'
import type { FrameNode, FrameStream } from './frame-stream.ts'

export interface Question<T> {
  peer: string
  protocol: string
  frame: Uint8Array
  /** Throws a ProtocolError for what is no answer. */
  decode(frame: Uint8Array): T
  /** Goes on "cannot ask PEER for". */
  what: string
  /** For dialling, asking and answering together. */
  timeoutMs: number
}

/** @throws ProtocolError peer_unreachable | peer_stalled | what `decode` throws; the reason of `signal` when that fired */
export async function askOnce<T>(
  node: Pick<FrameNode, 'openStream'>,
  { peer, protocol, frame, decode, what, timeoutMs }: Question<T>,
  options: { signal?: AbortSignal }
): Promise<T> {
  const timeout = AbortSignal.timeout(timeoutMs)
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout])
  const asking = `cannot ask ${peer} for ${what}`
  let stream: FrameStream | undefined
  try {
    stream = await node.openStream(peer, protocol, { signal })
    await stream.write([frame], { signal })
    const read = await stream.read({ signal })
    if (read === null) throw new ProtocolError('peer_unreachable', `${asking}: it ended the stream`)
    const answer = decode(read)
    await stream.close({ signal })
    return answer
  } catch (error) {
    stream?.abort(error instanceof Error ? error : new Error(String(error)))
    options.signal?.throwIfAborted()
    if (isProtocolError(error)) throw error
    throw timeout.aborted
      ? new ProtocolError('peer_stalled', `${asking}: nothing for ${timeoutMs} ms`, { cause: error })
      : new ProtocolError('peer_unreachable', asking, { cause: error })
  }
}
