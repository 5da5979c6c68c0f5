// Sync wired to a node: answers where our chain stands, and asks others where theirs does.
import { isProtocolError, ProtocolError } from '../errors.ts'
import type { FrameNode, FrameStream } from '../frame-stream.ts'
import { askOnce } from '../one-answer.ts'
import { type OriginOf, type Purse, Purses, payerOf, StrangersPurses } from '../purses.ts'
import {
  ANSWER_TIMEOUT_MS,
  ASKED_AT_ONCE,
  MAX_ASKED,
  MAX_CHAIN,
  MAX_REQUEST_BYTES,
  ORIGIN_SHARE,
  RECORD_CID_BYTES,
  REQUESTS,
  STRANGERS_BURST_SECONDS,
  STRANGERS_BYTES_PER_SECOND,
  STRANGERS_SHARE,
  STREAMS_PER_PEER,
  syncProtocol
} from './constants.ts'
import {
  decodeChainAnswer,
  decodeHeadAnswer,
  decodeSyncRequest,
  encodeChainAnswer,
  encodeHeadAnswer,
  encodeSyncRequest,
  type Head,
  type SyncRequest
} from './messages.ts'

/** Where our own chains stand. Answers null for a run that is not kept here. */
export interface ChainSource {
  head(run: string): Promise<Head | null>
  /** CIDs of adopted records from `fromRound` on, oldest first, at most `limit`. */
  chain(run: string, fromRound: number, limit: number): Promise<string[] | null>
  /** Whether the run's history has accepted anything of a peer. */
  isAccepted(peer: string, run: string): boolean
}

/** What chains wait for, where a node may send only so much. */
export interface SyncPace {
  readonly bytesPerSecond: number
  /** Resolves when so many bytes may leave at the cost of `payer`; rejects when `signal` fires first. */
  take(bytes: number, options: { payer: string; signal: AbortSignal }): Promise<void>
}

export interface SyncComponents {
  node: FrameNode
  source: ChainSource
  /** Which addresses are one machine's for all that we know. @default each by itself */
  originOf?: OriginOf
  /** @default chains leave as fast as they can */
  pace?: SyncPace | undefined
  /** At least 0 and less than 1. @default Math.random */
  lot?: () => number
}

export interface SyncOptions {
  network: string
  /** Milliseconds a peer may take for one answer, dialling included. @default ANSWER_TIMEOUT_MS */
  timeoutMs?: number
}

export class SyncService {
  readonly #node: FrameNode
  readonly #source: ChainSource
  readonly #protocol: string
  readonly #timeoutMs: number
  readonly #pace: SyncPace | undefined
  readonly #requests = new Purses(REQUESTS)
  /** Bytes of chains for those whom a run has not accepted. */
  readonly #strangers: StrangersPurses
  readonly #originOf: OriginOf | undefined
  readonly #lot: () => number

  constructor({ node, source, originOf, pace, lot }: SyncComponents, { network, timeoutMs }: SyncOptions) {
    this.#node = node
    this.#source = source
    this.#pace = pace
    const perSecond = Math.min(STRANGERS_BYTES_PER_SECOND, STRANGERS_SHARE * (pace?.bytesPerSecond ?? Number.POSITIVE_INFINITY))
    const burst = STRANGERS_BURST_SECONDS * perSecond
    const origin = { perSecond: ORIGIN_SHARE * perSecond, burst: Math.max(ORIGIN_SHARE * burst, MAX_CHAIN * RECORD_CID_BYTES) }
    this.#strangers = new StrangersPurses({ all: { perSecond, burst }, origin }, originOf)
    this.#originOf = originOf
    this.#lot = lot ?? Math.random
    this.#protocol = syncProtocol(network)
    this.#timeoutMs = timeoutMs ?? ANSWER_TIMEOUT_MS
  }

  async start(): Promise<void> {
    const options = { frameBytesMax: MAX_REQUEST_BYTES, streamsPerPeer: STREAMS_PER_PEER }
    await this.#node.handle(this.#protocol, (stream, peer, address) => this.#answer(stream, peer, address), options)
  }

  async stop(): Promise<void> {
    await this.#node.unhandle(this.#protocol)
  }

  /** A peer's newest record of `run`; null when it is not in the run. @throws ProtocolError peer_unreachable | peer_stalled | bad_message */
  async head(peer: string, run: string, options: { signal?: AbortSignal } = {}): Promise<Head | null> {
    return await this.#ask(peer, { ask: 'head', run }, decodeHeadAnswer, options)
  }

