// How the node opens gossipsub's streams. Gossipsub opens one after the other, over all peers, and waits ten seconds for each that is not answered, once for
// each of its four versions: two peers that said nothing kept a newcomer from hearing what we listen to for more than a minute.
import type { Connection, PeerId } from '@libp2p/interface'

/** A part of gossipsub that its interface does not name. */
interface StreamOpener {
  createOutboundStream(peer: PeerId, connection: Connection): Promise<void>
}

/** From now on one after the other for each peer, and all peers at once: there are as many as there are connections. */
export function openStreamsAtOnce(gossip: unknown): void {
  const opener = gossip as StreamOpener
  const open = opener.createOutboundStream.bind(opener)
  /** The newest opening of each peer, which waits for those before it: two streams to one peer would each be taken for the other's successor. */
  const opening = new Map<string, Promise<void>>()
  opener.createOutboundStream = async (peer, connection) => {
    const id = peer.toString()
    const before = opening.get(id) ?? Promise.resolve()
    // It tells its own log of a failure, and never rejects.
    const after = before.then(() => open(peer, connection))
    opening.set(id, after)
    void after.finally(() => {
      if (opening.get(id) === after) opening.delete(id)
    })
  }
}
