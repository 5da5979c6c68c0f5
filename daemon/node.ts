// The node on the network: the only place that constructs libp2p. TCP, noise, yamux, identify, ping, kad-dht, gossipsub and mDNS, all under the network's name.
import { setMaxListeners } from 'node:events'
import { gossipsub, type Message, TopicValidatorResult } from '@libp2p/gossipsub'
import { createTopicScoreParams, type PeerScore } from '@libp2p/gossipsub/score'
import { identify } from '@libp2p/identify'
import type { Connection, IdentifyResult, PeerId, PrivateKey, Stream } from '@libp2p/interface'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import { MAX_STREAMS_PER_PEER } from '../protocols/blocks/index.ts'
import { oneLine } from '../protocols/control/printable.ts'
import { isProtocolError, ProtocolError } from '../protocols/errors.ts'
import {
  type FrameHandler,
  type FrameStream,
  type GossipReceiver,
  type GossipVerdict,
  type HandleOptions,
  MAX_GOSSIP_BYTES
} from '../protocols/frame-stream.ts'
import { GossipRates, type GossipSource } from '../protocols/gossip-rates.ts'
import type { Twin } from '../protocols/identity/index.ts'
import { payerOf } from '../protocols/purses.ts'
import { RecentMap } from '../protocols/recent-map.ts'
import { DaemonError, reasonOf } from './errors.ts'
import { byReach, freeAddresses, parseAddress, peerInAddress, portTaken } from './node-addresses.ts'
import { AnnounceTimes } from './node-announcing.ts'
import { type Crowd, crowdOf, isCrowded, MAX_CONNECTIONS } from './node-crowd.ts'
import { boundMessages, withProviders } from './node-dht.ts'
import {
  admitGossip,
  GOSSIP_RPC_BYTES,
  GOSSIP_STREAMS_IN,
  GOSSIP_UNSENT_BYTES,
  gossipId,
  isOfUsualKey,
  openStreamsAtOnce,
  readOneStream,
  sendInBatches,
  type WireMessage,
  wireBytes,
  wireId
} from './node-gossip.ts'
import { type Inbound, InboundStreams, STREAMS_PER_PEER } from './node-inbound.ts'
import { LookupTimes } from './node-lookups.ts'
import { boundAddresses } from './node-peer-store.ts'
import { Redial } from './node-redial.ts'
import { frameStream, refusalCodeOf, type TrafficCounter, untilEnded } from './node-streams.ts'
import { Twins } from './node-twins.ts'
import { mismatches, mismatchSentence, type VersionMismatch, versionsOf } from './node-versions.ts'
import { countWireBytes, endUnread } from './node-wire.ts'
import { originOf } from './origins.ts'

/** Milliseconds that dialling one peer may take; what a stale provider record costs. */
export const DIAL_TIMEOUT_MS = 5_000
/** Milliseconds that one query of the DHT may take. */
const LOOKUP_TIMEOUT_MS = 15_000
/** Milliseconds between announcements of what we provide; new nodes near a key learn of it only thus. */
const REPROVIDE_INTERVAL_MS = 5 * 60_000
/** Milliseconds after which a provider record that nobody renewed is forgotten: three announcements missed. */
export const PROVIDER_VALIDITY_MS = 3 * REPROVIDE_INTERVAL_MS
/** Milliseconds between two removals of such records: until then they are still told. */
export const PROVIDER_SWEEP_MS = 60_000
/** Milliseconds one announcement may take. */
const PROVIDE_TIMEOUT_MS = 30_000
/** Milliseconds between measurements of a peer's round trip. */
const RTT_INTERVAL_MS = 30_000
const RTT_TIMEOUT_MS = 5_000
/** Connections above which discovered peers are no longer dialled; small meshes are complete, large ones are not. */
const MAX_DISCOVERED_PEERS = 64
/** Milliseconds before a discovered peer that could not be reached is tried again. */
const DISCOVERED_RETRY_MS = 15_000
/** Addresses taken of those that one peer says it listens on. */
const MAX_LISTENING = 16
/** Milliseconds for which a peer that was lost is called again. */
const LOST_PEER_MS = 60 * 60_000
/** Milliseconds for which a node of another mesh is kept connected, unused, so that it can see that ours is another. */
const STRANGER_MS = 1_000
/** Milliseconds for which a peer that could not stay, for its versions, is still told of. */
const VERSION_NEWS_MS = 10 * 60_000
/** Peers remembered for what they once were: found, of another mesh, gone, not reached. Ids cost nothing, so their number says nothing about the mesh; one forgotten is called once more. */
const MAX_REMEMBERED_PEERS = 4096
/** Streams of one protocol on one connection, above which libp2p itself resets them without a word: our own limit is below, and says so. */
const MAX_STREAMS_IN = 2 * STREAMS_PER_PEER
/** Streams of one protocol that we may have open with one peer; above what the block exchange opens, which waits instead of failing. */
const MAX_STREAMS_OUT = 2 * MAX_STREAMS_PER_PEER
/** Connections of one peer: two where both called at once, and as many again while the first are being closed. */
const MAX_CONNECTIONS_PER_PEER = 4
/** Connections that one address may open in a second: a LAN behind one router after a power cut, not a flood, each of which costs a handshake of milliseconds. */
const CONNECTIONS_PER_SECOND = 50
/** The same where a whole mesh runs on one address. */
const CONNECTIONS_PER_SECOND_LOCAL = 1_000
/** Handshakes under way, and milliseconds that one may take, on a busy machine too: whoever opens sockets and says nothing holds a place for so long. */
const MAX_HANDSHAKES = 256
const HANDSHAKE_TIMEOUT_MS = 10_000
/** Streams of one connection, of all protocols and of none yet. */
const MAX_STREAMS_OF_CONNECTION = 256
/** Milliseconds in which a connected peer must say what it is, on a busy machine too: one that never does is of no use, and takes a place. */
const IDENTIFY_TIMEOUT_MS = 15_000
/** Milliseconds in which an opened stream must say which protocol it is for. */
const STREAM_PROTOCOL_TIMEOUT_MS = 10_000
/** Gossipsub ignores a peer below -80. Ten wrong messages in a few seconds are enough for that, and it is heard again some seconds after the last; one now and then is forgiven. */
const WRONG_MESSAGES_ONLY = createTopicScoreParams({
  topicWeight: 1,
  timeInMeshWeight: 0,
  firstMessageDeliveriesWeight: 0,
  meshMessageDeliveriesWeight: 0,
  meshFailurePenaltyWeight: 0,
  invalidMessageDeliveriesWeight: -1,
  invalidMessageDeliveriesDecay: 0.9
})
/** Of a peer that is not listened to, times gossipsub's weight of 10: far below. */
const DEAF_SCORE = -100
/** Milliseconds in which connections say goodbye when the node stops. */
const CONNECTION_CLOSE_MS = 500
/** Milliseconds to close down; then connections are dropped. */
const STOP_TIMEOUT_MS = 2_000

