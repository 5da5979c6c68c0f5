// A libp2p node that is none of ours: it speaks what it is told to, in the versions and with the words that a test wants, and behind no rule of the daemon's.

import { generateKeyPair, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { type GossipSub, gossipsub } from '@libp2p/gossipsub'
import { RPC } from '@libp2p/gossipsub/message'
import { identify } from '@libp2p/identify'
import type { Connection, PeerId, PrivateKey, Stream, StreamMuxerFactory } from '@libp2p/interface'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { until } from './until.ts'

export interface StrangerOptions {
  network: string
  /** Protocols in its list, such as `blocks/2`. Streams on them are reset, unless `answer` is given. @default none */
  speaks?: string[]
  answer?: (protocol: string, stream: Stream) => void
  /** Version of its DHT. @default '1.0.0' */
  kad?: string
  /** Whether it speaks gossip, or only its simplest kind, which sends everything to everybody. @default false */
  gossips?: boolean | 'floodsub'
  /** Streams that the other side may open on one connection; those after them it never answers, and does not close. @default all */
  answersStreams?: number
  /** Addresses that it tells of itself. @default its own */
  announce?: string[]
  /** @default a new Ed25519 key */
  privateKey?: PrivateKey
}

/** Gossip as its author would sign it, whoever that is. */
export interface Said {
  topic: string
  data: Uint8Array
  /** Its number among the author's, 8 bytes. */
  seqno: Uint8Array
  author: PrivateKey
}

export interface Stranger {
  peer: string
  privateKey: PrivateKey
  address: string
  gossip: GossipSub
  dial(address: string): Promise<Connection>
  open(peer: string, protocol: string): Promise<Stream>
  /** Resolves when `peer` has said that it listens to the topic. */
  hears(topic: string, peer: string): Promise<void>
  /** Sends gossip, signed as it should be, whether or not `to` listens to the topic. */
  tell(to: string, topic: string, data: Uint8Array): Promise<void>
  /** Reads nothing more of what `peer` tells it by gossip. */
  ignores(peer: string): Promise<void>
  /** Sends several pieces of gossip at once. */
  hand(to: string, said: Said[]): Promise<void>
  /** Sends gossip in another's name, with a signature that is none of theirs. */
  forge(to: string, topic: string, data: Uint8Array, from: string): void
  stop(): Promise<void>
}

export async function openStranger({
  network,
  speaks = [],
  answer,
  kad = '1.0.0',
  gossips = false,
  answersStreams = Number.POSITIVE_INFINITY,
  announce = [],
  privateKey: given
}: StrangerOptions): Promise<Stranger> {
  const privateKey = given ?? (await generateKeyPair('Ed25519'))
  const node = await createLibp2p({
    privateKey,
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'], announce },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [deafAfter(answersStreams)],
    connectionMonitor: { enabled: false },
    // On a busy machine a handshake takes seconds, and this node is not what is tested.
    connectionManager: { reconnectRetries: 0, dialTimeout: 60_000, addressDialTimeout: 60_000 },
    services: {
      identify: identify(),
      ping: ping(),
      ...(gossips === false ? {} : { gossip: gossipOf(gossips === 'floodsub' ? ['/floodsub/1.0.0'] : undefined) }),
      dht: kadDHT({
        protocol: `/shoal/${network}/kad/${kad}`,
        clientMode: false,
        peerInfoMapper: passthroughMapper,
        validators: {},
        selectors: {}
      })
    }
  })
  await node.services.dht.setMode('server')
  for (const name of speaks) {
    const protocol = `/shoal/${network}/${name}`
    await node.handle(protocol, stream => (answer === undefined ? stream.abort(new Error('not spoken')) : answer(name, stream)), {
      maxInboundStreams: 1_000,
      maxOutboundStreams: 1_000
    })
  }
  const { gossip } = node.services as unknown as { gossip: GossipSub }
  // What its interface does not offer, of course.
  const parts = gossip as unknown as {
    streamsOutbound: Map<string, unknown>
    streamsInbound: Map<string, { rawStream: Stream }>
    handleReceivedSubscription(from: PeerId, topic: string, subscribes: boolean): void
    sendRpc(peer: string, rpc: object): void
  }
  return {
    peer: node.peerId.toString(),
    privateKey,
    address: node.getMultiaddrs()[0]!.toString(),
    gossip,
    dial: address => node.dial(multiaddr(address), { force: true } as object),
    open: (peer, protocol) => node.dialProtocol(peerIdFromString(peer), `/shoal/${network}/${protocol}`, { maxOutboundStreams: 10_000 }),
    hears: async (topic, peer) => {
      gossip.subscribe(topic)
      for (const limit = performance.now() + 60_000; ; await new Promise(resolve => setTimeout(resolve, 20))) {
        if (gossip.getSubscribers(topic).some(id => id.toString() === peer)) return
        if (performance.now() > limit) throw new Error(`${peer} does not listen to ${topic}`)
      }
    },
    tell: async (to, topic, data) => {
      // What has no stream yet is lost.
      await until(() => parts.streamsOutbound.has(to))
      parts.handleReceivedSubscription(peerIdFromString(to), topic, true)
      await gossip.publish(topic, data)
    },
    ignores: async peer => {
      await until(() => parts.streamsInbound.has(peer))
      parts.streamsInbound.get(peer)!.rawStream.pause()
    },
    hand: async (to, said) => {
      await until(() => parts.streamsOutbound.has(to))
      parts.sendRpc(to, { messages: await Promise.all(said.map(signed)), subscriptions: [] })
    },
    forge: (to, topic, data, from) => {
      const forged = {
        topic,
        data,
        from: peerIdFromString(from).toMultihash().bytes,
        seqno: crypto.getRandomValues(new Uint8Array(8)),
        signature: crypto.getRandomValues(new Uint8Array(64))
      }
      parts.sendRpc(to, { messages: [forged], subscriptions: [] })
    },
    stop: async () => node.stop()
  }
}

async function signed({ author, ...said }: Said): Promise<RPC.Message> {
  const message = { ...said, from: peerIdFromPrivateKey(author).toMultihash().bytes }
  const signature = await author.sign(Buffer.concat([Buffer.from('libp2p-pubsub:'), RPC.Message.encode(message)]))
  return { ...message, signature, key: publicKeyToProtobuf(author.publicKey) }
}

function gossipOf(protocols: string[] | undefined): ReturnType<typeof gossipsub> {
  const open = gossipsub({ allowPublishToZeroTopicPeers: true, scoreParams: { IPColocationFactorWeight: 0 } })
  return components => Object.assign(open(components), protocols === undefined ? {} : { protocols })
}

/** The multiplexer, whose owner hears of so many streams and no more. */
function deafAfter(streams: number): () => StreamMuxerFactory {
  return () => {
    const factory = yamux()()
    const createStreamMuxer: StreamMuxerFactory['createStreamMuxer'] = connection => {
      const muxer = factory.createStreamMuxer(connection)
      const listen = muxer.addEventListener.bind(muxer)
      let heard = 0
      muxer.addEventListener = (type: string, listener: unknown, ...rest: unknown[]) => {
        const some = (event: unknown) => {
          if (heard++ < streams) (listener as (event: unknown) => void)(event)
        }
        listen(type as 'stream', (type === 'stream' ? some : listener) as () => void, ...(rest as []))
      }
      return muxer
    }
    return Object.assign(Object.create(factory), { createStreamMuxer })
  }
}
