// The block exchange wired to a node and a store: answers others, and fetches for us from several holders at once.
import { ProtocolError } from '../errors.ts'
import type { FrameNode } from '../frame-stream.ts'
import { type OriginOf, Purses, payerOf } from '../purses.ts'
import { blocksProtocol, IDLE_STREAM_MS, IMPATIENCE_MS, MAX_REQUEST_BYTES, MAX_STREAMS_PER_PEER, STALL_MS, WANTS } from './constants.ts'
import { Fetch, type HolderFailure } from './fetch.ts'
import { HolderStream } from './holder-stream.ts'
import { type Pace, serveBlocks } from './serving.ts'
import { Standings } from './standings.ts'

export interface BlockExchangeComponents {
  node: FrameNode
  store: {
    has(cid: string): Promise<boolean>
    get(cid: string): Promise<Uint8Array | undefined>
    /** Checks before it keeps: rejects with code `wrong_bytes` when the bytes do not hash to the CID. That is the check of what peers send. */
    put(cid: string, bytes: Uint8Array): Promise<void>
  }
}

export interface BlockExchangeOptions {
  network: string
  /** Told when a holder lied, stalled or broke off. */
  onHolderFailure?: (failure: HolderFailure) => void
  /** Milliseconds a holder may say nothing while it owes us a block. @default STALL_MS */
  stallMs?: number
  /** Makes the blocks that we send wait for their turn. @default they leave as fast as they can */
  pace?: Pace
  /** Whether any run has accepted anything of a peer. @default nobody is a stranger */
  isAccepted?: (peer: string) => boolean
  /** Which addresses are one machine's for all that we know. @default each by itself */
  originOf?: OriginOf
}

export interface FetchOptions {
  signal?: AbortSignal
  /** Milliseconds for the whole fetch; what is not here by then is `missing`. @default no limit */
  timeoutMs?: number
  /** Milliseconds a holder may say nothing while it owes us a block. @default the exchange's, and at most half of the fetch's time */
  stallMs?: number
  /** Those of `from()` that said that they have the blocks: they are asked first, beside others as far as there are places. @default none */
  holders?: readonly string[]
  onProgress?: (progress: { blocks: number; blocksWanted: number; bytes: number }) => void
  /** Takes each block in the store's stead. Bytes that do not hash to the CID must fail with `wrong_bytes`; any other failure ends the fetch. */
  put?: (cid: string, bytes: Uint8Array) => Promise<void>
}

/** Payload bytes of blocks, wire overhead not counted. */
export interface BlockTraffic {
  sent: number
  received: number
}

interface IdleStream {
  stream: HolderStream
  timer: NodeJS.Timeout
}

export class BlockExchange {
  readonly #components: BlockExchangeComponents
  readonly #protocol: string
  readonly #options: BlockExchangeOptions
  readonly #idle = new Map<string, IdleStream[]>()
  /** Streams to each peer, idle ones and those being opened too. */
  readonly #streams = new Map<string, number>()
  /** Fetches that wait for a stream to a peer, in the order in which they came. */
  readonly #waiting = new Map<string, Set<Fetch>>()
  readonly #standings = new Standings()
  readonly #wants = new Purses(WANTS)
  readonly #stopping = new AbortController()
  #sent = 0
  #received = 0

  constructor(components: BlockExchangeComponents, options: BlockExchangeOptions) {
    this.#components = components
    this.#options = options
    this.#protocol = blocksProtocol(options.network)
  }

  async start(): Promise<void> {
    const { node, store } = this.#components
    const { pace, isAccepted = () => true, originOf } = this.#options
    await node.handle(
      this.#protocol,
      (stream, peer, address) =>
        serveBlocks({
          stream,
          payer: () => payerOf({ peer, address, isAccepted: isAccepted(peer) }, originOf),
          store,
          pace,
          wants: this.#wants,
          onSent: bytes => {
            this.#sent += bytes
          }
        }),
      { frameBytesMax: MAX_REQUEST_BYTES }
    )
  }