/** lan and test: loopback and private addresses are what the mesh is made of. test also takes mDNS to be off unless asked for. */
export type NodeProfile = 'lan' | 'test'

/** How a peer came to us: by a bootstrap address, mDNS, the DHT, an address given by hand or known from an earlier life, or it called us. */
export type FoundBy = 'bootstrap' | 'mdns' | 'dht' | 'address' | 'remembered' | 'inbound'

export interface PeerInfo {
  peer: string
  /** The far ends of its connections. */
  addresses: string[]
  /** Where it says that it listens. */
  listening: string[]
  direction: 'inbound' | 'outbound'
  /** Milliseconds; null until first measured. */
  rttMs: number | null
  /** Unix milliseconds. */
  connectedAtMs: number
  foundBy: FoundBy
  /** What the peer says it runs, such as shoal/0.1.0; at most 64 characters. */
  agent: string | null
}

export type NodeEvent =
  | { type: 'connected'; peer: string; foundBy: FoundBy }
  | { type: 'disconnected'; peer: string }
  | { type: 'otherNetwork'; peer: string }
  /** It is of our mesh and speaks versions of its protocols that this node does not. */
  | { type: 'versionMismatch'; peer: string; mismatches: VersionMismatch[]; message: string }
  /** It did something wrong; `author` is who signed what it handed over, where that is another. */
  | { type: 'refused'; peer: string; code: string; message: string; author?: string }

/** A peer that this node met in an earlier life. */
export interface RememberedPeer {
  peer: string
  /** Each ends with the peer's id. */
  addresses: string[]
}

export interface NodeOptions {
  privateKey: PrivateKey
  /** Name of the mesh: lower-case letters, digits and `-`, at most 32. Part of the DHT's, gossip's and mDNS' names. */
  network: string
  /** Addresses to listen on. @default ['/ip4/0.0.0.0/tcp/0'] */
  listen?: string[]
  /** What becomes of a TCP port that is taken: it is swapped for a free one, or the node does not start. @default 'swapped' */
  takenPorts?: 'swapped' | 'refused'
  /** Addresses to tell others instead of those listened on. */
  announce?: string[]
  /** Addresses that are called for ever while their peer is not connected. */
  bootstrap?: string[]
  /** Peers known from earlier, called for a while. */
  remembered?: RememberedPeer[]
  /** @default false */
  mdns?: boolean
  /** @default 'lan' */
  profile?: NodeProfile
  /** @default 'shoal' */
  agent?: string
  /** @default DIAL_TIMEOUT_MS */
  dialTimeoutMs?: number
  /** @default IDENTIFY_TIMEOUT_MS */
  identifyTimeoutMs?: number
  /** Told when a wished port was taken, with the addresses that the node listens on instead. */
  onPortTaken?: (wanted: string[], addresses: string[]) => void
  /** Whether a run has taken a peer's work: such peers take none of the places that one origin has. @default nobody's */
  isAccepted?: (peer: string) => boolean
  /** Told of all bytes that are handed to a socket. */
  onBytesSent?: (bytes: number) => void
}

export interface ShoalNode {
  readonly peer: string
  readonly network: string
  /** Addresses with our peer id, those that other machines can use first. */
  addresses(): string[]
  /** Resolves with the peer id. @throws {DaemonError} bad_address | peer_unreachable | other_network */
  connect(address: string, options?: { signal?: AbortSignal }): Promise<string>
  /** Drops all connections with a peer at once. It is called again unless forgotten. */
  disconnect(peer: string): void
  /** Refuses all connections with these peers from now on, and drops those that there are; with everybody else they are taken again. */
  refuse(peers: Iterable<string>): void
  /** Stops calling a peer that said goodbye. */
  forget(peer: string): void
  /** Calls a peer that was heard of and is not connected, as soon as the DHT knows where; nothing happens when it cannot be reached. */
  meet(peer: string): void
  /** Connected peers of our network. */
  peers(): PeerInfo[]
  /** What connected peers speak that this node does not: one sentence each. */
  mismatches(): string[]
  isConnected(peer: string): boolean
  /** Who takes all places for connections; null while there is one left. */
  crowd(): Crowd | null
  /** Round trip in milliseconds; dials if need be. */
  ping(peer: string, options?: { signal?: AbortSignal }): Promise<number>
  onEvent(listener: (event: NodeEvent) => void): () => void
  /** Announces, now and again and again, that this node has `cid`. */
  provide(cid: string): void
  /** Stops announcing it; the record fades within PROVIDER_VALIDITY_MS. */
  stopProviding(cid: string): void
  /** Peers that announced `cid`, each once, as they are found. It ends when the query does or `signal` fires. */
  findProviders(cid: string, options?: { signal?: AbortSignal }): AsyncIterable<string>
  publish(topic: string, bytes: Uint8Array): Promise<void>
  subscribe(topic: string, receive: GossipReceiver): void
  unsubscribe(topic: string): void
  handle(protocol: string, handler: FrameHandler, options?: HandleOptions): Promise<void>
  unhandle(protocol: string): Promise<void>
  openStream(peer: string, protocol: string, options?: { signal?: AbortSignal }): Promise<FrameStream>
  /** Payload bytes of streams and gossip since the start. */
  traffic(): TrafficCounter
  /** Identities, ours among them, that live in two processes at once as far as this node knows. */
  twins(): Twin[]
  /** All bytes that passed sockets since the start: libp2p's own words, headers and encryption too. */
  wire(): TrafficCounter
  stop(): Promise<void>
}

