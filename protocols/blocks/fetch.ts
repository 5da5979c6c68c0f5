// One fetch: a worker a holder, all drawing on the same wants, until every block is here or nobody is left to ask.
import { ProtocolError } from '../errors.ts'
import {
  HOLDERS_POLL_MS,
  IMPATIENCE_MS,
  KEEP_BYTES_PER_SECOND,
  LAGGING_FACTOR,
  MAX_BREAKS,
  MAX_HOLDERS,
  MIN_BYTES_PER_SECOND
} from './constants.ts'
import type { Answer, HolderStream } from './holder-stream.ts'
import { Patience } from './patience.ts'
import type { Standings } from './standings.ts'
import { Wants } from './wants.ts'

/** How a holder failed us; told, not thrown: the fetch goes on with others. */
export interface HolderFailure {
  peer: string
  code: ProtocolError['code']
  message: string
  cid?: string
}

export interface FetchComponents {
  open(peer: string, options: { signal: AbortSignal }): Promise<HolderStream>
  /** True while as many streams to the peer are in use as there may be; wake() says when that may have changed. */
  busy(peer: string): boolean
  /** The holder's stream is clean and may be used again. */
  release(peer: string, stream: HolderStream): void
  /** Ends a stream that is of no more use. */
  drop(peer: string, stream: HolderStream, error: Error): void
  /** Rejects with code `wrong_bytes` when the bytes do not hash to the CID. */
  put(cid: string, bytes: Uint8Array): Promise<void>
  standings: Pick<Standings, 'note' | 'of' | 'sorted'>
  onHolderFailure(failure: HolderFailure): void
  onBlock(bytes: number): void
}

export interface FetchSettings {
  /** Said that they have what is fetched. */
  holders: readonly string[]
  stallMs: number
  /** Fires when the fetch is to end: with what it has, or with the caller's reason. */
  signal: AbortSignal
}

/** replaced: its place went to another for a while; stalled: asked again only where nobody else is left; out: not asked again in this fetch. */
type HolderState = 'working' | 'idle' | 'replaced' | 'stalled' | 'out'

/** A holder at work. */
interface Place {
  sinceMs: number
  /** Null while the stream is opened. */
  stream: HolderStream | null
  /** Whose blocks it is to ask for next, in that one's stead. */
  instead: string | undefined
  /** Fires when another has taken the place. */
  replacing: AbortController
}

/** Our store cannot take the block: nobody else's fault, so the whole fetch fails with it. */
class StoreFailure extends Error {}

export class Fetch {
  readonly #components: FetchComponents
  readonly #settings: FetchSettings
  readonly #wants: Wants
  readonly #holders = new Map<string, HolderState>()
  readonly #broken = new Map<string, number>()
  readonly #workers = new Set<Promise<void>>()
  readonly #places = new Map<string, Place>()
  /** Holders that had another's place, or lost theirs. */
  readonly #tried = new Set<string>()
  readonly #ending = new AbortController()
  readonly #waiting = new Set<() => void>()
  #failure: unknown

  constructor(components: FetchComponents, settings: FetchSettings, missing: string[]) {
    this.#components = components
    this.#settings = settings
    this.#wants = new Wants(missing)
  }

