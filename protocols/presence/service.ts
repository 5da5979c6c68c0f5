// Presence wired to gossip: says that we are here, and hears who else is.
import type { GossipNode, GossipVerdict } from '../frame-stream.ts'
import { type ClockReport, compareClocks } from './clocks.ts'
import {
  CHECK_TIMEOUT_MS,
  GOODBYE_MS,
  GREETING_DELAY_MS,
  GREETING_INTERVAL_MS,
  MAX_HOLDING,
  MAX_HOLDING_IN_ALL,
  MAX_OTHER_RUNS,
  MAX_RUNS,
  MIN_INTERVAL_MS,
  PRESENCE_INTERVAL_MS,
  presenceTopic,
  TICK_MS
} from './constants.ts'
import {
  advancePresence,
  createPresenceState,
  type GoneReason,
  type PresenceCommand,
  type PresenceEvent,
  type PresenceState
} from './liveness.ts'
import { decodePresence, encodePresence, type Presence, type PresenceRun } from './messages.ts'

export interface PresenceComponents {
  node: GossipNode & {
    readonly peer: string
    ping(peer: string, options: { signal: AbortSignal }): Promise<number>
    onEvent(listener: (event: { type: string; peer: string }) => void): () => void
    /** Drops the connections of a peer that went silent, so that the node's peers are the living. */
    disconnect(peer: string): void
    /** A peer that said goodbye need not be called again. */
    forget(peer: string): void
    /** A peer was heard through others: worth a connection of our own, which also shows at once when it dies. */
    meet(peer: string): void
  }
}

export interface PresenceOptions {
  network: string
  /** @default '' */
  version?: string
  /** @default 'shoal' */
  agent?: string
  /** Number of this process, higher than of all before it with the same identity. @default the wall clock's milliseconds */
  session?: number
  /** Milliseconds added to our wall clock, for tests of wrong clocks. @default 0 */
  clockOffsetMs?: number
  /** Peers that are as if they were not here, whoever passes their words on. @default nobody */
  isRefused?: (peer: string) => boolean
  /** Peers for whom others make room. @default nobody */
  isKnown?: (peer: string) => boolean
}

export interface PresentPeer {
  peer: string
  /** Unix milliseconds by our clock when it was last heard. */
  lastSeenMs: number
  version: string
  agent: string
  runs: KnownRun[]
}

/** What is remembered of what a peer says of a run: what it holds is only told to those who listen. */
export type KnownRun = Omit<PresenceRun, 'holding'>

export type PresenceChange =
  | { type: 'joined' | 'updated'; peer: string; runs: PresenceRun[] }
  | { type: 'gone'; peer: string; reason: GoneReason }

/** What we say of a run that we are in. */
export interface OwnRun extends KnownRun {
  /** Asked for whenever something is said: what others need to hear of depends on what they said until then. */
  holding(): readonly string[]
}

export class PresenceService {
  readonly #node: PresenceComponents['node']
  readonly #topic: string
  readonly #options: PresenceOptions
  readonly #state: PresenceState
  readonly #present = new Map<string, PresentPeer & { offsetMs: number }>()
  readonly #runs = new Map<string, OwnRun>()
  readonly #listeners = new Set<(change: PresenceChange) => void>()
  readonly #session: number
  readonly #stopping = new AbortController()
  #seq = 0
  #saidAtMs = Number.NEGATIVE_INFINITY
  #speakTimer: NodeJS.Timeout | undefined
  #speakAtMs = Number.POSITIVE_INFINITY
  #tickTimer: NodeJS.Timeout | undefined
  #stopListening: (() => void) | undefined

  constructor({ node }: PresenceComponents, options: PresenceOptions) {
    this.#node = node
    this.#options = options
    this.#session = options.session ?? Date.now()
    this.#state = createPresenceState(options.isKnown)
    this.#topic = presenceTopic(options.network)
  }