/** Starts a node; it listens when the promise resolves, and joins the mesh in its own time. @throws {DaemonError} bad_network_name | bad_address | address_not_available | port_taken */
export async function createNode(options: NodeOptions): Promise<ShoalNode> {
  if (!/^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/.test(options.network)) {
    throw new DaemonError('bad_network_name', `cannot use "${options.network}" as a network name`, {
      hint: 'use 1 to 32 lower-case letters, digits and "-", beginning and ending with a letter or digit'
    })
  }
  const discovered = new Discovered()
  const wire = { sent: 0, received: 0 }
  const held: Held = { discovered, rates: new GossipRates(originOf), wire, closedTo: new Set<string>(), connections: () => [] }
  const { libp2p, taken } = await startListening(options, held)
  const node = new Node(libp2p, options, held)
  await node.start()
  if (taken.length > 0) options.onPortTaken?.(taken, node.addresses())
  return node
}

/** Tried once more where another took a port after it was found to be free, such as a second node that starts at the same moment. */
async function startListening(options: NodeOptions, held: Held): Promise<{ libp2p: Libp2pNode; taken: string[] }> {
  const { listen = ['/ip4/0.0.0.0/tcp/0'] } = options
  for (let tries = 1; ; tries++) {
    const { addresses, taken } = await freeAddresses(listen)
    if (taken.length > 0 && options.takenPorts === 'refused') throw portTaken(taken)
    try {
      return { libp2p: await startLibp2p({ ...options, listen: addresses }, held), taken }
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'UnsupportedListenAddressesError') throw error
      if (tries > 1) throw portTaken(addresses, error)
    }
  }
}

const nobody = (): boolean => false

const dhtProtocol = (network: string): string => `/shoal/${network}/kad/1.0.0`

/** What libp2p's parts and the node both hold. */
interface Held {
  discovered: Discovered
  rates: GossipRates
  wire: TrafficCounter
  /** Peers with whom no connection is taken. */
  closedTo: Set<string>
  /** Empty until there is a libp2p. */
  connections: () => Connection[]
}

async function startLibp2p(options: NodeOptions, held: Held) {
  const { discovered, rates, wire, closedTo } = held
  const isClosedTo = (peer: PeerId) => peer.type !== 'Ed25519' || closedTo.has(peer.toString())
  // Before the handshake, which costs milliseconds, and after it, for those that came together.
  const isTooMany = ({ remoteAddr }: { remoteAddr: { toString(): string } }) =>
    isCrowded(remoteAddr.toString(), held.connections(), options.isAccepted ?? nobody)
  const dialTimeout = options.dialTimeoutMs ?? DIAL_TIMEOUT_MS
  const libp2p = await createLibp2p({
    start: false,
    privateKey: options.privateKey,
    nodeInfo: { userAgent: options.agent ?? 'shoal' },
    addresses: { listen: options.listen ?? [], announce: options.announce ?? [] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [endUnread(yamux({ maxInboundStreams: MAX_STREAMS_OF_CONNECTION }))],
    metrics: countWireBytes(wire, options.onBytesSent),
    connectionGater: {
      denyInboundConnection: isTooMany,
      denyInboundUpgradedConnection: (_, connection) => isTooMany(connection),
      denyDialPeer: isClosedTo,
      denyInboundEncryptedConnection: isClosedTo,
      denyOutboundEncryptedConnection: isClosedTo
    },
    // It drops good peers when the machine is busy; presence says who is alive.
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: MAX_CONNECTIONS,
      inboundConnectionThreshold: options.profile === 'test' ? CONNECTIONS_PER_SECOND_LOCAL : CONNECTIONS_PER_SECOND,
      maxIncomingPendingConnections: MAX_HANDSHAKES,
      inboundUpgradeTimeout: HANDSHAKE_TIMEOUT_MS,
      inboundStreamProtocolNegotiationTimeout: STREAM_PROTOCOL_TIMEOUT_MS,
      dialTimeout,
      addressDialTimeout: dialTimeout,
      reconnectRetries: 0
    },
    peerDiscovery: options.mdns === true ? [discovered.watch('mdns', mdns({ serviceTag: `_shoal-${options.network}._udp.local` }))] : [],
    services: {
      // As long as we wait for it to be over: libp2p gives up after a third of that.
      identify: identify({ timeout: options.identifyTimeoutMs ?? IDENTIFY_TIMEOUT_MS }),
      // The DHT pings a peer before it enters it into its table, and fails for good when our own ping holds the one stream that is the default.
      ping: ping({ maxInboundStreams: 32, maxOutboundStreams: 32 }),
      gossip: gossipsub({
        allowPublishToZeroTopicPeers: true,
        // Whoever says that it speaks no more than floodsub would be sent every message of a topic, outside of its mesh and of every rate.
        fallbackToFloodsub: false,
        maxInboundStreams: GOSSIP_STREAMS_IN,
        maxInboundDataLength: GOSSIP_RPC_BYTES,
        maxOutboundBufferSize: GOSSIP_UNSENT_BYTES,
        // Without it each duplicate's signature is verified before it is known to be one.
        fastMsgIdFn: wireId,
        msgIdFn: gossipId,
        // Many nodes behind one address are the rule on a LAN and on one machine.
        scoreParams: { IPColocationFactorWeight: 0, appSpecificScore: peer => (rates.isDeafTo(peer, performance.now()) ? DEAF_SCORE : 0) }
      }),
      dht: discovered.watch(
        'dht',
        withProviders(
          kadDHT({
            protocol: dhtProtocol(options.network),
            clientMode: false,
            // For meshes of tens of nodes; the defaults (10 requests at once on 10 disjoint paths) cost ten times as much for the same answers.
            alpha: 3,
            disjointPaths: 2,
            peerInfoMapper: passthroughMapper,
            validators: {},
            selectors: {},
            reprovide: { validity: PROVIDER_VALIDITY_MS, interval: PROVIDER_SWEEP_MS, threshold: REPROVIDE_INTERVAL_MS }
          })
        )
      )
    }
  })
  held.connections = () => libp2p.getConnections()
  boundAddresses(libp2p.peerStore, libp2p.peerId)
  boundMessages(libp2p.services.dht)
  await libp2p.start()
  return libp2p
}

