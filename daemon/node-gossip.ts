// Where the node does not leave gossipsub to itself: how it opens streams and reads them, and what it does with what nobody here listens to.
import type { GossipSub } from '@libp2p/gossipsub'
import type { Connection, PeerId, Stream } from '@libp2p/interface'

/** Streams of one version of gossip on one connection: the one that is read, and its successor, which comes before the other is at its end. */
export const GOSSIP_STREAMS_IN = 2
/** Bytes of one message of gossipsub to another: the names of thousands of pieces of gossip and GOSSIP_BATCH_BYTES of it. As much of each may lie here unfinished. */
export const GOSSIP_RPC_BYTES = 1024 * 1024
/** Bytes of gossip in one such message: gossipsub answers who asks for what it missed with all of it at once, up to thousands of pieces. */
const GOSSIP_BATCH_BYTES = 256 * 1024
/** Bytes that a piece takes beside its data: topic, author, number and signature. */
const ENVELOPE_BYTES = 512
/** Bytes of gossip that wait for one peer: some ten seconds of a mesh of a thousand, more than any that is alive leaves unread. */
export const GOSSIP_UNSENT_BYTES = 4 * 1024 * 1024

/** Parts of gossipsub that its interface does not name. */
interface StreamOpener {
  readonly streamsOutbound: ReadonlyMap<string, { rawStream: Stream }>
  createOutboundStream(peer: PeerId, connection: Connection): Promise<void>
}
interface StreamReader {
  readonly streamsInbound: ReadonlyMap<string, { rawStream: Stream }>
  createInboundStream(peer: PeerId, stream: Stream): void
  handlePeerReadStreamError(error: Error, peer: PeerId): void
}
interface MessageReceiver {
  handleReceivedMessage(source: PeerId, message: { topic: string; data?: Uint8Array }): Promise<void>
}
interface Rpc {
  messages: { data?: Uint8Array }[]
}
interface RpcSender {
  sendRpc(peer: string, rpc: Rpc): boolean
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

/**
 * From now on a peer has one stream with us that is read, its newest: gossipsub reads those before it as well, as long as there are any, and each holds what
 * is unfinished. `broken` is told of a peer whose stream came to no good end: gossipsub has forgotten it, and would not know it again while it is connected.
 */
export function readOneStream(gossip: unknown, broken: (peer: string, error: Error) => void): void {
  const reader = gossip as StreamReader
  const create = reader.createInboundStream.bind(reader)
  const forget = reader.handlePeerReadStreamError.bind(reader)
  const succeeded = new Error('a newer stream of gossip took its place')
  reader.createInboundStream = (peer, stream) => {
    const before = reader.streamsInbound.get(peer.toString())
    create(peer, stream)
    before?.rawStream.abort(succeeded)
  }
  reader.handlePeerReadStreamError = (error, peer) => {
    if (error === succeeded) return
    forget(error, peer)
    broken(peer.toString(), error)
  }
}

/** From now on what is too long for one message goes out in several: a peer that read it would break its stream off, and hear nothing more. */
export function sendInBatches(gossip: unknown): void {
  const sender = gossip as RpcSender
  const send = sender.sendRpc.bind(sender)
  sender.sendRpc = (peer, rpc) => {
    const [first, ...others] = batches(rpc.messages)
    const sent = send(peer, first === undefined || others.length === 0 ? rpc : Object.assign(rpc, { messages: first }))
    for (const messages of others) send(peer, { ...EMPTY_RPC, messages })
    return sent
  }
}

const EMPTY_RPC = { subscriptions: [], control: undefined }

function batches<M extends { data?: Uint8Array }>(messages: M[]): M[][] {
  const all: M[][] = []
  let room = 0
  for (const message of messages) {
    const bytes = ENVELOPE_BYTES + (message.data?.length ?? 0)
    if (bytes > room) {
      all.push([])
      room = GOSSIP_BATCH_BYTES
    }
    all.at(-1)!.push(message)
    room -= bytes
  }
  return all
}
