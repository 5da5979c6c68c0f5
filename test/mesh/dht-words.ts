// What is said between nodes of the DHT, byte for byte: for tests that say it wrongly.
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { varint } from 'multiformats'

const TYPES = { addProvider: 2, getProviders: 3 } as const

/** "I have it, and you find me here." */
export function addProvider(key: Uint8Array, peer: string, addresses: string[]): Uint8Array {
  const provider = [field(1, peerIdFromString(peer).toMultihash().bytes), ...addresses.map(address => field(2, multiaddr(address).bytes))]
  return Buffer.concat([type('addProvider'), field(2, key), field(9, Buffer.concat(provider))])
}

export const getProviders = (key: Uint8Array): Uint8Array => Buffer.concat([type('getProviders'), field(2, key)])

/** How many addresses an answer names for each provider in it. */
export function addressCounts(answer: Uint8Array): number[] {
  return fieldsOf(answer)
    .filter(({ id }) => id === 9)
    .map(({ bytes }) => fieldsOf(bytes).filter(({ id }) => id === 2).length)
}

const type = (name: keyof typeof TYPES): Uint8Array => Uint8Array.from([8, TYPES[name]])
const field = (id: number, bytes: Uint8Array): Uint8Array => Buffer.concat([number(id * 8 + 2), number(bytes.length), bytes])
const number = (n: number): Uint8Array => varint.encodeTo(n, new Uint8Array(varint.encodingLength(n)))

function fieldsOf(bytes: Uint8Array): { id: number; bytes: Uint8Array }[] {
  const fields: { id: number; bytes: Uint8Array }[] = []
  let at = 0
  const next = () => {
    const [value, length] = varint.decode(bytes, at)
    at += length
    return value
  }
  while (at < bytes.length) {
    const tag = next()
    const value = next()
    if (tag % 8 !== 2) continue
    fields.push({ id: tag >> 3, bytes: bytes.subarray(at, at + value) })
    at += value
  }
  return fields
}