  /** Ends running fetches (they reject) and closes idle streams. */
  async stop(): Promise<void> {
    this.#stopping.abort(new ProtocolError('peer_unreachable', 'the block exchange has stopped'))
    await this.#components.node.unhandle(this.#protocol)
    const idle = [...this.#idle.values()].flat()
    this.#idle.clear()
    for (const { timer } of idle) clearTimeout(timer)
    await Promise.all(idle.map(({ stream }) => stream.close()))
  }

  get traffic(): BlockTraffic {
    return { sent: this.#sent, received: this.#received }
  }

  /**
   * Makes the blocks be in the store, from whoever of `from()` has them; it is asked again while the fetch runs, so holders may come and go.
   * Blocks already here cost nothing, so a fetch that broke off goes on where it stood. Resolves early with what is missing as soon as every
   * holder listed has failed or said that it does not have it.
   *
   * @throws what `signal` was aborted with, or what the store's `put` failed with (disk_full)
   */
  async fetch(cids: string[], from: () => string[], options: FetchOptions = {}): Promise<{ missing: string[] }> {
    const { signal, timeoutMs, onProgress } = options
    signal?.throwIfAborted()
    const wanted = await this.#absent(cids)
    if (wanted.length === 0) return { missing: [] }
    const timeout = timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)]
    const progress = { blocks: 0, blocksWanted: wanted.length, bytes: 0 }
    const fetch: Fetch = new Fetch(
      {
        open: (peer, opening) => this.#open(peer, opening),
        busy: peer => this.#busy(peer, fetch),
        release: (peer, stream) => this.#release(peer, stream),
        drop: (peer, stream, error) => this.#drop(peer, stream, error),
        put: options.put ?? ((cid, bytes) => this.#components.store.put(cid, bytes)),
        standings: this.#standings,
        onHolderFailure: failure => this.#options.onHolderFailure?.(failure),
        onBlock: bytes => {
          this.#received += bytes
          progress.blocks += 1
          progress.bytes += bytes
          onProgress?.({ ...progress })
        }
      },
      {
        holders: options.holders ?? [],
        stallMs: options.stallMs ?? Math.min(this.#options.stallMs ?? STALL_MS, patienceWithin(timeoutMs)),
        signal: AbortSignal.any([this.#stopping.signal, ...(signal === undefined ? [] : [signal]), ...timeout])
      },
      wanted
    )
    const missing = await fetch.run(from).finally(() => this.#waitsNoMore(fetch))
    signal?.throwIfAborted()
    this.#stopping.signal.throwIfAborted()
    return { missing }
  }

  async #absent(cids: string[]): Promise<string[]> {
    const distinct = [...new Set(cids)]
    const held = await Promise.all(distinct.map(cid => this.#components.store.has(cid)))
    return distinct.filter((_, index) => !held[index])
  }

  async #open(peer: string, options: { signal: AbortSignal }): Promise<HolderStream> {
    const streams = this.#idle.get(peer) ?? []
    const idle = streams.pop()
    if (streams.length === 0) this.#idle.delete(peer)
    if (idle !== undefined) {
      clearTimeout(idle.timer)
      return idle.stream
    }
    this.#streams.set(peer, (this.#streams.get(peer) ?? 0) + 1)
    try {
      return new HolderStream(await this.#components.node.openStream(peer, this.#protocol, options))
    } catch (error) {
      this.#ended(peer)
      throw error
    }
  }

  /** True when a fetch must wait for a stream to this peer: its node refuses more than so many, and so would ours. */
  #busy(peer: string, fetch: Fetch): boolean {
    if ((this.#idle.get(peer)?.length ?? 0) > 0 || (this.#streams.get(peer) ?? 0) < MAX_STREAMS_PER_PEER) return false
    const waiting = this.#waiting.get(peer) ?? new Set()
    this.#waiting.set(peer, waiting.add(fetch))
    return true
  }

  #drop(peer: string, stream: HolderStream, error: Error): void {
    stream.abort(error)
    this.#ended(peer)
  }

  async #close(peer: string, stream: HolderStream): Promise<void> {
    await stream.close()
    this.#ended(peer)
  }

  /** One stream to this peer is no more. */
  #ended(peer: string): void {
    const left = (this.#streams.get(peer) ?? 1) - 1
    if (left > 0) this.#streams.set(peer, left)
    else this.#streams.delete(peer)
    this.#wakeNext(peer)
  }

  /** One for one stream: to wake all of a thousand each time would cost a million looks. */
  #wakeNext(peer: string): void {
    const waiting = this.#waiting.get(peer)
    const next = waiting?.values().next().value
    if (waiting === undefined || next === undefined) return
    waiting.delete(next)
    if (waiting.size === 0) this.#waiting.delete(peer)
    next.wake()
  }

  #waitsNoMore(fetch: Fetch): void {
    for (const [peer, waiting] of this.#waiting) {
      if (waiting.delete(fetch) && waiting.size === 0) this.#waiting.delete(peer)
    }
  }

  /** Keeps the stream for the next fetch from this peer: a body takes three in a row. */
  #release(peer: string, stream: HolderStream): void {
    if (this.#stopping.signal.aborted) {
      void this.#close(peer, stream)
      return
    }
    stream.reused = true
    const streams = this.#idle.get(peer) ?? []
    const timer = setTimeout(() => {
      const at = streams.findIndex(idle => idle.stream === stream)
      if (at >= 0) streams.splice(at, 1)
      if (streams.length === 0 && this.#idle.get(peer) === streams) this.#idle.delete(peer)
      void this.#close(peer, stream)
    }, IDLE_STREAM_MS)
    streams.push({ stream, timer })
    this.#idle.set(peer, streams)
    this.#wakeNext(peer)
  }
}

/**
 * Milliseconds that a fetch of so many may wait for a silent holder: half of them, or it would end before it knows who was silent, and the next
 * would ask the same one first. Where little is left of a time that others had, nobody was silent for long.
 */
function patienceWithin(timeoutMs: number | undefined): number {
  return timeoutMs === undefined ? Number.POSITIVE_INFINITY : Math.max(IMPATIENCE_MS, timeoutMs / 2)
}
