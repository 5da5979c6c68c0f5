// Who takes the places for connections: the rule.
import { isLoopback, originOf } from './origins.ts'

/** Connections in all: each costs some 200 KB and what its streams hold. A node calls 64 itself, so that others have room to call it. */
export const MAX_CONNECTIONS = 256
/** Connections that come from one origin, a quarter: machines behind one router are one. On loopback, where a whole mesh may run, there are as many as there is room for. */
export const MAX_CONNECTIONS_PER_ORIGIN = 64

interface Caller {
  direction: 'inbound' | 'outbound'
  remoteAddr: { toString(): string }
  remotePeer: { toString(): string }
}

/** While no more can call this node, from anywhere or from one origin: how many connections there are, and from where most of them come. */
export interface Crowd {
  /** Whether it is from anywhere. */
  isFull: boolean
  connections: number
  origin: string
  /** Connections from there; those of accepted peers aside where only that origin's part is taken. */
  ofOrigin: number
}

type IsAccepted = (peer: string) => boolean

/** Whether no more is taken from where `address` is. Peers whom a run accepted count for nothing: however many share a router, there is room for a newcomer. */
export function isCrowded(address: string, connections: readonly Caller[], isAccepted: IsAccepted): boolean {
  const origin = originOf(address)
  return (
    origin !== null && !isLoopback(origin) && (strangersByOrigin(connections, isAccepted).get(origin) ?? 0) >= MAX_CONNECTIONS_PER_ORIGIN
  )
}

export function crowdOf(connections: readonly Caller[], isAccepted: IsAccepted): Crowd | null {
  const isFull = connections.length >= MAX_CONNECTIONS
  const callers = isFull ? callersByOrigin(connections) : strangersByOrigin(connections, isAccepted)
  const [[origin, ofOrigin] = ['', 0]] = [...callers].filter(([origin]) => isFull || !isLoopback(origin)).sort(([, a], [, b]) => b - a)
  return isFull || ofOrigin >= MAX_CONNECTIONS_PER_ORIGIN ? { isFull, connections: connections.length, origin, ofOrigin } : null
}

function strangersByOrigin(connections: readonly Caller[], isAccepted: IsAccepted): Map<string, number> {
  return callersByOrigin(connections.filter(({ remotePeer }) => !isAccepted(remotePeer.toString())))
}

function callersByOrigin(connections: readonly Caller[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { direction, remoteAddr } of connections) {
    const origin = originOf(remoteAddr.toString())
    if (direction === 'inbound' && origin !== null) counts.set(origin, (counts.get(origin) ?? 0) + 1)
  }
  return counts
}
