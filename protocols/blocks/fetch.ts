// One fetch: a worker a holder, all drawing on the same wants, until every block is here or nobody is left to ask.
import { ProtocolError } from '../errors.ts'
import { HOLDERS_POLL_MS, IMPATIENCE_MS, LAGGING_FACTOR, MAX_HOLDERS } from './constants.ts'
import type { Answer, HolderStream } from './holder-stream.ts'
import { Patience } from './patience.ts'
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
  /** The holder's stream is clean and may be used again. */
  release(peer: string, stream: HolderStream): void
  /** Rejects with code `wrong_bytes` when the bytes do not hash to the CID. */
  put(cid: string, bytes: Uint8Array): Promise<void>
  /** True for peers to be asked only when no other is left. */
  distrusted(peer: string): boolean
  onHolderFailure(failure: HolderFailure): void
  onBlock(bytes: number): void
}

export interface FetchSettings {
  stallMs: number
  /** Fires when the fetch is to end: with what it has, or with the caller's reason. */
  signal: AbortSignal
}

type HolderState = 'working' | 'idle' | 'out'

/** Our store cannot take the block: nobody else's fault, so the whole fetch fails with it. */
class StoreFailure extends Error {}

export class Fetch {
  readonly #components: FetchComponents
  readonly #settings: FetchSettings
  readonly #wants: Wants
  readonly #holders = new Map<string, HolderState>()
  readonly #broken = new Map<string, number>()
  readonly #workers = new Set<Promise<void>>()
  readonly #streams = new Map<string, HolderStream>()
  readonly #ending = new AbortController()
  #waiting: (() => void)[] = []
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
        this.#employ(from())
        if (this.#workers.size === 0) break
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

  /** Puts every listed holder to work that may help and is not at it. */
  #employ(peers: string[]): void {
    const able = [...new Set(peers)].filter(peer => (this.#holders.get(peer) ?? 'idle') === 'idle' && this.#wants.mayHelp(peer))
    const trusted = able.filter(peer => !this.#components.distrusted(peer))
    const chosen = trusted.length > 0 || this.#workers.size > 0 ? trusted : able
    for (const peer of chosen.slice(0, Math.max(0, MAX_HOLDERS - this.#workers.size))) {
      this.#holders.set(peer, 'working')
      const worker: Promise<void> = this.#work(peer).then(state => {
        this.#workers.delete(worker)
        this.#holders.set(peer, state)
        this.#wants.release(peer)
        this.#wake()
      })
      this.#workers.add(worker)
    }
  }

  async #work(peer: string): Promise<HolderState> {
    const patience = new Patience(this.#settings.stallMs, this.#ending.signal)
    let stream: HolderStream | undefined
    try {
      patience.renew()
      const opened = await this.#components.open(peer, patience.options)
      stream = opened
      patience.heardMs = () => opened.heardMs
      this.#streams.set(peer, opened)
      await this.#drain(peer, stream, patience)
      if (stream.clean) this.#components.release(peer, stream)
      else stream.abort(ended())
      return 'idle'
    } catch (error) {
      stream?.abort(error instanceof Error ? error : new Error(String(error)))
      return this.#blame(peer, error, { patience, stream })
    } finally {
      this.#streams.delete(peer)
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
        const startedMs = performance.now()
        await this.#change(idleMs < IMPATIENCE_MS ? IMPATIENCE_MS - idleMs + 1 : HOLDERS_POLL_MS)
        idleMs += performance.now() - startedMs
        continue
      }
      idleMs = 0
      const answers = await stream.answers(patience.options)
      patience.rest()
      for (const answer of answers) await this.#take(peer, answer)
      if (this.#ending.signal.aborted) return
      patience.renew()
      await stream.credit(patience.options)
    }
  }

  /** More to ask for, when the holder owes less than half of what it may. */
  #choose(peer: string, stream: HolderStream, idleMs: number): string[] {
    const allowance = this.#wants.allowance(this.#workers.size)
    if (stream.owed.length > allowance / 2) return []
    const room = allowance - stream.owed.length
    const cids = this.#wants.take(peer, room)
    if (cids.length > 0 || stream.owed.length > 0 || idleMs < IMPATIENCE_MS) return cids
    return this.#wants.takeOwedByOthers(peer, room, other => this.#lags(other, stream))
  }

  /** Whether it is worth asking this holder for what another owes, though it may then arrive twice. */
  #lags(other: string, { answerMs }: HolderStream): boolean {
    const theirs = this.#streams.get(other)
    if (theirs === undefined || theirs.silentMs >= IMPATIENCE_MS) return true
    return answerMs !== null && theirs.unansweredMs >= Math.max(IMPATIENCE_MS, LAGGING_FACTOR * answerMs)
  }

  async #take(peer: string, { cid, bytes }: Answer): Promise<void> {
    if (bytes === undefined) {
      this.#wants.absent(peer, cid)
      this.#wake()
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
    if (this.#wants.received(cid, bytes.length)) this.#components.onBlock(bytes.length)
    if (this.#wants.open.size === 0) this.#end()
  }

  /** A stalled or lying holder is out; one whose stream broke may try once more. */
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
    const message = patience.lost ? `said nothing for ${this.#settings.stallMs} ms` : error instanceof Error ? error.message : String(error)
    const cid = error instanceof ProtocolError && typeof error.details.cid === 'string' ? { cid: error.details.cid } : {}
    this.#components.onHolderFailure({ peer, code, message, ...cid })
    const breaks = (this.#broken.get(peer) ?? 0) + 1
    this.#broken.set(peer, breaks)
    return code === 'peer_unreachable' && stream !== undefined && breaks < 2 ? 'idle' : 'out'
  }

  #end(): void {
    this.#ending.abort(ended())
    this.#wake()
  }

  /** Resolves when something changed, at the end, and after `limitMs` at the latest. */
  #change(limitMs: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, limitMs)
      this.#waiting.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}

function ended(): ProtocolError {
  return new ProtocolError('peer_unreachable', 'the fetch has ended')
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
