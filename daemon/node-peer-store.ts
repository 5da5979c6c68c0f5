// How many peers are kept, and how many addresses of each. libp2p keeps all that anybody names, compares each with each whenever it writes the peer's entry, which it does at
// every stream, and dials one after the other: of a thousand, each stream cost half a second in which nothing else ran.
import type { Address, PeerData, PeerId, PeerStore } from '@libp2p/interface'

/** Addresses that the peer itself told: signed, or when it was asked what it is. */
const MAX_TOLD_ADDRESSES = 16
/** Addresses in all, fewer than the 25 of which libp2p dials none: what the peer did not sign may be what anybody named, who may be wrong or lie. */
export const MAX_ADDRESSES = 24
/** Peers: twice the biggest mesh, in 8 MB at most. libp2p forgets a peer after six hours, if somebody asks after it, and names cost whoever answers for the DHT nothing. */
export const MAX_PEERS = 2_048
/** Bytes of one: a name of DNS, a port and a peer id. */
const MAX_ADDRESS_BYTES = 128

/**
 * Bounds what `store` keeps, whichever way it comes: all of libp2p's parts write into this one. What anybody names takes the place of what was named before,
 * and never of what the peer signed. `self` is ours to fill. The peer written longest ago makes room for a new one: who is connected is written at each stream.
 */
export function boundAddresses(store: PeerStore, self: PeerId): void {
  const [save, patch, merge] = [store.save.bind(store), store.patch.bind(store), store.merge.bind(store)]
  const told = (peer: PeerId, data: PeerData): PeerData => {
    const addresses = peer.equals(self) ? undefined : addressesIn(data, MAX_TOLD_ADDRESSES)
    return addresses === undefined ? data : { ...data, addresses, multiaddrs: undefined }
  }
  const written = new Map<string, PeerId>()
  const makeRoom = async (peer: PeerId): Promise<void> => {
    if (peer.equals(self)) return
    const name = peer.toString()
    written.delete(name)
    written.set(name, peer)
    if (written.size <= MAX_PEERS) return
    for (const [oldest, id] of written) {
      written.delete(oldest)
      return await store.delete(id)
    }
  }
  store.save = async (peer, data, options) => {
    await makeRoom(peer)
    return await save(peer, told(peer, data), options)
  }
  store.patch = async (peer, data, options) => {
    await makeRoom(peer)
    return await patch(peer, told(peer, data), options)
  }
  store.merge = async (peer, data, options) => {
    await makeRoom(peer)
    // Before anything is read: what a stream tells is a protocol, and there are hundreds in a round.
    if (peer.equals(self) || (data.addresses === undefined && data.multiaddrs === undefined)) return await merge(peer, data, options)
    const held = await store.get(peer, options).then(({ addresses }) => addresses, onlyNotFound)
    const signed = held.filter(({ isCertified }) => isCertified).slice(0, MAX_TOLD_ADDRESSES)
    // Before it was ever met a peer may have many that lead nowhere, such as those of a dozen containers' networks, and one that does.
    const named = addressesIn(data, MAX_ADDRESSES - signed.length) ?? []
    const { addresses: _, multiaddrs: __, ...others } = data
    const patched = named.length > 0 ? await patch(peer, { addresses: [...signed, ...named] }, options) : undefined
    // What an answer of the DHT tells of a peer is its addresses alone: each write reads it anew, and there are twenty in an answer.
    return patched !== undefined && Object.keys(others).length === 0 ? patched : await merge(peer, others, options)
  }
}

function onlyNotFound(error: unknown): Address[] {
  if (error instanceof Error && error.name === 'NotFoundError') return []
  throw error
}

/** Its first addresses, in one list; undefined where it says nothing of any. */
function addressesIn({ addresses, multiaddrs }: PeerData, count: number): Address[] | undefined {
  if (addresses === undefined && multiaddrs === undefined) return undefined
  const more = (multiaddrs ?? []).slice(0, count).map(multiaddr => ({ multiaddr, isCertified: false }))
  return [...(addresses ?? []).slice(0, count), ...more]
    .slice(0, count)
    .filter(({ multiaddr }) => multiaddr.bytes.length <= MAX_ADDRESS_BYTES)
}