type Libp2pNode = Awaited<ReturnType<typeof startLibp2p>>

/** Peers that mDNS and the DHT name, and by which of them first. */
class Discovered {
  readonly sources = new RecentMap<string, FoundBy>(MAX_REMEMBERED_PEERS)
  onPeer: ((peer: string) => void) | undefined
  /** mDNS leaves out what this process itself answers, so our own id there is another's. */
  onSelf: ((addresses: string[]) => void) | undefined
  self: string | undefined

  /** Wraps a libp2p factory so that the peers its product finds are seen here. */
  watch<C, P extends object>(source: FoundBy, factory: (components: C) => P): (components: C) => P {
    return components => {
      const product = factory(components)
      const events = product as unknown as EventTarget
      events.addEventListener('peer', event => {
        const { id, multiaddrs } = (event as CustomEvent<{ id: PeerId; multiaddrs: unknown[] }>).detail
        this.note(id.toString(), source)
        if (source === 'mdns' && id.toString() === this.self) this.onSelf?.(multiaddrs.map(String))
        if (multiaddrs.length > 0) this.onPeer?.(id.toString())
      })
      return product
    }
  }

  note(peer: string, source: FoundBy): void {
    if (!this.sources.has(peer)) this.sources.set(peer, source)
  }
}

interface Member {
  foundBy: FoundBy
  listening: string[]
  direction: 'inbound' | 'outbound'
  /** Whether we called it, on this connection or on another one. */
  isCalled: boolean
  connectedAtMs: number
  agent: string | null
  rttMs: number | null
}

class Node implements ShoalNode {
  readonly peer: string
  readonly network: string
  readonly #libp2p: Libp2pNode
  readonly #options: NodeOptions
  readonly #isAccepted: (peer: string) => boolean
  readonly #discovered: Discovered
  readonly #rates: GossipRates
  /** What peers speak that we do not, and when they were last heard to. */
  readonly #mismatches = new RecentMap<string, { sentences: string; atMs: number }>(MAX_REMEMBERED_PEERS)
  /** Gossip's protocols, whose versions are told with the list of what we speak. */
  readonly #told = new Set<string>()
  readonly #redial = new Redial()
  readonly #members = new Map<string, Member>()
  /** Connected by libp2p and sent away: of another mesh. */
  readonly #strangers = new RecentMap<string, true>(MAX_REMEMBERED_PEERS)
  /** Said goodbye: not called again until they call us. */
  readonly #forgotten = new RecentMap<string, true>(MAX_REMEMBERED_PEERS)
  readonly #retryAtMs = new RecentMap<string, number>(MAX_REMEMBERED_PEERS)
  readonly #dialling = new Set<string>()
  readonly #provided = new Set<string>()
  readonly #listeners = new Set<(event: NodeEvent) => void>()
  readonly #traffic: TrafficCounter = { sent: 0, received: 0 }
  readonly #wire: TrafficCounter
  readonly #twins: Twins
  readonly #closedTo: Set<string>
  readonly #stopping = new AbortController()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #lookups = new LookupTimes()
  readonly #announcements = new AnnounceTimes()
  #lookupTimer: NodeJS.Timeout | undefined
  #provideTimer: NodeJS.Timeout | undefined

  constructor(libp2p: Libp2pNode, options: NodeOptions, { discovered, rates, wire, closedTo }: Held) {
    this.#closedTo = closedTo
    this.#libp2p = libp2p
    this.#wire = wire
    this.#rates = rates
    this.#options = options
    this.#isAccepted = options.isAccepted ?? nobody
    this.#discovered = discovered
    this.peer = libp2p.peerId.toString()
    this.network = options.network
    this.#twins = new Twins(libp2p, { network: options.network, traffic: this.#traffic })
  }

