// Where the node does not leave gossipsub to itself: how it opens streams and reads them, what it lets in, and what messages are told apart by.
import { createHash } from 'node:crypto'
import type { GossipSub, Message } from '@libp2p/gossipsub'
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
  readonly fastMsgIdCache: { get(id: string): string | undefined }
  handleReceivedMessage(source: PeerId, message: WireMessage): Promise<void>
}
/** A piece of gossip as it comes off the wire. */
export interface WireMessage {
  topic: string
  from?: Uint8Array
  seqno?: Uint8Array
  data?: Uint8Array
  key?: Uint8Array
  signature?: Uint8Array
}
interface Rpc {
  messages: { data?: Uint8Array }[]
}
interface RpcSender {
  sendRpc(peer: string, rpc: Rpc): boolean
}

/**
 * From now on only what `admits` lets through comes to gossipsub, which would check a signature before it asks anybody; what came before is a duplicate, and costs next to nothing.
 */
export function admitGossip(gossip: GossipSub, admits: (source: PeerId, message: WireMessage) => boolean): void {
  const receiver = gossip as unknown as MessageReceiver
  const receive = receiver.handleReceivedMessage.bind(receiver)
  receiver.handleReceivedMessage = async (source, message) => {
    if (receiver.fastMsgIdCache.get(wireId(message)) !== undefined || admits(source, message)) await receive(source, message)
  }
}

/** Bytes of a piece of gossip, all that others choose. */
export function wireBytes({ topic, from, seqno, data, key, signature }: WireMessage): number {
  return [from, seqno, data, key, signature].reduce((sum, part) => sum + (part?.length ?? 0), topic.length)
}

/** A peer id that holds its key begins with an identity multihash: its code and its length. */
const MULTIHASH_PREFIX_BYTES = 2
/** That of an Ed25519 key, as far as the 32 bytes that are its own: then come its kind and its length. */
const ED25519_ID_PREFIX = Uint8Array.from([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])
const ED25519_ID_BYTES = 38

/** Whether a piece of gossip names an author with an Ed25519 key, and no other key: those of other kinds can be made to cost sixty times as much to check. */
export function isOfUsualKey({ from, key }: WireMessage): boolean {
  if (from?.length !== ED25519_ID_BYTES || ED25519_ID_PREFIX.some((byte, n) => from[n] !== byte)) return false
  return key === undefined || Buffer.compare(key, from.subarray(MULTIHASH_PREFIX_BYTES)) === 0
}

/**
 * What pieces of gossip are told apart by: all that is signed. By author and number alone, two of one number would be one piece: whoever handed over the right one would be blamed where the wrong one came first.
 */
export function gossipId(message: Message): Uint8Array {
  if (message.type === 'unsigned') return digest(message)
  const seqno = Buffer.alloc(8)
  seqno.writeBigUInt64BE(message.sequenceNumber)
  return digest({ topic: message.topic, data: message.data, from: message.from.toMultihash().bytes, seqno })
}

/** The same before a message is read. */
export function wireId(message: WireMessage): string {
  return digest(message).toString('latin1')
}

function digest({ topic, from, seqno, data }: WireMessage): Buffer {
  const hash = createHash('sha256')
  for (const part of [from ?? NOTHING, seqno ?? NOTHING, Buffer.from(`${topic}\0`), data ?? NOTHING]) hash.update(part)
  return hash.digest()
}

const NOTHING = new Uint8Array()

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
