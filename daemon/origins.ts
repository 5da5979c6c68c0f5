// Which addresses are one origin: those among which one machine can choose freely.
import { isIPv6 } from 'node:net'

/** 16-bit groups of an IPv6 address that name a network: a machine may take any address of its /64. */
const NETWORK_GROUPS = 4
const GROUPS = 8

/**
 * `192.168.1.7` of `/ip4/192.168.1.7/tcp/4101/p2p/...`: all ports of a machine are one origin. `2001:db8:0:1::/64` of an IPv6 address in that
 * network, and the IPv4 address where it stands for one.
 */
export function originOf(address: string): string | null {
  const parts = address.split('/')
  const at = parts[1] === 'ip6zone' ? 4 : 2
  const host = parts[at]
  if (host === undefined) return null
  return parts[at - 1] === 'ip6' && isIPv6(host) ? networkOf(host) : host
}

/** Whether an origin is the machine itself. */
export function isLoopback(origin: string): boolean {
  return origin.startsWith('127.') || origin === networkOf('::1')
}

function networkOf(host: string): string {
  const groups = groupsOf(host)
  const isMapped = groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff
  if (isMapped)
    return groups
      .slice(6)
      .flatMap(group => [group >> 8, group & 0xff])
      .join('.')
  const network = groups.slice(0, NETWORK_GROUPS).map(group => group.toString(16))
  return `${network.join(':')}::/64`
}

/** @param host an IPv6 address, whole or with `::`, its last 32 bits also as IPv4 */
function groupsOf(host: string): number[] {
  const [head, tail] = host.split('::').map(half => half.split(':').filter(Boolean).flatMap(numbersOf))
  if (tail === undefined) return head!
  return [...head!, ...Array<number>(GROUPS - head!.length - tail.length).fill(0), ...tail]
}

function numbersOf(group: string): number[] {
  if (!group.includes('.')) return [Number.parseInt(group, 16)]
  const [a, b, c, d] = group.split('.').map(Number) as [number, number, number, number]
  return [a * 256 + b, c * 256 + d]
}
