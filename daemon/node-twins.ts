// Asks every connection of a peer that has several who is behind it, answers the same question, and listens to what mDNS finds under our own name.
import { createHash, randomInt } from 'node:crypto'
import { hostname } from 'node:os'
import type { Connection, Libp2p, PeerId, Stream } from '@libp2p/interface'
import {
  advanceTwins,
  createTwins,
  decodeAnswer,
  decodeQuestion,
  encodeAnswer,
  encodeQuestion,
  MAX_ADDRESSES,
  MAX_CONNECTIONS_ASKED,
  MAX_WHO_BYTES,
  TWINS_INTERVAL_MS,
  type Twin,
  type TwinsState,
  WHO_TIMEOUT_MS,
  type Who,
  whoProtocol
} from '../protocols/identity/index.ts'
import { frameStream, type TrafficCounter, untilEnded } from './node-streams.ts'

/** Digits that tell two machines apart, and too few to tell which name is behind them. */
const MACHINE_DIGITS = 4

/** Owns one timer. */
export class Twins {
  readonly #libp2p: Libp2p
  readonly #protocol: string
  readonly #traffic: TrafficCounter
  readonly #state: TwinsState
  readonly #asking = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(libp2p: Libp2p, { network, traffic }: { network: string; traffic: TrafficCounter }) {
    this.#libp2p = libp2p
    this.#protocol = whoProtocol(network)
    this.#traffic = traffic
    this.#state = createTwins(libp2p.peerId.toString(), {
      session: randomInt(2 ** 47),
      host: machineOf(libp2p.peerId.toString()),
      addresses: []
    })
  }

  async start(): Promise<void> {
    await this.#libp2p.handle(this.#protocol, (stream, connection) => this.#answer(stream, connection), { maxInboundStreams: 8 })
    this.#libp2p.addEventListener('peer:identify', ({ detail }) => void this.#ask(detail.peerId))
    this.#timer = setInterval(() => {
      advanceTwins(this.#state, { type: 'tick' }, performance.now())
      for (const peer of new Map(this.#libp2p.getConnections().map(({ remotePeer }) => [remotePeer.toString(), remotePeer])).values())
        void this.#ask(peer)
    }, TWINS_INTERVAL_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Identities that live twice now. What lives on this machine is given by its name, which no other is told. */
  found(): Twin[] {
    return [...this.#state.found.values()].map(({ peer, whos, by }) => {
      const machine = machineOf(peer)
      return { peer, whos: whos.map(who => (who.host === machine ? { ...who, host: hostname() } : who)), by }
    })
  }

  /** mDNS found our own id in an answer that is not ours. */
  met(addresses: string[]): void {
    this.#lookAtSelf()
    // Its session is not known: its addresses tell it from us.
    const who = { session: -1, host: 'another machine or folder on this network', addresses: addresses.slice(0, MAX_ADDRESSES) }
    advanceTwins(this.#state, { type: 'met', who }, performance.now())
  }

  async #ask(peerId: PeerId): Promise<void> {
    const peer = peerId.toString()
    const connections = this.#libp2p.getConnections(peerId).filter(({ status }) => status === 'open')
    if (connections.length < 2 || this.#asking.has(peer)) return
    this.#asking.add(peer)
    try {
      const asked = connections.slice(-MAX_CONNECTIONS_ASKED)
      const whos = (await Promise.all(asked.map(connection => this.#who(connection, [])))).filter(who => who !== null)
      advanceTwins(this.#state, { type: 'answers', peer, whos }, performance.now())
      const twin = this.#state.found.get(peer)
      if (twin !== undefined) await Promise.all(asked.map(connection => this.#who(connection, twin.whos)))
    } finally {
      this.#asking.delete(peer)
    }
  }

  /** Null where there is no answer: it is gone, or too old to know the question. */
  async #who(connection: Connection, twins: Who[]): Promise<Who | null> {
    const signal = AbortSignal.timeout(WHO_TIMEOUT_MS)
    try {
      const stream = await connection.newStream(this.#protocol, { signal })
      const frames = frameStream(stream, this.#traffic, MAX_WHO_BYTES)
      try {
        await frames.write([encodeQuestion(twins)], { signal })
        const answer = await frames.read({ signal })
        await frames.close({ signal })
        return answer === null ? null : decodeAnswer(answer)
      } catch (error) {
        frames.abort(error as Error)
        return null
      }
    } catch {
      return null
    }
  }

  async #answer(stream: Stream, connection: Connection): Promise<void> {
    const signal = AbortSignal.timeout(WHO_TIMEOUT_MS)
    const frames = frameStream(stream, this.#traffic, MAX_WHO_BYTES)
    try {
      const question = await frames.read({ signal })
      if (question !== null) {
        const whos = decodeQuestion(question)
        this.#lookAtSelf()
        advanceTwins(this.#state, { type: 'told', by: connection.remotePeer.toString(), whos }, performance.now())
        await frames.write([encodeAnswer(this.#state.own)], { signal })
      }
      await frames.close({ signal })
      await untilEnded(stream)
    } catch (error) {
      frames.abort(error as Error)
    }
  }

  #lookAtSelf(): void {
    const addresses = this.#libp2p.getMultiaddrs().map(address => address.toString().replace(/\/p2p\/[^/]+$/, ''))
    this.#state.own.addresses = addresses.slice(0, MAX_ADDRESSES)
  }
}

/** What this machine is called where `peer` lives on it: anybody may ask, and the machine's name is nobody's business. */
function machineOf(peer: string): string {
  return `machine ${createHash('sha256').update(`${peer} ${hostname()}`).digest('hex').slice(0, MACHINE_DIGITS)}`
}