  async start(): Promise<void> {
    const libp2p = this.#libp2p
    await this.#twins.start()
    this.#discovered.self = this.peer
    this.#discovered.onSelf = addresses => this.#twins.met(addresses)
    await libp2p.services.dht.setMode('server')
    libp2p.addEventListener('peer:identify', event => this.#identified(event.detail))
    libp2p.addEventListener('peer:disconnect', event => this.#disconnected(event.detail.toString()))
    libp2p.addEventListener('connection:open', event => this.#connected(event.detail))
    this.#watchSignatures()
    openStreamsAtOnce(libp2p.services.gossip, peer => this.#gaveUp(peer, 'peer_stalled', 'leaves unread what it is told by gossip'))
    readOneStream(libp2p.services.gossip, (peer, error) => this.#gossipBroke(peer, error))
    sendInBatches(libp2p.services.gossip)
    admitGossip(libp2p.services.gossip, (source, message) => this.#admits(source, message))
    this.#discovered.onPeer = peer => void this.#meet(peer)
    for (const address of this.#options.bootstrap ?? []) this.#redialBootstrap(address)
    for (const known of this.#options.remembered ?? []) this.#redialRemembered(known)
    this.#redial.start()
    this.#timers.add(setInterval(() => this.#announceSoon(), REPROVIDE_INTERVAL_MS))
    this.#timers.add(setInterval(() => void this.#measureAll(), RTT_INTERVAL_MS))
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new DaemonError('stopping', 'the node is stopping'))
    this.#redial.stop()
    this.#twins.stop()
    for (const timer of this.#timers) clearTimeout(timer)
    clearTimeout(this.#lookupTimer)
    clearTimeout(this.#provideTimer)
    // A peer that does not answer would hold its connection's goodbye up.
    const impatient = setTimeout(() => {
      for (const connection of this.#libp2p.getConnections()) connection.abort(new Error('the node is stopping'))
    }, STOP_TIMEOUT_MS)
    try {
      await this.#closeConnections()
      await this.#libp2p.stop()
    } finally {
      clearTimeout(impatient)
    }
  }

  /** libp2p would close them all by one signal, to which every stream of a connection listens: Node takes more than ten for a leak, and says so on stderr. */
  async #closeConnections(): Promise<void> {
    const signal = AbortSignal.timeout(CONNECTION_CLOSE_MS)
    setMaxListeners(0, signal)
    await Promise.all(
      this.#libp2p.getConnections().map(connection => connection.close({ signal }).catch((error: Error) => connection.abort(error)))
    )
  }

  addresses(): string[] {
    return byReach(this.#libp2p.getMultiaddrs().map(String))
  }

  async connect(text: string, options: { signal?: AbortSignal } = {}): Promise<string> {
    const address = parseAddress(text)
    const signal = this.#signal(options.signal)
    const named = peerInAddress(address)
    if (named !== undefined && this.#closedTo.has(named)) {
      throw new DaemonError('peer_unreachable', `cannot connect to ${text}: this node has banned that peer`, {
        hint: `shoal unban ${named}`,
        details: { address: text, peer: named }
      })
    }
    if (named !== undefined) this.#discovered.note(named, 'address')
    let connection: Connection
    try {
      connection = await this.#libp2p.dial(address, { signal })
    } catch (cause) {
      throw new DaemonError('peer_unreachable', `cannot connect to ${text}: ${reasonOf(cause)}`, {
        hint: 'check that the node is running and that the address and port can be reached from here',
        details: { address: text },
        cause
      })
    }
    const peer = connection.remotePeer.toString()
    this.#discovered.note(peer, 'address')
    await this.#recognised(peer, text, signal)
    return peer
  }

  disconnect(peer: string): void {
    for (const connection of this.#libp2p.getConnections(peerIdFromString(peer))) connection.abort(new Error('the peer is silent'))
  }

  refuse(peers: Iterable<string>): void {
    this.#closedTo.clear()
    for (const peer of peers) {
      this.#closedTo.add(peer)
      this.forget(peer)
      this.disconnect(peer)
    }
  }

  forget(peer: string): void {
    this.#forgotten.set(peer, true)
    this.#redial.remove(peer)
    this.#retryAtMs.set(peer, performance.now() + DISCOVERED_RETRY_MS)
  }

  meet(peer: string): void {
    void this.#meet(peer)
  }

  peers(): PeerInfo[] {
    return [...this.#members].map(([peer, { agent, connectedAtMs, direction, foundBy, listening, rttMs }]) => ({
      peer,
      addresses: this.#libp2p.getConnections(peerIdFromString(peer)).map(connection => connection.remoteAddr.toString()),
      listening: [...listening],
      direction,
      rttMs,
      connectedAtMs,
      foundBy,
      agent
    }))
  }

  isConnected(peer: string): boolean {
    return this.#members.has(peer)
  }

  crowd(): Crowd | null {
    return crowdOf(this.#libp2p.getConnections(), this.#isAccepted)
  }

  async ping(peer: string, options: { signal?: AbortSignal } = {}): Promise<number> {
    return await this.#libp2p.services.ping.ping(peerIdFromString(peer), { signal: this.#signal(options.signal) })
  }

  onEvent(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  provide(cid: string): void {
    this.#provided.add(cid)
    this.#announceSoon()
  }

  stopProviding(cid: string): void {
    this.#provided.delete(cid)
    void this.#libp2p.contentRouting.cancelReprovide(CID.parse(cid)).catch(() => {})
  }

  async *findProviders(cid: string, options: { signal?: AbortSignal } = {}): AsyncIterable<string> {
    const signal = this.#signal(options.signal)
    try {
      for await (const { id } of this.#libp2p.contentRouting.findProviders(CID.parse(cid), { signal })) {
        const peer = id.toString()
        if (peer === this.peer) continue
        this.#discovered.note(peer, 'dht')
        yield peer
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  async publish(topic: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length > MAX_GOSSIP_BYTES)
      throw new RangeError(`cannot publish ${bytes.length} bytes: at most ${MAX_GOSSIP_BYTES} are allowed`)
    const { recipients } = await this.#libp2p.services.gossip.publish(topic, bytes)
    this.#traffic.sent += bytes.length * recipients.length
  }

  subscribe(topic: string, receive: GossipReceiver): void {
    const { gossip } = this.#libp2p.services
    gossip.topicValidators.set(topic, async (source, message) => VERDICTS[await this.#judge(source.toString(), message, receive)])
    scoreOf(gossip).params.topics[topic] = WRONG_MESSAGES_ONLY
    gossip.subscribe(topic)
    this.#tellVersion(topic)
  }

  /** What becomes of one message, and whose fault it is where it is wrong: that of the neighbour that handed it over, who had to look at it as well. */
  async #judge(source: string, message: Message, receive: GossipReceiver): Promise<GossipVerdict> {
    const author = message.type === 'signed' ? message.from.toString() : source
    const bytes = message.data.length
    if (!this.#rates.mayBeSaid(author, bytes, performance.now())) {
      if (author === source) this.#rates.saidTooMuch(this.#sourceOf(peerIdFromString(source)), performance.now())
      this.#refused(author, 'rate_limited', tooMuch(author))
      return 'ignore'
    }
    this.#traffic.received += bytes
    try {
      if (message.type !== 'signed') throw new ProtocolError('bad_message', 'cannot take gossip that nobody signed')
      if (bytes > MAX_GOSSIP_BYTES)
        throw new ProtocolError('message_too_large', `cannot take gossip of ${bytes} bytes: at most ${MAX_GOSSIP_BYTES} are allowed`)
      const verdict = await receive(message.data, author)
      if (verdict === 'accept') this.#rates.wasNews(author, bytes, performance.now())
      return verdict
    } catch (error) {
      if (!isProtocolError(error)) throw error
      this.#refused(source, error.code, `gossip of ${source} was refused: ${error.message}`, author)
      // One of another version is right for others.
      return error.code === 'version_mismatch' ? 'ignore' : 'reject'
    }
  }

  /** Whether a piece of gossip may be looked at, its signature first of all: its source pays. */
  #admits(source: PeerId, message: WireMessage): boolean {
    const peer = source.toString()
    const excess = this.#rates.bring(this.#sourceOf(source), wireBytes(message), performance.now())
    if (excess !== null) {
      this.#refused(peer, 'rate_limited', tooMuch(excess === 'source' ? peer : 'a crowd that no run has accepted, and this peer with it,'))
      return false
    }
    // Nobody here listens: gossipsub would check it, keep it, and hand it to whoever asks.
    if (!this.#libp2p.services.gossip.topicValidators.has(message.topic)) return false
    if (isOfUsualKey(message)) return true
    this.#refused(peer, 'bad_message', `gossip of ${peer} was refused: no Ed25519 key stands for its author`)
    return false
  }

  #sourceOf(source: PeerId): GossipSource {
    const peer = source.toString()
    if (this.#isAccepted(peer)) return { peer, strangerAt: null }
    const [connection] = this.#libp2p.getConnections(source)
    return { peer, strangerAt: connection?.remoteAddr.toString() ?? peer }
  }

  /** With whom gossip is over all else is over as well, so that it may begin anew. */
  #gossipBroke(peer: string, error: Error): void {
    if (refusalCodeOf(error) === 'message_too_large')
      this.#gaveUp(peer, 'message_too_large', 'says more in one message of gossip than there may be')
    else this.disconnect(peer)
  }

  #gaveUp(peer: string, code: string, why: string): void {
    this.#refused(peer, code, `${peer} ${why}: its connection was closed`)
    this.disconnect(peer)
  }

  /** Gossipsub checks signatures before any validator sees the message, and tells nobody but its own scores. */
  #watchSignatures(): void {
    const score = scoreOf(this.#libp2p.services.gossip)
    const rejectInvalidMessage = score.rejectInvalidMessage.bind(score)
    score.rejectInvalidMessage = (source, topic) => {
      rejectInvalidMessage(source, topic)
      this.#refused(source, 'bad_signature', `gossip of ${source} was refused: it is not signed by the peer that it names`)
    }
  }

  #refused(peer: string, code: string, message: string, author?: string): void {
    this.#emit({ type: 'refused', peer, code, message, ...(author === undefined || author === peer ? {} : { author }) })
  }

  /** Topics are in no list that others see: a protocol of the same name, on which nobody speaks, says which version we listen to. */
  #tellVersion(topic: string): void {
    const protocol = topic.split('/').slice(0, 5).join('/')
    if (this.#told.has(protocol)) return
    this.#told.add(protocol)
    const refuse = (stream: Stream) => stream.abort(new ProtocolError('bad_message', `nothing is said on ${protocol}: it is a topic`))
    this.#libp2p.handle(protocol, refuse, { maxInboundStreams: 1, maxOutboundStreams: 1 }).catch(() => {
      // The node is stopping.
    })
  }

  unsubscribe(topic: string): void {
    this.#libp2p.services.gossip.unsubscribe(topic)
    this.#libp2p.services.gossip.topicValidators.delete(topic)
  }

  async handle(protocol: string, handler: FrameHandler, { frameBytesMax, streamsPerPeer }: HandleOptions = {}): Promise<void> {
    const open = new InboundStreams<Inbound & { end(error: ProtocolError): void }>(streamsPerPeer)
    const answer = async (stream: Stream, connection: Connection) => {
      const peer = connection.remotePeer.toString()
      const frames = frameStream(stream, this.#traffic, frameBytesMax)
      const address = connection.remoteAddr.toString()
      const payer = () => payerOf({ peer, address, isAccepted: this.#isAccepted(peer) }, originOf)
      const entry = { peer, payer, movedMs: () => frames.movedMs, end: (error: ProtocolError) => frames.abort(error) }
      const victim = open.add(entry)
      if (victim !== null) {
        victim.end(new ProtocolError('too_many_streams', `no more streams of ${protocol} are served`))
        this.#refused(
          victim.peer,
          'too_many_streams',
          `${victim.peer} has as many streams of ${protocol} open as are served: one was ended`
        )
        if (victim === entry) return
      }
      try {
        await handler(frames, peer, address)
        await untilEnded(stream)
      } catch (error) {
        frames.abort(error instanceof Error ? error : new Error(String(error)))
        const code = refusalCodeOf(error)
        if (code !== null) this.#refused(peer, code, `a stream of ${peer} was ended (${protocol}): ${reasonOf(error)}`)
      } finally {
        open.remove(entry)
      }
    }
    await this.#libp2p.handle(protocol, answer, { maxInboundStreams: MAX_STREAMS_IN, maxOutboundStreams: MAX_STREAMS_OUT })
  }

  async unhandle(protocol: string): Promise<void> {
    await this.#libp2p.unhandle(protocol)
  }

  async openStream(peer: string, protocol: string, options: { signal?: AbortSignal } = {}): Promise<FrameStream> {
    const stream = await this.#libp2p.dialProtocol(peerIdFromString(peer), protocol, { signal: this.#signal(options.signal) })
    return frameStream(stream, this.#traffic)
  }

  traffic(): TrafficCounter {
    return { ...this.#traffic }
  }

  twins(): Twin[] {
    return this.#twins.found()
  }

  wire(): TrafficCounter {
    return { ...this.#wire }
  }

  /** A connected peer has said what it speaks: ours, or of another mesh and sent away. */
  #identified({ peerId, protocols, agentVersion, connection, listenAddrs }: IdentifyResult): void {
    const peer = peerId.toString()
    const theirs = versionsOf(protocols, this.network)
    this.#compareVersions(peer, theirs)
    if (!protocols.includes(dhtProtocol(this.network))) {
      this.#strangers.set(peer, true)
      this.#redial.remove(peer)
      if (theirs.size === 0) this.#emit({ type: 'otherNetwork', peer })
      // Not at once: the other side shall learn why.
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        this.disconnect(peer)
      }, STRANGER_MS)
      this.#timers.add(timer)
      return
    }
    // Gone before what it said was read: nothing would ever say so again.
    if (this.#libp2p.getConnections(peerId).length === 0) return
    this.#strangers.delete(peer)
    this.#forgotten.delete(peer)
    this.#retryAtMs.delete(peer)
    const listening = listenAddrs.slice(0, MAX_LISTENING).map(String)
    const { direction } = connection
    const isCalled = direction === 'outbound'
    const known = this.#members.get(peer)
    if (known !== undefined) {
      known.listening = listening
      known.isCalled ||= isCalled
      return
    }
    const foundBy = direction === 'inbound' ? 'inbound' : (this.#discovered.sources.get(peer) ?? 'dht')
    const agent = agentVersion === undefined ? null : oneLine(agentVersion.slice(0, 64))
    this.#members.set(peer, { foundBy, listening, direction, isCalled, connectedAtMs: Date.now(), agent, rttMs: null })
    this.#emit({ type: 'connected', peer, foundBy })
    this.#lookUpAt(this.#lookups.afterMeeting(performance.now()))
    this.#announceSoon()
    void this.#measure(peer)
  }

  /** Whoever is of our mesh and cannot understand us is told apart from whoever is of another; it sees our list, and does the same. */
  #compareVersions(peer: string, theirs: Map<string, Set<number>>): void {
    const found = mismatches(versionsOf(this.#libp2p.getProtocols(), this.network), theirs)
    const sentences = found.map(mismatch => mismatchSentence(peer, mismatch)).join('; ')
    const known = this.#mismatches.get(peer)?.sentences ?? ''
    if (sentences === '') this.#mismatches.delete(peer)
    else this.#mismatches.set(peer, { sentences, atMs: performance.now() })
    if (sentences !== '' && (sentences !== known || !theirs.has('kad') || this.#strangers.has(peer)))
      this.#emit({ type: 'versionMismatch', peer, mismatches: found, message: sentences })
  }

  mismatches(): string[] {
    const nowMs = performance.now()
    return [...this.#mismatches]
      .filter(([peer, { atMs }]) => this.#members.has(peer) || nowMs - atMs < VERSION_NEWS_MS)
      .map(([, { sentences }]) => sentences)
  }

  #connected(connection: Connection): void {
    const peer = connection.remotePeer.toString()
    if (this.#libp2p.getConnections(connection.remotePeer).length <= MAX_CONNECTIONS_PER_PEER) {
      this.#expectIdentity(connection)
      connection.addEventListener('close', ({ error }) => {
        // With all others of that peer: gossip would not go over to them.
        if (isProtocolError(error)) this.#gaveUp(peer, error.code, `does not read (${error.message})`)
      })
      return
    }
    connection.abort(new Error('too many connections of one peer'))
    this.#refused(peer, 'too_many_connections', `${peer} opened more than ${MAX_CONNECTIONS_PER_PEER} connections: the newest was closed`)
  }

  #expectIdentity(connection: Connection): void {
    const peer = connection.remotePeer.toString()
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      if (connection.status !== 'open' || this.#members.has(peer)) return
      connection.abort(new Error('the peer did not say what it is'))
      this.#refused(peer, 'peer_stalled', `${peer} did not say what it is: its connection was closed`)
    }, this.#options.identifyTimeoutMs ?? IDENTIFY_TIMEOUT_MS)
    this.#timers.add(timer)
  }

  #disconnected(peer: string): void {
    const member = this.#members.get(peer)
    if (member === undefined) return
    this.#members.delete(peer)
    this.#emit({ type: 'disconnected', peer })
    if (this.#stopping.signal.aborted || this.#forgotten.has(peer)) return
    // Who only called us calls again: anybody may call, and name any addresses to be called at.
    if (!member.isCalled && !this.#isAccepted(peer)) return
    this.#redial.add(peer, {
      connected: () => this.#members.has(peer),
      dial: async signal => {
        await this.#libp2p.dial(peerIdFromString(peer), { signal: this.#signal(signal) })
      },
      forMs: LOST_PEER_MS
    })
  }

  /** Waits until the peer has said what it is. @throws {DaemonError} peer_unreachable | other_network | version_mismatch */
  async #recognised(peer: string, address: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const details = { address, peer }
    const other = () =>
      new DaemonError('other_network', `cannot join ${address}: that node is not of network "${this.network}"`, {
        hint: 'start both nodes with the same --network',
        details
      })
    const stopListening = this.onEvent(event => {
      if (event.peer !== peer) return
      if (event.type === 'connected') resolve()
      if (event.type === 'otherNetwork') reject(other())
      if (event.type === 'versionMismatch' && !this.#members.has(peer) && event.mismatches.some(({ protocol }) => protocol === 'kad'))
        reject(new DaemonError('version_mismatch', `cannot join ${address}: ${event.message}`, { details }))
    })
    const unknown = () =>
      reject(
        new DaemonError('peer_unreachable', `cannot connect to ${address}: it did not say what it is before the connection ended`, {
          details
        })
      )
    const onClose = (event: CustomEvent<PeerId>) => {
      if (event.detail.toString() === peer) unknown()
    }
    const onAbort = () => reject(signal.reason)
    // The connection ends no later than that, unless it was over before anybody listened.
    const timer = setTimeout(unknown, this.#options.identifyTimeoutMs ?? IDENTIFY_TIMEOUT_MS)
    this.#libp2p.addEventListener('peer:disconnect', onClose)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      signal.throwIfAborted()
      if (this.#members.has(peer)) return
      if (this.#strangers.has(peer)) throw other()
      await promise
    } finally {
      stopListening()
      clearTimeout(timer)
      this.#libp2p.removeEventListener('peer:disconnect', onClose)
      signal.removeEventListener('abort', onAbort)
    }
  }

  #redialRemembered({ peer, addresses }: RememberedPeer): void {
    if (peer === this.peer) return
    this.#discovered.note(peer, 'remembered')
    const targets = addresses.map(parseAddress)
    this.#redial.add(peer, {
      connected: () => this.#members.has(peer),
      dial: async signal => {
        await this.#libp2p.dial(targets, { signal: this.#signal(signal) })
      },
      forMs: LOST_PEER_MS
    })
  }

  #redialBootstrap(text: string): void {
    const address = parseAddress(text)
    let peer = peerInAddress(address)
    if (peer === this.peer) return
    if (peer !== undefined) this.#discovered.sources.set(peer, 'bootstrap')
    this.#redial.add(text, {
      connected: () => peer !== undefined && (this.#members.has(peer) || peer === this.peer),
      dial: async signal => {
        const connection = await this.#libp2p.dial(multiaddr(text), { signal: this.#signal(signal) })
        peer = connection.remotePeer.toString()
        this.#discovered.sources.set(peer, 'bootstrap')
        // A node of another mesh answers too; it counts as a failure, so that it is called ever more seldom.
        await this.#recognised(peer, text, this.#signal(signal))
      }
    })
  }

  /** Calls a peer that mDNS or the DHT named. */
  async #meet(peer: string): Promise<void> {
    const nowMs = performance.now()
    if (peer === this.peer || this.#members.has(peer) || this.#strangers.has(peer) || this.#dialling.has(peer)) return
    if (this.#closedTo.has(peer)) return
    if (this.#members.size >= MAX_DISCOVERED_PEERS || (this.#retryAtMs.get(peer) ?? 0) > nowMs || this.#stopping.signal.aborted) return
    this.#dialling.add(peer)
    try {
      // Without an address libp2p would start a query of its own for each attempt; ours finds all who are near at once.
      if (!(await this.#hasAddress(peer))) this.#lookUpAt(this.#lookups.afterName(performance.now()))
      else await this.#libp2p.dial(peerIdFromString(peer), { signal: this.#signal() })
    } catch {
      this.#retryAtMs.set(peer, performance.now() + DISCOVERED_RETRY_MS)
    } finally {
      this.#dialling.delete(peer)
    }
  }

  /** The peer store learns a discovered peer's addresses in the same turn as we learn its name, so it is looked at a moment later. */
  async #hasAddress(peer: string): Promise<boolean> {
    await new Promise(resolve => setTimeout(resolve, 50))
    const id = peerIdFromString(peer)
    return (await this.#libp2p.peerStore.has(id)) && (await this.#libp2p.peerStore.get(id)).addresses.length > 0
  }

  /** Null: it stays as it is. */
  #lookUpAt(atMs: number | null): void {
    if (atMs === null || this.#stopping.signal.aborted) return
    clearTimeout(this.#lookupTimer)
    this.#lookupTimer = setTimeout(() => void this.#lookUp(), atMs - performance.now())
  }

  /** Asks for the peers nearest to us; the DHT tells us of each by its 'peer' event. */
  async #lookUp(): Promise<void> {
    this.#lookUpAt(this.#lookups.afterAsking(performance.now()))
    if (this.#members.size === 0) return
    try {
      const signal = this.#signal(AbortSignal.timeout(LOOKUP_TIMEOUT_MS))
      // Asked of the DHT itself: libp2p's peerRouting would follow each answer that has no address with a query of its own, without end in a busy mesh.
      for await (const event of this.#libp2p.services.dht.getClosestPeers(this.#libp2p.peerId.toMultihash().bytes, { signal })) void event
    } catch {
      // Tried again after the next wait; an empty table or a slow peer is no failure of ours.
    }
  }

  #announceSoon(): void {
    // The first who is there will have it told anew.
    if (this.#members.size > 0) this.#announceAt(this.#announcements.wanted(performance.now()))
  }

  /** Null: it stays as it is. */
  #announceAt(atMs: number | null): void {
    if (atMs === null || this.#stopping.signal.aborted) return
    this.#provideTimer = setTimeout(() => void this.#announceAll(), atMs - performance.now())
  }

  async #announceAll(): Promise<void> {
    for (const cid of this.#provided) {
      if (this.#stopping.signal.aborted) return
      try {
        const signal = this.#signal(AbortSignal.timeout(PROVIDE_TIMEOUT_MS))
        await this.#libp2p.contentRouting.provide(CID.parse(cid), { signal })
      } catch {
        // The next round announces it again.
      }
    }
    this.#announceAt(this.#announcements.ended(performance.now()))
  }

  async #measureAll(): Promise<void> {
    await Promise.all([...this.#members.keys()].map(peer => this.#measure(peer)))
  }

  async #measure(peer: string): Promise<void> {
    try {
      const rttMs = await this.ping(peer, { signal: AbortSignal.timeout(RTT_TIMEOUT_MS) })
      const member = this.#members.get(peer)
      if (member !== undefined) member.rttMs = rttMs
    } catch {
      // A busy peer answers late; presence decides who is gone.
    }
  }

  /** Fires when any of these does, and when the node stops. */
  #signal(...signals: (AbortSignal | undefined)[]): AbortSignal {
    const joined = AbortSignal.any([this.#stopping.signal, ...signals.filter(signal => signal !== undefined)])
    // One query of the DHT listens to it dozens of times; Node would take that for a leak and say so on stderr.
    setMaxListeners(0, joined)
    return joined
  }

  #emit(event: NodeEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}

const tooMuch = (who: string): string => `${who} says more by gossip than it may: what is too much is dropped`

/** Gossipsub keeps its scores in a field that its interface does not name. */
function scoreOf(gossip: unknown): PeerScore {
  return (gossip as { score: PeerScore }).score
}

const VERDICTS: Record<GossipVerdict, TopicValidatorResult> = {
  accept: TopicValidatorResult.Accept,
  ignore: TopicValidatorResult.Ignore,
  reject: TopicValidatorResult.Reject
}
