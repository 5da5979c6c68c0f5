// Looks whether the members of one run still see one another: lays presence, history, the DHT and a call side by side, and tells what the rule finds.
import { performance } from 'node:perf_hooks'
import {
  ASK_INTERVAL_MS,
  ASK_QUIET_INTERVAL_MS,
  ASK_TIMEOUT_MS,
  absentPeers,
  advanceSplit,
  type Branch,
  CALL_TIMEOUT_MS,
  createSplit,
  type Finding,
  findingSentence,
  LOOK_INTERVAL_MS,
  MAX_CALLS,
  RECENT_RECORDS,
  type SplitCommand
} from '../../protocols/split/index.ts'
import { isCodedError, reasonOf } from '../errors.ts'
import type { EventLog } from '../events.ts'
import type { KeptRound, Ledger } from './ledger.ts'

export interface SplitWatchComponents {
  run: string
  self: string
  ledger: Pick<Ledger, 'rounds'>
  events: Pick<EventLog, 'emit'>
  /** Other members that are here now, with what they tell of the run. */
  live(): { peer: string; run: { head: string | null; round: number } }[]
  branchOf(facts: { head: string; round: number }): Branch
  /** Whom this node bans: nothing of theirs reaches it, and it calls none of them. */
  banned(): readonly string[]
  /** Whether the run's history has accepted any work of a peer. */
  isAccepted(peer: string): boolean
  findProviders(options: { signal: AbortSignal }): AsyncIterable<string>
  /** Rejects where the peer cannot be reached. */
  ping(peer: string, options: { signal: AbortSignal }): Promise<unknown>
}

export interface SplitWatchOptions {
  /** @default LOOK_INTERVAL_MS */
  lookMs?: number
  /** Monotonic milliseconds. @default performance.now */
  now?: () => number
}

/** Owns one timer. */
export class SplitWatch {
  readonly #c: SplitWatchComponents
  readonly #state = createSplit()
  readonly #stopping = new AbortController()
  readonly #announced = new Set<string>()
  readonly #unreachable = new Set<string>()
  readonly #calledAtMs = new Map<string, number>()
  readonly #left = new Set<string>()
  readonly #now: () => number
  #askedAtMs: number
  #timer: NodeJS.Timeout | undefined
  #looking = false
  #told: string | null = null
  #finding: Finding | null = null
  #failure: string | null = null

  constructor(components: SplitWatchComponents, options: SplitWatchOptions = {}) {
    this.#c = components
    this.#now = options.now ?? (() => performance.now())
    this.#askedAtMs = this.#now()
    this.#timer = setInterval(() => void this.#look(), options.lookMs ?? LOOK_INTERVAL_MS)
  }

  /** What is wrong in a sentence, null while all see one another. */
  get sentence(): string | null {
    return this.#finding === null ? null : findingSentence(this.#finding)
  }

  /** A member said goodbye, or that it is not in the run: nobody cut it off. */
  left(peer: string): void {
    this.#left.add(peer)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#stopping.abort()
  }

