// Who takes the places for connections: the rule.
import { isLoopback, originOf } from './origins.ts'

/** Connections in all: each costs some 200 KB and what its streams hold. A node calls 64 itself, so that others have room to call it. */
export const MAX_CONNECTIONS = 256
/** Connections that come from one origin, a quarter: machines behind one router are one. On loopback, where a whole mesh may run, there are as many as there is room for. */
export const MAX_CONNECTIONS_PER_ORIGIN = 64

interface Caller {
  direction: 'inbound' | 'outbound'
  remoteAddr: { toString(): string }
}

/** While nobody else can call this node: how many connections there are, and from where most of them come. */
export interface Crowd {
  connections: number
  origin: string
  ofOrigin: number
}

/** Whether no more is taken from where `address` is. */
export function isCrowded(address: string, connections: readonly Caller[]): boolean {
  const origin = originOf(address)
  return origin !== null && !isLoopback(origin) && (callersByOrigin(connections).get(origin) ?? 0) >= MAX_CONNECTIONS_PER_ORIGIN
}

export function crowdOf(connections: readonly Caller[]): Crowd | null {
  if (connections.length < MAX_CONNECTIONS) return null
  const [[origin, ofOrigin] = ['', 0]] = [...callersByOrigin(connections)].sort(([, a], [, b]) => b - a)
  return { connections: connections.length, origin, ofOrigin }
}

function callersByOrigin(connections: readonly Caller[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { direction, remoteAddr } of connections) {
    const origin = originOf(remoteAddr.toString())
    if (direction === 'inbound' && origin !== null) counts.set(origin, (counts.get(origin) ?? 0) + 1)
  }
  return counts
}
