// Addresses to listen on and to tell others.
import { createServer, type Server } from 'node:net'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { DaemonError } from './errors.ts'
import { isPeer } from './identity.ts'

/** @throws {DaemonError} `bad_address` */
export function parseAddress(text: string): Multiaddr {
  try {
    return multiaddr(text)
  } catch (cause) {
    throw new DaemonError('bad_address', `cannot read "${text}" as an address`, {
      hint: 'an address looks like /ip4/192.168.1.5/tcp/4101/p2p/12D3KooW...',
      details: { address: text },
      cause
    })
  }
}

/** Whether a text is an address through and through, the peer id at its end too. */
export function isAddress(text: string): boolean {
  try {
    const peer = peerInAddress(multiaddr(text))
    return peer === undefined || isPeer(peer)
  } catch {
    return false
  }
}

/** The peer id at an address' end, if it names one. */
export function peerInAddress(address: Multiaddr): string | undefined {
  return address.getComponents().findLast(component => component.name === 'p2p')?.value
}

/** Swaps the ports that are taken, also by another of these addresses, for 0, which is any free one. */
export async function freeAddresses(listen: string[]): Promise<{ addresses: string[]; taken: string[] }> {
  const taken: string[] = []
  const addresses: string[] = []
  const servers: Server[] = []
  try {
    for (const text of listen) {
      const { host, port } = hostAndPort(text)
      const server = await bound(text, host, port)
      if (server === null) {
        taken.push(text)
        addresses.push(text.replace(`/tcp/${port}`, '/tcp/0'))
      } else {
        addresses.push(text)
        servers.push(server)
      }
    }
  } finally {
    await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))))
  }
  return { addresses, taken }
}

export function portTaken(taken: string[], cause?: unknown): DaemonError {
  return new DaemonError('port_taken', `cannot listen on ${taken.join(', ')}: the port is taken`, {
    hint: 'stop what listens there, or name another port with --listen (0 for any free one)',
    details: { taken },
    cause
  })
}

/** Those that other machines can use first, loopback last. */
export function byReach(addresses: string[]): string[] {
  const local = (text: string) => Number(/^\/ip4\/127\.|^\/ip6\/::1\//.test(text))
  return [...addresses].sort((a, b) => local(a) - local(b))
}

function hostAndPort(text: string): { host: string; port: number } {
  const components = parseAddress(text).getComponents()
  const host = components.find(({ name }) => name === 'ip4' || name === 'ip6')?.value
  const port = components.find(({ name }) => name === 'tcp')?.value
  if (host === undefined || port === undefined) {
    throw new DaemonError('bad_address', `cannot listen on "${text}": it must name an IP address and a TCP port`, {
      hint: 'for example /ip4/0.0.0.0/tcp/4101',
      details: { address: text }
    })
  }
  return { host, port: Number(port) }
}

/** Null where the port is taken. */
async function bound(text: string, host: string, port: number): Promise<Server | null> {
  const server = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      // As libp2p listens: what is of IPv6 takes nothing of IPv4.
      server.listen({ host, port, exclusive: true, ipv6Only: host.includes(':') }, resolve)
    })
    return server
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') return null
    throw new DaemonError(code === 'EADDRNOTAVAIL' ? 'address_not_available' : 'bad_address', `cannot listen on ${text}: ${code}`, {
      hint: 'name an address of this machine, or /ip4/0.0.0.0/tcp/PORT for all of them',
      details: { address: text },
      cause: error
    })
  }
}