  /**
   * The newest records of those peers that answer, at most `most` of them being asked (MAX_ASKED): first those whom the run has accepted, each by lot.
   * In the order in which they were heard, the first to speak would choose what is heard.
   */
  async heads(
    run: string,
    peers: string[],
    { most = MAX_ASKED, ...options }: { signal?: AbortSignal; most?: number } = {}
  ): Promise<(Head & { peer: string })[]> {
    const drawn = peers.map(peer => ({ peer, lot: Number(this.#source.isAccepted(peer, run)) + this.#lot() }))
    const asked = drawn
      .sort((a, b) => b.lot - a.lot)
      .slice(0, most)
      .values()
    const answers: (Head & { peer: string })[] = []
    const askOn = async (): Promise<void> => {
      for (const { peer } of asked) {
        try {
          const head = await this.head(peer, run, options)
          if (head !== null) answers.push({ peer, ...head })
        } catch (error) {
          options.signal?.throwIfAborted()
          if (!isProtocolError(error)) throw error
        }
      }
    }
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, askOn))
    return answers
  }

  /** CIDs of the records of a peer's chain from `fromRound` on, oldest first, at most `limit` (and MAX_CHAIN); null when it is not in the run. */
  async chain(
    peer: string,
    run: string,
    fromRound: number,
    limit: number,
    options: { signal?: AbortSignal } = {}
  ): Promise<string[] | null> {
    const bounded = Math.min(limit, MAX_CHAIN)
    const answer = await this.#ask(peer, { ask: 'chain', run, fromRound, limit: bounded }, decodeChainAnswer, options)
    if (answer !== null && answer.records.length > bounded)
      throw new ProtocolError('bad_message', `cannot take ${answer.records.length} records: ${bounded} were asked for`)
    return answer?.records ?? null
  }

  async #answer(stream: FrameStream, peer: string, address: string): Promise<void> {
    for (;;) {
      const frame = await stream.read({ signal: AbortSignal.timeout(this.#timeoutMs) })
      if (frame === null) break
      const nowMs = performance.now()
      if (!this.#requests.has(peer, 1, nowMs))
        throw new ProtocolError('rate_limited', `cannot answer more than ${REQUESTS.perSecond} requests a second of one peer`)
      this.#requests.pay(peer, 1, nowMs)
      const answer = await this.#answerTo(peer, address, decodeSyncRequest(frame))
      await stream.write([answer], { signal: AbortSignal.timeout(this.#timeoutMs) })
    }
    await stream.close({ signal: AbortSignal.timeout(this.#timeoutMs) })
  }

  async #answerTo(peer: string, address: string, request: SyncRequest): Promise<Uint8Array> {
    const { run } = request
    if (request.ask === 'head') return encodeHeadAnswer(await this.#source.head(run))
    const isAccepted = this.#source.isAccepted(peer, run)
    const purses = isAccepted ? [] : this.#strangers.of(address)
    // All that it may be, before the disk is read: many ask at once.
    const most = request.limit * RECORD_CID_BYTES
    draw(purses, most)
    const records = await this.#source.chain(run, request.fromRound, request.limit)
    const answer = encodeChainAnswer(records === null ? null : { records: records.slice(0, request.limit) })
    for (const purse of purses) purse.pay(answer.length - most, performance.now())
    const payer = payerOf({ peer, address, isAccepted }, this.#originOf)
    await this.#pace?.take(answer.length, { payer, signal: AbortSignal.timeout(this.#timeoutMs) }).catch(cause => {
      throw new ProtocolError('rate_limited', 'cannot answer in time: this node may send only so much', { cause })
    })
    return answer
  }

  async #ask<T>(peer: string, request: SyncRequest, decode: (bytes: Uint8Array) => T, options: { signal?: AbortSignal }): Promise<T> {
    const frame = encodeSyncRequest(request)
    const question = { peer, protocol: this.#protocol, frame, decode, what: `its ${request.ask}`, timeoutMs: this.#timeoutMs }
    return await askOnce(this.#node, question, options)
  }
}

/** @throws ProtocolError rate_limited */
function draw(purses: readonly Purse[], bytes: number): void {
  const nowMs = performance.now()
  if (!purses.every(purse => purse.has(bytes, nowMs)))
    throw new ProtocolError('rate_limited', 'cannot tell strangers of more chains for now')
  for (const purse of purses) purse.pay(bytes, nowMs)
}
