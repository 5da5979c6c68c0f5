// Counts every byte that passes a connection's socket, encrypted and framed as it is: libp2p tells a `metrics` object of each connection it opens.
import type { Metrics, MultiaddrConnection } from '@libp2p/interface'
import type { TrafficCounter } from './node-streams.ts'

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