  /** Resolves with what could not be had. Rejects only when our own store fails. */
  async run(from: () => string[]): Promise<string[]> {
    const stop = () => this.#end()
    if (this.#settings.signal.aborted) stop()
    this.#settings.signal.addEventListener('abort', stop, { once: true })
    try {
      while (this.#wants.open.size > 0 && !this.#ending.signal.aborted && this.#failure === undefined) {
        const waiting = this.#employ(from())
        if (this.#workers.size === 0 && !waiting) break
        await this.#change(HOLDERS_POLL_MS)
      }
    } finally {
      this.#settings.signal.removeEventListener('abort', stop)
      this.#end()
      await Promise.all(this.#workers)
    }
    if (this.#failure !== undefined) throw this.#failure
    return [...this.#wants.open]
  }

  /** Something outside this fetch changed: look again who may be asked. */
  wake(): void {
    for (const wake of this.#waiting) wake()
  }

  /** Puts listed holders to work that may help and are not at it. True when some must wait for a stream that other fetches use. */
  #employ(peers: string[]): boolean {
    const able = [...new Set(peers)].filter(
      peer => this.#stateOf(peer) !== 'working' && this.#stateOf(peer) !== 'out' && this.#wants.mayHelp(peer)
    )
    const trusted = able.filter(peer => this.#stateOf(peer) !== 'stalled' && this.#components.standings.of(peer) !== 'liar')
    const willing = trusted.length > 0 || this.#workers.size > 0 ? trusted : able
    const free = willing.filter(peer => !this.#components.busy(peer))
    const fresh = this.#components.standings.sorted(
      free.filter(peer => this.#stateOf(peer) === 'idle'),
      this.#settings.holders
    )
    const replaced = free.filter(peer => this.#stateOf(peer) !== 'idle')
    for (const peer of [...fresh, ...replaced].slice(0, Math.max(0, MAX_HOLDERS - this.#workers.size))) this.#start(peer)
    this.#replaceSlowest(fresh.find(peer => this.#stateOf(peer) === 'idle' && this.#components.standings.of(peer) !== 'slow'))
    return free.length < willing.length
  }

  #stateOf(peer: string): HolderState {
    return this.#holders.get(peer) ?? 'idle'
  }

  #start(peer: string, instead?: string): void {
    this.#holders.set(peer, 'working')
    const place: Place = { sinceMs: performance.now(), stream: null, instead, replacing: new AbortController() }
    this.#places.set(peer, place)
    const worker: Promise<void> = this.#work(peer, place).then(state => {
      this.#workers.delete(worker)
      this.#places.delete(peer)
      this.#holders.set(peer, state)
      this.#wants.release(peer)
      this.wake()
    })
    this.#workers.add(worker)
  }

  /**
   * Lets an untried holder, one that waits for a place or has one and nothing to do, succeed the slowest of those who have given no whole answer for a
   * while. One after the other, not waiting for one that is long to open its stream; nobody is untried twice, so that where the link is slow, and all are, the fetch soon stops changing and goes on.
   */
  #replaceSlowest(waiting: string | undefined): void {
    const succeeding = [...this.#places.values()].filter(({ instead }) => instead !== undefined)
    if (succeeding.some(({ sinceMs }) => performance.now() - sinceMs < IMPATIENCE_MS)) return
    const slow = [...this.#places.entries()]
      .map(([peer, place]) => ({ peer, bytesPerSecond: this.#paceOf(place) }))
      .filter(({ peer, bytesPerSecond }) => bytesPerSecond < KEEP_BYTES_PER_SECOND && succeeding.every(({ instead }) => instead !== peer))
      .sort((a, b) => a.bytesPerSecond - b.bytesPerSecond)[0]
    if (slow === undefined) return
    const untried = waiting ?? [...this.#places.keys()].find(peer => this.#isUntried(peer))
    if (untried === undefined) return
    this.#tried.add(untried)
    const place = this.#places.get(untried)
    if (place === undefined) this.#start(untried, slow.peer)
    else {
      place.instead = slow.peer
      this.wake()
    }
  }

  /** True for a holder at work that nothing was left for, so that it could not show how fast it is. */
  #isUntried(peer: string): boolean {
    const stream = this.#places.get(peer)?.stream ?? null
    return stream !== null && stream.owed.length === 0 && stream.answerMs === null && !this.#tried.has(peer)
  }

  /** Its successor is about to ask: what it owes is free, before anybody else asks. */
  #showOut(peer: string): void {
    this.#tried.add(peer)
    const place = this.#places.get(peer)
    if (place === undefined || place.replacing.signal.aborted) return
    this.#wants.release(peer)
    this.#components.standings.note(peer, 'slow')
    place.replacing.abort(new ProtocolError('peer_stalled', 'another holder takes its place'))
  }

  /** Bytes a second of a holder that keeps us waiting; Infinity of one that does not, or not for long. */
  #paceOf({ sinceMs, stream }: Place): number {
    if (stream === null) return performance.now() - sinceMs < IMPATIENCE_MS ? Number.POSITIVE_INFINITY : 0
    return stream.owed.length === 0 || stream.unansweredMs < IMPATIENCE_MS ? Number.POSITIVE_INFINITY : stream.bytesPerSecond
  }

  async #work(peer: string, place: Place): Promise<HolderState> {
    const signal = AbortSignal.any([this.#ending.signal, place.replacing.signal])
    const patience = new Patience(this.#settings.stallMs, signal)
    let stream: HolderStream | undefined
    try {
      patience.renew()
      const opened = await this.#components.open(peer, patience.options)
      stream = opened
      place.stream = opened
      patience.listen({ heardBytes: () => opened.heardBytes, enoughBytes: (MIN_BYTES_PER_SECOND * this.#settings.stallMs) / 1000 })
      await this.#drain(peer, stream, patience)
      if (stream.clean) this.#components.release(peer, stream)
      else this.#components.drop(peer, stream, ended())
      return 'idle'
    } catch (error) {
      if (stream !== undefined) this.#components.drop(peer, stream, error instanceof Error ? error : new Error(String(error)))
      if (place.replacing.signal.aborted) return 'replaced'
      return this.#blame(peer, error, { patience, stream })
    } finally {
      patience.end()
    }
  }

  /** Asks and takes until this holder has nothing more for us. */
  async #drain(peer: string, stream: HolderStream, patience: Patience): Promise<void> {
    let idleMs = 0
    while (this.#wants.mayHelp(peer) && !this.#ending.signal.aborted) {
      const cids = this.#choose(peer, stream, idleMs)
      patience.renew()
      if (cids.length > 0) await stream.want(cids, patience.options)
      if (stream.owed.length === 0) {
        patience.rest()
        const waitMs = idleMs < IMPATIENCE_MS ? IMPATIENCE_MS - idleMs + 1 : HOLDERS_POLL_MS
        const startedMs = performance.now()
        await this.#change(waitMs)
        const waitedMs = performance.now() - startedMs
        // Far later than meant, this process stood still: what the others sent meanwhile is still unread, and not theirs to answer for.
        idleMs = waitedMs - waitMs > HOLDERS_POLL_MS ? 0 : idleMs + waitedMs
        continue
      }
      idleMs = 0
      const answers = await this.#nextAnswers(stream, patience)
      patience.rest()
      for (const answer of answers) await this.#take(peer, answer)
      // Once for all of them: in a large mesh nearly everybody lacks what is new, and each waking looks at everybody.
      if (answers.some(({ bytes }) => bytes === undefined)) this.wake()
      if (this.#ending.signal.aborted) return
      patience.renew()
      await stream.credit(patience.options)
    }
  }

  /** Answers, one at least. Pieces of one are no reason to begin counting anew: they may be as small as the holder likes. */
  async #nextAnswers(stream: HolderStream, patience: Patience): Promise<Answer[]> {
    for (;;) {
      const answers = await stream.answers(patience.options)
      if (answers.length > 0) return answers
      await stream.credit(patience.options)
    }
  }

  /** More to ask for, when the holder owes less than half of what it may. */
  #choose(peer: string, stream: HolderStream, idleMs: number): string[] {
    const place = this.#places.get(peer)
    if (place?.instead !== undefined) {
      this.#showOut(place.instead)
      place.instead = undefined
    }
    const allowance = this.#wants.allowance(this.#workers.size)
    if (stream.owed.length > allowance / 2) return []
    const room = allowance - stream.owed.length
    const cids = this.#wants.take(peer, room)
    if (cids.length > 0 || stream.owed.length > 0 || idleMs < IMPATIENCE_MS) return cids
    return this.#wants.takeOwedByOthers(peer, room, other => this.#lags(other, stream))
  }

  /** Whether it is worth asking this holder for what another owes, though it may then arrive twice. */
  #lags(other: string, { answerMs }: HolderStream): boolean {
    const theirs = this.#places.get(other)?.stream ?? null
    if (theirs === null || theirs.silentMs >= IMPATIENCE_MS) return true
    return answerMs !== null && theirs.unansweredMs >= Math.max(IMPATIENCE_MS, LAGGING_FACTOR * answerMs)
  }

  async #take(peer: string, { cid, bytes }: Answer): Promise<void> {
    if (bytes === undefined) {
      this.#wants.absent(peer, cid)
      return
    }
    if (!this.#wants.open.has(cid)) return
    try {
      // The store hashes what it is given, before it keeps it; hashing here as well would double the dearest step after decryption.
      await this.#components.put(cid, bytes)
    } catch (cause) {
      if (codeOf(cause) === 'wrong_bytes')
        throw new ProtocolError('wrong_bytes', `got bytes for ${cid} that do not hash to it`, { details: { cid } })
      throw new StoreFailure('cannot store a block', { cause })
    }
    this.#components.standings.note(peer, 'good')
    if (this.#wants.received(cid, bytes.length)) this.#components.onBlock(bytes.length)
    if (this.#wants.open.size === 0) this.#end()
  }

  /** A lying holder is out, and one that could not be reached; one that stalled or broke off may try again. */
  #blame(peer: string, error: unknown, { patience, stream }: { patience: Patience; stream: HolderStream | undefined }): HolderState {
    if (error instanceof StoreFailure) {
      this.#failure ??= error.cause
      this.#end()
      return 'idle'
    }
    if (this.#ending.signal.aborted) return 'idle'
    // A stream kept from an earlier fetch may have died since, with the peer restarted: no failure of this fetch.
    const code = patience.lost ? 'peer_stalled' : error instanceof ProtocolError ? error.code : 'peer_unreachable'
    if (code === 'peer_unreachable' && stream?.reused === true) return 'idle'
    if (code === 'wrong_bytes' || code === 'bad_message') this.#components.standings.note(peer, 'liar')
    if (code === 'peer_stalled') this.#components.standings.note(peer, 'slow')
    const message = patience.lost
      ? `said nothing, or next to nothing, for ${this.#settings.stallMs} ms`
      : error instanceof Error
        ? error.message
        : String(error)
    const cid = error instanceof ProtocolError && typeof error.details.cid === 'string' ? { cid: error.details.cid } : {}
    this.#components.onHolderFailure({ peer, code, message, ...cid })
    const breaks = (this.#broken.get(peer) ?? 0) + 1
    this.#broken.set(peer, breaks)
    if (stream === undefined || breaks >= MAX_BREAKS) return 'out'
    return code === 'peer_stalled' ? 'stalled' : code === 'peer_unreachable' ? 'idle' : 'out'
  }

  #end(): void {
    this.#ending.abort(ended())
    this.wake()
  }

  /** Resolves when something changed, at the end, and after `limitMs` at the latest. */
  #change(limitMs: number): Promise<void> {
    return new Promise(resolve => {
      const wake = () => {
        clearTimeout(timer)
        this.#waiting.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, limitMs)
      this.#waiting.add(wake)
    })
  }
}

function ended(): ProtocolError {
  return new ProtocolError('peer_unreachable', 'the fetch has ended')
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