  async #look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      const rounds = await this.#c.ledger.rounds(RECENT_RECORDS)
      if (this.#stopping.signal.aborted) return
      const nowMs = this.#now()
      // At each look: records and the DHT go on naming them, and presence may take a while to drop them.
      const banned = new Set(this.#c.banned())
      const left = [...this.#left, ...banned]
      this.#left.clear()
      const live = this.#c
        .live()
        .filter(({ peer }) => !banned.has(peer))
        .map(({ peer, run: { head, round } }) => {
          const branch = head === null ? 'ours' : this.#c.branchOf({ head, round })
          return { peer, branch, round, isAccepted: this.#c.isAccepted(peer) }
        })
      for (const { peer } of live) this.#unreachable.delete(peer)
      const commands = advanceSplit(
        this.#state,
        { self: this.#c.self, live, left, authors: authorsOf(rounds), announced: this.#announced, unreachable: this.#unreachable },
        nowMs
      )
      for (const command of commands) this.#tell(command, rounds[0]?.round)
      this.#askAround(nowMs)
    } catch (error) {
      // The ledger is closed, or its disk fails: others tell of that. The next look comes anyway.
      if (!isCodedError(error)) this.#failed(reasonOf(error))
    } finally {
      this.#looking = false
    }
  }

  /** Told once: a look that fails is no silence, but the next fails alike. */
  #failed(reason: string): void {
    if (reason === this.#failure) return
    this.#failure = reason
    this.#c.events.emit({ type: 'run', run: this.#c.run, code: 'internal', message: `looking for a split of the mesh: ${reason}` })
  }

  #tell(command: SplitCommand, round: number | undefined): void {
    const { run, events } = this.#c
    if (command.type === 'healed') {
      this.#finding = null
      this.#told = null
      const { back, given } = command
      const why = given === 'back' ? `${back.join(', ')} are here again` : GIVEN[given]
      events.emit({ type: 'run', run, code: 'mesh_healed', message: `all members see one another: ${why}`, data: { back } })
      return
    }
    this.#finding = command.finding
    // Who is missed, not what is known of them: each call would else be an event.
    const { missing, elsewhere } = command.finding
    const told = [...missing, ...elsewhere].map(({ peer }) => peer).join(' ')
    if (told === this.#told) return
    this.#told = told
    const message = findingSentence(command.finding)
    events.emit({ type: 'run', run, ...(round === undefined ? {} : { round }), code: 'mesh_split', message, data: { ...command.finding } })
  }

  /** Calls who is absent, and asks the DHT who is in the run. Never waits for either. */
  #askAround(nowMs: number): void {
    const absent = absentPeers(this.#state, nowMs)
    const due = absent.filter(peer => nowMs - (this.#calledAtMs.get(peer) ?? Number.NEGATIVE_INFINITY) >= ASK_INTERVAL_MS)
    for (const peer of due.slice(0, MAX_CALLS)) {
      this.#calledAtMs.set(peer, nowMs)
      void this.#call(peer)
    }
    // Names cost nothing: of who is followed no more, nothing is remembered.
    const followed = new Set(absent)
    for (const peer of this.#calledAtMs.keys()) if (!followed.has(peer)) this.#calledAtMs.delete(peer)
    for (const peer of this.#unreachable) if (!followed.has(peer)) this.#unreachable.delete(peer)
    if (nowMs - this.#askedAtMs < (absent.length > 0 ? ASK_INTERVAL_MS : ASK_QUIET_INTERVAL_MS)) return
    this.#askedAtMs = nowMs
    void this.#ask()
  }

  async #call(peer: string): Promise<void> {
    try {
      await this.#c.ping(peer, { signal: this.#within(CALL_TIMEOUT_MS) })
      this.#unreachable.delete(peer)
    } catch {
      if (!this.#stopping.signal.aborted) this.#unreachable.add(peer)
    }
  }

  async #ask(): Promise<void> {
    const found = new Set<string>()
    try {
      for await (const peer of this.#c.findProviders({ signal: this.#within(ASK_TIMEOUT_MS) })) if (peer !== this.#c.self) found.add(peer)
    } catch {
      // What was found before it failed counts.
    }
    this.#announced.clear()
    for (const peer of found) this.#announced.add(peer)
  }

  #within(ms: number): AbortSignal {
    return AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(ms)])
  }
}

const GIVEN = {
  left: 'those who were missed left, are banned here, or are here and not in the run',
  forgotten: 'those who were missed are not heard of any more'
} as const

/** @param rounds newest first */
function authorsOf(rounds: readonly KeptRound[]): { peer: string; round: number }[] {
  const newest = new Map<string, number>()
  for (const { round, contributors } of rounds) for (const { peer } of contributors) if (!newest.has(peer)) newest.set(peer, round)
  return [...newest].map(([peer, round]) => ({ peer, round }))
}
