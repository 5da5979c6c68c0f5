// Where the node does not leave gossipsub to itself: how it opens streams, and what it does with what nobody here listens to.
import type { GossipSub } from '@libp2p/gossipsub'
import type { Connection, PeerId, Stream } from '@libp2p/interface'

/** Bytes of gossip that wait for one peer: some ten seconds of a mesh of a thousand, more than any that is alive leaves unread. */
export const GOSSIP_UNSENT_BYTES = 4 * 1024 * 1024

/** Parts of gossipsub that its interface does not name. */
interface StreamOpener {
  readonly streamsOutbound: ReadonlyMap<string, { rawStream: Stream }>
  createOutboundStream(peer: PeerId, connection: Connection): Promise<void>
}
interface MessageReceiver {
  handleReceivedMessage(source: PeerId, message: { topic: string; data?: Uint8Array }): Promise<void>
}

/**
 * Drops, unread, what comes on topics without a validator, that is on those to which we do not listen; `dropped` is told. Gossipsub would check its
 * signature, keep it, and hand it to whoever asks.
 */
export function dropUnheard(gossip: GossipSub, dropped: (source: string, bytes: number) => void): void {
  const receiver = gossip as unknown as MessageReceiver
  const receive = receiver.handleReceivedMessage.bind(receiver)
  receiver.handleReceivedMessage = async (source, message) => {
    if (gossip.topicValidators.has(message.topic)) await receive(source, message)
    else dropped(source.toString(), message.data?.length ?? 0)
  }
}

/**
 * From now on one after the other for each peer, and all peers at once: there are as many as there are connections. Gossipsub opens one after the other, over
 * all peers, and waits ten seconds for each that is not answered, once for each of its versions: two peers that said nothing kept a newcomer from hearing
 * what we listen to for more than a minute.
 *
 * `unread` is told of a peer that let GOSSIP_UNSENT_BYTES pile up, which ended its stream: gossipsub opens no other one while it is connected.
 */
export function openStreamsAtOnce(gossip: unknown, unread: (peer: string) => void): void {
  const opener = gossip as StreamOpener
  const create = opener.createOutboundStream.bind(opener)
  const open = async (peer: PeerId, connection: Connection): Promise<void> => {
    const id = peer.toString()
    const before = opener.streamsOutbound.get(id)
    await create(peer, connection)
    const opened = opener.streamsOutbound.get(id)
    if (opened === undefined || opened === before) return
    opened.rawStream.addEventListener('close', ({ error }) => {
      if (error?.name === 'StreamBufferError') unread(id)
    })
    // It is for what we say: what the other side writes on it nobody would read, and it would be kept.
    await opened.rawStream.closeRead()
  }
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