  start(): void {
    this.#node.subscribe(this.#topic, (bytes, from) => this.#receive(bytes, from))
    this.#stopListening = this.#node.onEvent(({ type, peer }) => {
      if (type === 'connected') this.#speakIn(GREETING_DELAY_MS, GREETING_INTERVAL_MS)
      if (type === 'disconnected') this.#advance({ type: 'disconnected', peer })
    })
    this.#tickTimer = setInterval(() => this.#advance({ type: 'tick' }), TICK_MS)
    this.#speakIn(0)
  }

  /** Says goodbye, so that others know at once. Called before the node stops. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('presence has stopped'))
    this.#stopListening?.()
    clearInterval(this.#tickTimer)
    clearTimeout(this.#speakTimer)
    await this.#say({ leaving: true })
    await new Promise(resolve => setTimeout(resolve, GOODBYE_MS))
    this.#node.unsubscribe(this.#topic)
  }

  /** Sets what we say of one run. Others hear at once when its head or state changed, else with the next message. */
  setRun(run: OwnRun): void {
    const known = this.#runs.get(run.run)
    if (known === undefined && this.#runs.size >= MAX_RUNS) return
    this.#runs.set(run.run, run)
    if (known?.head !== run.head || known.round !== run.round || known.state !== run.state) this.#speakIn(0)
  }

  removeRun(run: string): void {
    if (this.#runs.delete(run)) this.#speakIn(0)
  }

  /** Peers that are here now, ourselves not among them. */
  peers(): PresentPeer[] {
    return [...this.#present.values()]
  }

  isPresent(peer: string): boolean {
    return this.#present.has(peer)
  }

  /** Peers that are here now and in `run`, with what they say of it. */
  membersOf(run: string): { peer: string; run: KnownRun }[] {
    return this.peers().flatMap(({ peer, runs }) => runs.filter(entry => entry.run === run).map(entry => ({ peer, run: entry })))
  }

  clocks(isAccepted: (peer: string) => boolean = () => false): ClockReport {
    return compareClocks([...this.#present.values()], isAccepted)
  }

  onChange(listener: (change: PresenceChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #receive(bytes: Uint8Array, from: string): GossipVerdict {
    if (from === this.#node.peer || this.#stopping.signal.aborted || this.#options.isRefused?.(from)) return 'ignore'
    const presence = decodePresence(bytes)
    const { session, seq, leaving } = presence
    const news = this.#advance({ type: 'heard', peer: from, session, seq, leaving }, presence)
    return news || leaving ? 'accept' : 'ignore'
  }

  /** True when the rule answered with anything. */
  #advance(event: PresenceEvent, presence?: Presence): boolean {
    const commands = advancePresence(this.#state, event, performance.now())
    for (const command of commands) this.#obey(command, presence)
    return commands.length > 0
  }

  #obey(command: PresenceCommand, presence: Presence | undefined): void {
    const { peer } = command
    if (command.type === 'take') {
      const { agent, runs, timeMs, version } = presence!
      const known = this.#knownRuns(runs)
      this.#present.set(peer, { peer, agent, version, runs: known, lastSeenMs: Date.now(), offsetMs: timeMs - this.#wallClock() })
      this.#tell({ type: command.joined ? 'joined' : 'updated', peer, runs })
      if (command.joined) {
        this.#node.meet(peer)
        this.#speakIn(0, GREETING_INTERVAL_MS)
      }
    } else if (command.type === 'gone') {
      this.#present.delete(peer)
      if (command.reason === 'left') this.#node.forget(peer)
      else this.#node.disconnect(peer)
      this.#tell({ type: 'gone', peer, reason: command.reason })
    } else {
      void this.#check(peer)
    }
  }

  /** Each once: all that we are in, and a few others. */
  #knownRuns(runs: PresenceRun[]): KnownRun[] {
    const said = new Map(runs.map(({ holding: _, ...known }) => [known.run, known]))
    let others = 0
    return [...said.values()].filter(({ run }) => this.#runs.has(run) || ++others <= MAX_OTHER_RUNS)
  }

  async #check(peer: string): Promise<void> {
    try {
      await this.#node.ping(peer, { signal: AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(CHECK_TIMEOUT_MS)]) })
    } catch {
      if (!this.#stopping.signal.aborted) this.#advance({ type: 'unreachable', peer })
    }
  }

  /** Speaks after `delayMs` or earlier, no sooner than `sinceLastMs` after the last word, and from then on every PRESENCE_INTERVAL_MS. */
  #speakIn(delayMs: number, sinceLastMs = MIN_INTERVAL_MS): void {
    if (this.#stopping.signal.aborted) return
    const nowMs = performance.now()
    const atMs = Math.max(nowMs + delayMs, this.#saidAtMs + sinceLastMs)
    if (atMs >= this.#speakAtMs) return
    clearTimeout(this.#speakTimer)
    this.#speakAtMs = atMs
    this.#speakTimer = setTimeout(() => {
      this.#speakAtMs = Number.POSITIVE_INFINITY
      void this.#say({ leaving: false })
      this.#speakIn(PRESENCE_INTERVAL_MS)
    }, atMs - nowMs)
  }

  async #say({ leaving }: { leaving: boolean }): Promise<void> {
    this.#saidAtMs = performance.now()
    this.#seq += 1
    const { agent = 'shoal', version = '' } = this.#options
    const holdingMax = Math.min(MAX_HOLDING, Math.floor(MAX_HOLDING_IN_ALL / Math.max(1, this.#runs.size)))
    const runs = [...this.#runs.values()].map(run => ({ ...run, holding: run.holding().slice(0, holdingMax) }))
    const presence = { session: this.#session, seq: this.#seq, timeMs: this.#wallClock(), leaving, version, agent, runs }
    try {
      await this.#node.publish(this.#topic, encodePresence(presence))
    } catch {
      // Nobody to tell, or the node is stopping; the next message follows in two seconds.
    }
  }

  #wallClock(): number {
    return Date.now() + (this.#options.clockOffsetMs ?? 0)
  }

  #tell(change: PresenceChange): void {
    for (const listener of this.#listeners) listener(change)
  }
}
