// Counts every byte that passes a connection's socket, encrypted and framed as it is, as libp2p tells a `metrics` object of each connection it opens; and ends
// connections through which nothing passes.
import type { MessageStream, Metrics, MultiaddrConnection, StreamMuxerFactory } from '@libp2p/interface'
import { ProtocolError } from '../protocols/errors.ts'
import type { TrafficCounter } from './node-streams.ts'

/** Bytes that wait for one connection's socket: all that an honest peer has asked for on sixteen streams of blocks, 3 MiB each, and gossip. */
export const UNSENT_BYTES_MAX = 64 * 1024 * 1024
/** Bytes that a piece of it counts for beside its own: the answer to a ping has thirty, and takes hundreds here. */
export const UNSENT_PIECE_BYTES = 1024
/** Milliseconds in which some of what waits must leave. A socket says so after some 100 KB, for which the slowest line that is supported needs ten seconds. */
export const UNSENT_MS_MAX = 60_000

const NOTHING = { update: () => {}, increment: () => {}, decrement: () => {}, reset: () => {}, observe: () => {}, timer: () => () => {} }

/** @param onSent told of bytes that were handed to a socket */
export function countWireBytes(traffic: TrafficCounter, onSent: (bytes: number) => void = () => {}): () => Metrics {
  const metrics = {
    trackMultiaddrConnection: (connection: MultiaddrConnection) => {
      connection.addEventListener('message', ({ data }) => {
        traffic.received += data.byteLength
      })
      const send = connection.send.bind(connection)
      connection.send = data => {
        traffic.sent += data.byteLength
        onSent(data.byteLength)
        return send(data)
      }
    },
    trackProtocolStream: () => {},
    // libp2p's own figures are not kept: ours follow the event log.
    registerMetric: () => NOTHING,
    registerMetricGroup: () => NOTHING,
    registerCounter: () => NOTHING,
    registerCounterGroup: () => NOTHING,
    registerHistogram: () => NOTHING,
    registerHistogramGroup: () => NOTHING,
    registerSummary: () => NOTHING,
    registerSummaryGroup: () => NOTHING,
    traceFunction: <F>(_name: string, fn: F): F => fn,
    createTrace: () => undefined
  }
  return () => metrics as unknown as Metrics // Its overloads cannot be said of functions that take nothing.
}

/** A connection that noise made of another: both keep what they have not handed over. A part that their interface does not name. */
interface Encrypted extends Buffering {
  stream: Buffering
}
interface Buffering {
  writeBuffer: { byteLength: number; bufs: readonly unknown[] }
}

/** The same multiplexers, which end a connection when too much of what they hand over is not sent. */
export function endUnread(multiplexers: () => StreamMuxerFactory): () => StreamMuxerFactory {
  return () => {
    const factory = multiplexers()
    const create = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = connection => {
      endWhenStuck(connection)
      return create(connection)
    }
    return factory
  }
}

/**
 * Ends a connection whose peer makes us answer and does not read: what waits for its socket has no bound of its own, and its time limit begins anew with
 * each byte that the peer sends.
 */
function endWhenStuck(connection: MessageStream): void {
  let timer: NodeJS.Timeout | undefined
  const end = (why: string) => connection.abort(new ProtocolError('peer_stalled', why))
  const stop = () => {
    clearTimeout(timer)
    timer = undefined
  }
  const look = () => {
    if (unsentBytes(connection as unknown as Encrypted) > UNSENT_BYTES_MAX) end(`more than ${UNSENT_BYTES_MAX} bytes waited to be sent`)
    else if (connection.status === 'open' && connection.writableNeedsDrain)
      timer ??= setTimeout(() => end(`nothing of what waited to be sent left in ${UNSENT_MS_MAX} ms`), UNSENT_MS_MAX)
  }
  connection.addEventListener('close', stop)
  connection.addEventListener('drain', () => {
    stop()
    // It goes on sending in a microtask of its own, which comes first.
    queueMicrotask(look)
  })
  const send = connection.send.bind(connection)
  connection.send = data => {
    const isRoom = send(data)
    if (!isRoom) look()
    return isRoom
  }
}

function unsentBytes(connection: Encrypted): number {
  return [connection, connection.stream].reduce(
    (sum, { writeBuffer }) => sum + writeBuffer.byteLength + UNSENT_PIECE_BYTES * writeBuffer.bufs.length,
    0
  )
}
