// Drives a mesh of nodes through a scenario: starts them, lets them join one run, does each step when it is due, and says what came of it.
// Everything it knows it asked a node for, through the control API, as any client would.
import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { MAX_ROWS } from '../../protocols/control/constants.ts'
import type { NodeEvent, RoundRow, StatusDocument } from '../../protocols/control/messages.ts'
import { CliError } from '../errors.ts'
import { peersHere } from '../status-text.ts'
import { Condition } from './condition.ts'
import { RETRY_MS, SETTLE_QUIET_MS, STATUS_LIMIT_MS, STATUS_POLL_MS } from './constants.ts'
import type { RoundTimes } from './expectations.ts'
import { createStorm, nextVictims, type Victim } from './faults/storm.ts'
import { type Contributions, contributionsOf, fateOf, type ToldContributions } from './measures/fates.ts'
import { type Adoption, type Gap, longestGap } from './measures/gaps.ts'
import { type Ghost, Ghosts } from './measures/ghosts.ts'
import type { MeshNode, NodeStarter } from './mesh-node.ts'
import { exitedBySelf } from './processes.ts'
import { type ReportFault, type ReportNode, type ReportRound, tenths } from './report.ts'
import type { Scenario } from './scenario.ts'
import { finds, MAX_NODES, type MeshDeed, type NodeDeed, type NodeName, nodeOf, type Step, type Storm } from './steps.ts'

export type Life = 'starting' | 'alive' | 'stopped' | 'dead' | 'left'

/** What is known of one node over all its lives. */
export interface NodeState {
  index: number
  life: Life
  node: MeshNode | null
  peer: string | null
  round: number
  head: string | null
  anchor: string | null
  tokens: number
  /** What its trainer last computed with. */
  engine: string | null
  /** The last status, for the live table. */
  status: StatusDocument | null
  phase: string | null
  /** The phase it is held in. */
  held: { phase: string; round: number } | null
  waitingFor: string | null
  /** Id of the newest event that was heard; ids go on over a node's lives. */
  lastEvent: number
  /** Adopted rounds by number. */
  rounds: Map<number, RoundRow>
  /** Payload bytes of the lives before this one. */
  before: { sent: number; received: number }
  /** Payload bytes of this life. */
  traffic: { sent: number; received: number }
  adoptions: Adoption[]
  /** How often each code stood in its events. */
  told: Map<string, number>
  /** What it said of its own contributions. */
  contributions: ToldContributions['contributions']
  /** Something was done to it that can cost it time. */
  isTouched: boolean
  /** Its daemon has said so, and keeps it over its death. */
  hasJoined: boolean
  /** Another came instead of it: it never starts again. */
  isReplaced: boolean
}

/** What is done to networks and disks. */
export interface MeshFaults {
  partition(groups: number[][], oneWay: boolean): Promise<void>
  heal(): Promise<void>
  /** null: as fast as it can. */
  slow(index: number, bitsPerSecond: number | null): Promise<void>
  fillDisk(index: number): Promise<void>
  freeDisk(index: number): Promise<void>
  /** @param cid null: the largest of those written last. @returns the block's CID */
  corruptBlock(index: number, cid: string | null): Promise<string>
}

/** What the runner tells whoever shows it. */
export type MeshNews =
  | { kind: 'ready'; state: NodeState; seconds: number; again: boolean }
  | { kind: 'run'; run: string; seconds: number }
  | { kind: 'met'; states: NodeState[] }
  | { kind: 'round'; row: RoundRow; bytes: number; seconds: number; states: NodeState[]; absent: ReportRound['absent'] }
  | { kind: 'fault'; fault: ReportFault }
  | { kind: 'status'; states: NodeState[] }
  | { kind: 'ended'; states: NodeState[]; seconds: number }
  | { kind: 'note'; text: string }

export interface MeshRunnerComponents {
  starter: NodeStarter
  faults: MeshFaults
  /** Seconds since the command's start. */
  seconds(): number
  news(news: MeshNews): void
}

export interface MeshRunnerOptions {
  scenario: Pick<Scenario, 'nodes' | 'rounds' | 'steps' | 'settleMs'>
  /** The run's description, as `run create` takes it. */
  spec: unknown
  /** Folder for relative paths in it. */
  baseDir?: string
  /** Corpora that a node joins with, undefined where the run brings its own. */
  dataOf(index: number): string[] | undefined
  /** What a node computes with, undefined for the daemon's own choice. */
  engineOf?(index: number): string | undefined
  /** Threads for each node's trainer, undefined for the daemon's own choice. */
  threads?: number
}

export class MeshRunner {
  readonly states: NodeState[] = []
  readonly faults: ReportFault[] = []
  firstRoundSeconds: number | null = null
  run: string | null = null
  /** Of the run's manifest; null until it was read. */
  times: RoundTimes | null = null

  readonly #components: MeshRunnerComponents
  readonly #options: MeshRunnerOptions
  readonly #condition = new Condition()
  readonly #watchers = new AbortController()
  readonly #pending: Set<Step>
  /** Steps whose nodes are starting. */
  readonly #underWay = new Set<Step>()
  /** When each step was done, as performance.now() has it. */
  readonly #doneAtMs = new Map<Step, number>()
  readonly #ghosts = new Ghosts()
  /** What each node was when a round was first adopted, by round and index. */
  readonly #livesAt = new Map<number, Map<number, Life>>()
  /** Why a round took longer than its deadline, by round. */
  readonly #slow = new Map<number, string>()
  #runAtMs: number | null = null
  #storms = 0
  /** The newest index that any node has. */
  #newestIndex: number
  /** When the run was there, as Date.now() has it, as the two below. */
  #createdMs: number | null = null
  /** When the first step was done. */
  #firstFaultMs: number | null = null
  /** When the last round was adopted and no step was left. */
  #endMs: number | null = null
  /** Watchers and joins under way; a failure of one ends the run. */
  #failure: unknown
  /** Payload of all nodes when a round had been adopted by all, by round. */
  readonly #roundBytes = new Map<number, number>()
  #bytesCounted = 0
  /** Index of the node that held itself as the closer. */
  #closer: number | null = null
  #shownRound = 0
  #met = false

  constructor(components: MeshRunnerComponents, options: MeshRunnerOptions) {
    this.#components = components
    this.#options = options
    this.#pending = new Set(options.scenario.steps)
    this.#newestIndex = Math.max(options.scenario.nodes, ...options.scenario.steps.map(step => Number(nodeOf(step)) || 0))
  }

  /** Steps that were never due, or that wait for a node to this day. */
  get stepsLeft(): Step[] {
    return [...this.#pending, ...this.#underWay]
  }

  /** What each node that is to be there holds; one that never came up holds nothing. */
  get heads(): { index: number; head: string | null; anchor: string | null }[] {
    return this.states.flatMap(({ index, life, head, anchor }) => {
      if (life === 'starting') return [{ index, head: null, anchor: null }]
      return life === 'alive' ? [{ index, head, anchor }] : []
    })
  }

  /** The newest round that any node has adopted. */
  get round(): number {
    return Math.max(0, ...this.states.map(state => state.round))
  }

  /** Starts the mesh, does the steps, and returns when the last round is adopted and no step is due. The nodes go on. */
  async drive({ signal }: { signal: AbortSignal }): Promise<void> {
    const inner = AbortSignal.any([signal, this.#watchers.signal])
    // Every node is waited for by several at once; that is no leak.
    setMaxListeners(0, inner)
    void this.#pollStatuses(inner).catch(error => this.#fail(error))
    const first = await this.#start(1, inner)
    const others = Array.from({ length: this.#options.scenario.nodes - 1 }, (_, position) => position + 2)
    // Together, so that the failure of one is not left lying while the other is waited for.
    await Promise.all([this.#create(first, inner), ...others.map(index => this.#start(index, inner))])
    await this.#steps(inner)
    this.#endMs = Date.now()
  }

  /**
   * Lets no new round start, then waits until all nodes that are alive hold one head, and have put back what no record took.
   * @returns whether they hold one head.
   */
  async settle({ signal }: { signal: AbortSignal }): Promise<boolean> {
    const run = this.run
    if (run === null) return false
    const deadline = AbortSignal.any([signal, this.#watchers.signal, AbortSignal.timeout(this.#options.scenario.settleMs)])
    const agreed = await this.#agree(run, signal, deadline)
    await this.#condition.until(() => this.#isAllPutBack(), { signal: deadline }).catch(() => undefined)
    return agreed
  }

  #isAllPutBack(): boolean {
    return !this.states.some(
      ({ life, contributions }) => life === 'alive' && [...contributions.values()].some(({ fate }) => fate === 'lost')
    )
  }

  async #agree(run: string, signal: AbortSignal, deadline: AbortSignal): Promise<boolean> {
    const paused = new Set<MeshNode>()
    let agreedSince: number | null = null
    let agreedOn: string | null = null
    for (;;) {
      const living = this.states.filter(state => state.life === 'alive')
      // One that comes back only now is paused as soon as it is there; a paused node still follows the others to the last round.
      await Promise.all(living.map(state => this.#pause(state, run, paused, deadline).catch(() => undefined)))
      await Promise.all(living.map(state => this.#readStatus(state, deadline).catch(() => undefined)))
      const heads = new Set(living.map(state => `${state.head} ${state.anchor}`))
      const all = living.every(state => paused.has(state.node!)) && !this.states.some(state => state.life === 'starting')
      const head = all && heads.size === 1 ? [...heads][0]! : null
      const now = performance.now()
      if (head === null || head !== agreedOn) agreedSince = head === null ? null : now
      agreedOn = head
      if (agreedSince !== null && now - agreedSince >= SETTLE_QUIET_MS) break
      signal.throwIfAborted()
      if (this.#failure !== undefined) throw this.#failure
      if (deadline.aborted) return false
      await delay(RETRY_MS, undefined, { signal: deadline }).catch(() => undefined)
    }
    this.#components.news({ kind: 'ended', states: this.states, seconds: this.#components.seconds() })
    return true
  }

  /** Once a life; a run that a node has not come to yet is tried again with the next look. */
  async #pause({ node }: NodeState, run: string, paused: Set<MeshNode>, signal: AbortSignal): Promise<void> {
    if (node === null || paused.has(node)) return
    await node.control.pauseRun(run, { signal })
    paused.add(node)
  }

  /** Reads what the report needs from the nodes that still answer. */
  async collect({ signal }: { signal: AbortSignal }): Promise<void> {
    for (const state of this.states) {
      if (state.life !== 'alive') continue
      await this.#readStatus(state, signal).catch(() => undefined)
      await this.#readChain(state, signal).catch(() => undefined)
    }
    this.#countBytes(this.round)
    const holder = this.states.find(state => state.life === 'alive')
    if (holder?.node == null || this.run === null) return
    const { manifest } = await holder.node.control.run(this.run, { signal })
    this.times = (manifest as unknown as { strategy: RoundTimes }).strategy // the daemon's own document, checked when the run was made
  }

  /** The longest wait, from the first step on, of each node that was there from the beginning and that nothing was done to. */
  gaps(): Gap[] {
    if (this.#createdMs === null) return []
    const times = { fromMs: this.#firstFaultMs ?? this.#createdMs, endMs: this.#endMs ?? Date.now() }
    return this.states.flatMap(({ index, isTouched, adoptions }) => {
      const gap = isTouched || index > this.#options.scenario.nodes ? null : longestGap(index, adoptions, times)
      return gap === null ? [] : [gap]
    })
  }

  /** Peers that were listed after their death, the longest first. */
  get ghosts(): Ghost[] {
    return this.#ghosts.list()
  }

  /** How often a node was killed, or left. */
  get deaths(): number {
    return this.#ghosts.deaths
  }

  /** What became of the contributions of nodes that are alive. */
  contributions(): Contributions {
    return contributionsOf(
      this.states.filter(({ life }) => life === 'alive'),
      this.rounds()
    )
  }

  /** Stops watching; the nodes are not touched. */
  close(): void {
    this.#watchers.abort()
  }

  /** The adopted rounds in order: the chain of a node that is alive, with what dead ones knew before it. */
  rounds(): RoundRow[] {
    const rows = new Map<number, RoundRow>()
    const byTrust = [...this.states].sort((a, b) => Number(a.life === 'alive') - Number(b.life === 'alive') || a.round - b.round)
    for (const state of byTrust) for (const row of state.rounds.values()) rows.set(row.round, mergedRow(rows.get(row.round), row))
    const living = this.states.filter(({ life, rounds }) => life === 'alive' && rounds.size > 0)
    // What a dead one had beyond that was set aside.
    const newest = living.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...living.map(({ rounds }) => Math.max(...rounds.keys())))
    return [...rows.values()].filter(({ round }) => round <= newest).sort((a, b) => a.round - b.round)
  }

  reportRounds(): ReportRound[] {
    const indexes = this.#indexes()
    return this.rounds().map(row => ({
      round: row.round,
      closer: indexes.get(row.closer) ?? null,
      absent: this.#absent(row),
      slow: this.#slow.get(row.round) ?? null,
      record: row.record,
      anchor: row.anchor,
      contributors: row.contributors.map(contributor => contributor.peer),
      seconds: row.seconds,
      bytes: this.#roundBytes.get(row.round) ?? 0
    }))
  }

  reportNodes(): ReportNode[] {
    return this.states.map(state => ({
      index: state.index,
      peer: state.peer,
      alive: state.life === 'alive',
      round: state.round,
      anchor: state.anchor,
      tokens: state.tokens,
      engine: state.engine,
      bytesSent: state.before.sent + state.traffic.sent,
      bytesReceived: state.before.received + state.traffic.received,
      told: Object.fromEntries([...state.told].sort(([a], [b]) => (a < b ? -1 : 1)))
    }))
  }

  #indexes(): Map<string, number> {
    return new Map(this.states.flatMap(({ peer, index }) => (peer === null ? [] : [[peer, index] as const])))
  }

  /** Who gave nothing to a round, and what it was when the round was adopted: whom the others may have waited for. */
  #absent(row: RoundRow): ReportRound['absent'] {
    const indexes = this.#indexes()
    const gave = new Set(row.contributors.map(({ peer }) => indexes.get(peer)))
    return [...(this.#livesAt.get(row.round) ?? [])].filter(([node]) => !gave.has(node)).map(([node, was]) => ({ node, was }))
  }

  async #create(first: NodeState, signal: AbortSignal): Promise<void> {
    const { spec, baseDir } = this.#options
    const { run } = await first.node!.control.createRun({ spec, ...(baseDir === undefined ? {} : { baseDir }) }, { signal })
    this.run = run
    this.#runAtMs = performance.now()
    this.#createdMs = Date.now()
    this.#components.news({ kind: 'run', run, seconds: this.#components.seconds() })
    this.#condition.changed()
  }

  #fail(error: unknown): void {
    if (this.#watchers.signal.aborted) return
    this.#failure ??= error
    this.#condition.changed()
  }

  /** Starts a node, for the first time or again, and lets it join as soon as there is a run. */
  async #start(index: number, signal: AbortSignal): Promise<NodeState> {
    let state = this.states.find(known => known.index === index)
    const again = state !== undefined
    if (state === undefined) {
      state = newState(index)
      this.states.push(state)
      this.states.sort((a, b) => a.index - b.index)
    } else {
      state.before = { sent: state.before.sent + state.traffic.sent, received: state.before.received + state.traffic.received }
      state.traffic = { sent: 0, received: 0 }
      state.held = null
      state.phase = null
      state.status = null
      state.waitingFor = null
    }
    state.life = 'starting'
    if (state.peer !== null) this.#ghosts.returned(state.peer)
    const bootstrap = this.#bootstrapFor(index, again)
    const hold = this.#holdFor(index)
    const node = await this.#components.starter.start(index, { bootstrap, signal, ...(hold === undefined ? {} : { holdPhase: hold }) })
    state.node = node
    state.peer = node.peer
    state.life = 'alive'
    this.#components.news({ kind: 'ready', state, seconds: this.#components.seconds(), again })
    void node.ended.then(end => {
      // What counts is how they stood when the watching ended, not that they were taken down then.
      if (this.#watchers.signal.aborted) return
      if (state.node === node && (state.life === 'alive' || state.life === 'stopped')) {
        state.life = 'dead'
        this.#fail(exitedBySelf(index, end))
      }
    })
    void this.#watch(state, node, signal).catch(error => this.#fail(error))
    // It may have died before it was a member.
    if (!state.hasJoined) void this.#join(state, node, signal).catch(error => this.#fail(error))
    this.#condition.changed()
    return state
  }

  /**
   * One live node's address for a newcomer, as an operator would give it. For one that comes back all that it may have met, the dead ones too:
   * they come back where they were, and after all were down somebody must call first.
   */
  #bootstrapFor(index: number, again: boolean): string[] {
    const known = this.states.filter(state => state.index !== index && state.node !== null && state.life !== 'left' && !state.isReplaced)
    const chosen = again ? known : known.filter(state => state.life === 'alive').slice(0, 1)
    return chosen.flatMap(state => state.node!.addresses)
  }

  #holdFor(index: number): string | undefined {
    const phases = [...this.#pending].flatMap(({ at }) => (at.kind === 'phase' ? [at] : []))
    const at = phases.find(({ node }) => node === index) ?? phases.find(({ node }) => node === 'closer')
    return at === undefined ? undefined : `${at.phase}@${at.round}${at.node === 'closer' ? ':closer' : ''}`
  }

  /** Joins by the run's id alone: finding it is the node's affair, so that nobody knows it yet is not an error but a reason to ask again. */
  async #join(state: NodeState, node: MeshNode, signal: AbortSignal): Promise<void> {
    const run = await this.#condition.until(() => this.run ?? undefined, { signal })
    const data = this.#options.dataOf(state.index)
    const engine = this.#options.engineOf?.(state.index)
    const request = {
      ...(data === undefined ? {} : { data }),
      ...(engine === undefined ? {} : { engine }),
      ...(this.#options.threads === undefined ? {} : { threads: this.#options.threads })
    }
    for (;;) {
      try {
        await node.control.joinRun(run, request, { signal })
        state.hasJoined = true
        return
      } catch (error) {
        if (signal.aborted || state.node !== node || state.life !== 'alive') return
        const code = (error as { code?: string }).code
        if (code === 'already_joined') {
          state.hasJoined = true
          return
        }
        if (code !== 'unknown_run' && code !== 'no_peers' && code !== 'request_timeout' && code !== 'timeout') throw error
        await delay(RETRY_MS, undefined, { signal })
      }
    }
  }

  /** Follows one life of a node by its events. A stream that breaks is taken up again where it ended. */
  async #watch(state: NodeState, node: MeshNode, signal: AbortSignal): Promise<void> {
    const isCurrent = (): boolean => state.node === node && (state.life === 'alive' || state.life === 'stopped')
    while (isCurrent() && !signal.aborted) {
      try {
        for await (const event of node.control.events({ since: state.lastEvent }, { signal })) {
          if (!isCurrent()) return
          state.lastEvent = Math.max(state.lastEvent, event.id)
          await this.#heard(state, event, signal)
        }
      } catch {
        if (signal.aborted) return
      }
      await delay(RETRY_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  async #heard(state: NodeState, event: NodeEvent, signal: AbortSignal): Promise<void> {
    if (event.type === 'phase') {
      const phase = event.data?.phase
      if (typeof phase !== 'string') return
      state.phase = phase
      if (event.data?.held === true) {
        state.held = { phase, round: event.round ?? 0 }
        if (event.data.closer === true) this.#foundCloser(state.index)
        this.#condition.changed()
      }
      return
    }
    if (event.code !== undefined) state.told.set(event.code, (state.told.get(event.code) ?? 0) + 1)
    this.#heardOfOwn(state, event)
    if (event.code === 'round_slow' && event.round !== undefined) this.#heardSlow(event.round, event.message)
    if (event.type === 'round') {
      if (typeof event.round === 'number') {
        // A turn to another branch tells its rounds anew.
        if (event.round > (state.adoptions.at(-1)?.round ?? 0)) state.adoptions.push({ round: event.round, atMs: Date.parse(event.ts) })
        this.#adopted(state, event.round)
      }
      await this.#readRounds(state, 5, signal).catch(() => undefined)
      await this.#readStatus(state, signal).catch(() => undefined)
      this.#showRounds()
      this.#condition.changed()
    }
  }

  #heardOfOwn(state: NodeState, event: NodeEvent): void {
    const fate = fateOf(event)
    const cid = event.data?.subject
    // Without a CID it was never offered.
    if (fate === undefined || typeof cid !== 'string' || event.round === undefined || event.peer !== state.peer) return
    state.contributions.set(cid, { round: event.round, fate })
    this.#condition.changed()
  }

  /** The first that says so is as good as any: each names whom it waited for. */
  #heardSlow(round: number, message: string): void {
    if (this.#slow.has(round)) return
    const text = this.states.reduce((said, { peer, index }) => (peer === null ? said : said.replaceAll(peer, `node ${index}`)), message)
    this.#slow.set(round, text)
    this.#components.news({ kind: 'note', text: `         ${text}` })
  }

  #foundCloser(index: number): void {
    this.#closer ??= index
    // Held for ever and taken for alive, the other would spoil whatever is to be shown.
    if (this.#closer !== index) this.#fail(new CliError('step_failed', `nodes ${this.#closer} and ${index} both held as the closer`))
  }

  #adopted(state: NodeState, round: number): void {
    if (round <= state.round) return
    state.round = round
    if (!this.#livesAt.has(round)) this.#livesAt.set(round, new Map(this.states.map(({ index, life }) => [index, life])))
    if (round >= 1 && this.firstRoundSeconds === null) this.firstRoundSeconds = this.#components.seconds()
    this.#condition.changed()
  }

  async #pollStatuses(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await Promise.all(
        this.states.map(async state => {
          if (state.life === 'alive' && state.node !== null) await this.#readStatus(state, signal).catch(() => undefined)
        })
      )
      this.#showMeeting()
      this.#showRounds()
      this.#components.news({ kind: 'status', states: this.states })
      this.#condition.changed()
      await delay(STATUS_POLL_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  async #readStatus(state: NodeState, signal: AbortSignal): Promise<void> {
    const node = state.node
    if (node === null) return
    const askedMs = Date.now()
    const status = await node.control.status({ signal, timeoutMs: STATUS_LIMIT_MS })
    if (state.node !== node) return
    const listed = [...peersHere(status.peers).map(({ peer }) => peer), ...status.runs.flatMap(({ members }) => members)]
    this.#ghosts.saw({ index: state.index, lists: listed }, askedMs)
    state.status = status
    state.traffic = { sent: status.traffic.sent, received: status.traffic.received }
    const run = status.runs.find(row => row.run === this.run)
    if (run === undefined) return
    state.head = run.head
    state.anchor = run.anchor
    state.tokens = Math.max(state.tokens, run.tokens)
    state.engine = run.engine ?? state.engine
    state.waitingFor = run.waitingFor
    this.#adopted(state, run.round)
  }

  async #readRounds(state: NodeState, limit: number, signal: AbortSignal): Promise<void> {
    if (state.node === null || this.run === null) return
    const { rounds } = await state.node.control.rounds(this.run, { limit }, { signal })
    for (const row of rounds) state.rounds.set(row.round, row)
  }

  /** In the place of all that was read while it went on: what stood on a branch that was set aside goes, and of the others the times stay. */
  async #readChain(state: NodeState, signal: AbortSignal): Promise<void> {
    if (state.node === null || this.run === null) return
    const limit = Math.min(MAX_ROWS, Math.max(1, this.round))
    const { rounds } = await state.node.control.rounds(this.run, { limit }, { signal })
    state.rounds = new Map(rounds.map(row => [row.round, mergedRow(state.rounds.get(row.round), row)]))
  }

  /** Once all nodes know one another, or the first round shows that they found enough. */
  #showMeeting(): void {
    if (this.#met) return
    const living = this.states.filter(state => state.life === 'alive')
    const complete =
      living.length === this.#options.scenario.nodes &&
      living.every(state => peersHere(state.status?.peers ?? []).length >= living.length - 1)
    if (!complete && this.round === 0) return
    this.#met = true
    this.#components.news({ kind: 'met', states: this.states })
  }

  /** Tells of a round when all that are alive have adopted it, or when the mesh is past it: its bytes are then counted. */
  #showRounds(): void {
    const newest = this.round
    while (this.#shownRound < newest) {
      const round = this.#shownRound + 1
      const living = this.states.filter(state => state.life === 'alive')
      if (round === newest && !living.every(state => state.round >= round)) return
      const row = this.#row(round)
      if (row === undefined) return
      this.#shownRound = round
      this.#countBytes(round)
      const bytes = this.#roundBytes.get(round) ?? 0
      this.#components.news({
        kind: 'round',
        row,
        bytes,
        seconds: this.#components.seconds(),
        states: this.states,
        absent: this.#absent(row)
      })
    }
  }

  #row(round: number): RoundRow | undefined {
    for (const state of this.states) {
      const row = state.rounds.get(round)
      if (row !== undefined) return row
    }
    return undefined
  }

  /** What all nodes together received since the last round that was counted belongs to this one. */
  #countBytes(round: number): void {
    const received = this.states.reduce((sum, state) => sum + state.before.received + state.traffic.received, 0)
    this.#roundBytes.set(round, (this.#roundBytes.get(round) ?? 0) + Math.max(0, received - this.#bytesCounted))
    this.#bytesCounted = Math.max(this.#bytesCounted, received)
  }

  /** Does the steps, each when it is due, those of one node in their order; ends when the last round is adopted and none is left that can come. */
  async #steps(signal: AbortSignal): Promise<void> {
    for (;;) {
      const due = await this.#condition.until(() => this.#failedOr(() => this.#nextStep()), { signal })
      if (due === 'end') return
      this.#pending.delete(due)
      await this.#do(due, signal)
      this.#doneAtMs.set(due, performance.now())
      this.#condition.changed()
    }
  }

  #failedOr<Value>(look: () => Value): Value {
    if (this.#failure !== undefined) throw this.#failure
    return look()
  }

  #nextStep(): Step | 'end' | undefined {
    const busy = new Set<NodeName>()
    // A storm, a node that is still starting, and a time that is still passing: what comes after them is sure to come.
    let isHeldUp = this.#storms > 0
    const { steps, rounds } = this.#options.scenario
    for (const [position, step] of steps.entries()) {
      if (!this.#pending.has(step)) continue
      const node = nodeOf(step)
      const isTurn = node === undefined ? busy.size === 0 : !busy.has(node)
      if (isTurn && this.#isReached(step, steps[position - 1])) {
        if (this.#isReady(step)) return step
        isHeldUp = true
      }
      if (this.#isSure(position)) isHeldUp = true
      // What is done to the whole mesh has all before it behind it, and all after it before it.
      if (node === undefined) break
      busy.add(node)
    }
    return this.round >= rounds && !isHeldUp ? 'end' : undefined
  }

  #isReached({ at }: Step, before: Step | undefined): boolean {
    if (at.kind === 'after') {
      const sinceMs = before === undefined ? this.#runAtMs : this.#doneAtMs.get(before)
      return sinceMs != null && performance.now() - sinceMs >= at.ms
    }
    if (at.kind === 'round') return (at.node === null ? this.round : (this.#stateOf(at.node)?.round ?? 0)) >= at.round
    const state = this.#stateOf(at.node)
    if (state === undefined) return false
    if (at.kind === 'waiting') return state.life === 'alive' && state.waitingFor !== null && WAITS_FOR_OTHERS.test(state.waitingFor)
    return state.held !== null && state.held.phase === at.phase && state.held.round >= at.round
  }

  /** Nodes that are still starting must be there before anything more is done to them, and a storm must be over before the next. */
  #isReady(step: Step): boolean {
    const node = nodeOf(step)
    if (node !== undefined) return this.#stateOf(node)?.life !== 'starting'
    if (step.do === 'partition' || step.do === 'heal' || step.do === 'wait') return true
    return this.#storms === 0 && !this.states.some(({ life }) => life === 'starting')
  }

  /** Waits for time alone, after steps that are done or sure to come themselves. */
  #isSure(position: number): boolean {
    const step = this.#options.scenario.steps[position]
    if (step === undefined || !this.#pending.has(step)) return true
    return step.at.kind === 'after' && this.#isSure(position - 1)
  }

  #stateOf(node: NodeName): NodeState | undefined {
    const index = node === 'closer' ? this.#closer : node
    return this.states.find(state => state.index === index)
  }

  async #do(step: Step, signal: AbortSignal): Promise<void> {
    if ('node' in step) await this.#doTo(step, signal)
    else await this.#doToMesh(step, signal)
  }

  /** Notes what is done, to be told when it is. */
  #fault(does: Step['do'], node: number | null, detail: string | null = null): ReportFault {
    const state = node === null ? undefined : this.#stateOf(node)
    const phase = state?.held?.phase ?? state?.phase ?? null
    const fault = { do: does, node, phase, round: this.round, seconds: tenths(this.#components.seconds()), detail }
    this.#firstFaultMs ??= Date.now()
    this.faults.push(fault)
    return fault
  }

  #tell(fault: ReportFault): void {
    fault.seconds = tenths(this.#components.seconds())
    this.#components.news({ kind: 'fault', fault })
  }

  async #doTo(step: Step & NodeDeed, signal: AbortSignal): Promise<void> {
    const state = this.#stateOf(step.node)
    const life = state?.life ?? 'absent'
    // The closer may turn out to be a node that other steps name by its index.
    if (!finds(step.do, life)) throw new CliError('step_failed', `${step.do} node ${step.node}: it is ${life}`)
    const index = state?.index ?? Number(step.node)
    // Read before it dies: afterwards nobody can tell.
    if (state?.life === 'alive') await this.#readStatus(state, signal).catch(() => undefined)
    if (step.do === 'restart' || step.do === 'join') {
      this.#startLater(step, [this.#startAgain(index, step.do, signal)])
      return
    }
    const fault = this.#fault(step.do, index, step.node === 'closer' ? 'the closer' : null)
    await this.#doToLiving(step, state!, fault, signal)
    this.#tell(fault)
  }

  async #doToLiving(step: NodeDeed, state: NodeState, fault: ReportFault, signal: AbortSignal): Promise<void> {
    const { faults } = this.#components
    const { index, node } = state
    state.isTouched = true
    switch (step.do) {
      case 'kill':
        await this.#kill(state)
        return
      case 'stop':
        state.life = 'stopped'
        node!.signal('SIGSTOP')
        return
      case 'continue':
        node!.signal('SIGCONT')
        state.life = 'alive'
        return
      case 'leave':
        await node!.control.leaveRun(this.run!, { signal })
        state.life = 'left'
        await node!.control.shutdown({ signal })
        await node!.ended
        this.#ghosts.died(index, state.peer!, Date.now())
        return
      case 'fillDisk':
        await faults.fillDisk(index)
        return
      case 'freeDisk':
        await faults.freeDisk(index)
        return
      case 'corruptBlock':
        if (step.block === 'anchor' && state.anchor === null)
          throw new CliError('step_failed', `corruptBlock node ${index}: it has no anchor yet`)
        fault.detail = await faults.corruptBlock(index, step.block === 'anchor' ? state.anchor : null)
        return
      case 'slow':
        fault.detail = step.bitsPerSecond === null ? 'unlimited' : `${step.bitsPerSecond / 1000} kbit/s`
        await faults.slow(index, step.bitsPerSecond)
        return
      default:
        throw new Error(`${step.do} starts a node`)
    }
  }

  async #doToMesh(step: Step & MeshDeed, signal: AbortSignal): Promise<void> {
    const { faults } = this.#components
    switch (step.do) {
      case 'partition': {
        const sides = step.groups.map(group => group.join(' '))
        const fault = this.#fault(
          step.do,
          null,
          step.oneWay ? `${sides[0]} hear nothing from ${sides.slice(1).join(', ')}` : sides.join(' | ')
        )
        await faults.partition(step.groups, step.oneWay)
        this.#tell(fault)
        return
      }
      case 'heal': {
        const fault = this.#fault(step.do, null)
        await faults.heal()
        this.#tell(fault)
        return
      }
      case 'wait':
        return
      case 'killAll': {
        const living = this.states.filter(({ life }) => life === 'alive' || life === 'stopped')
        const fault = this.#fault(step.do, null, living.map(({ index }) => index).join(' '))
        for (const state of living) state.isTouched = true
        await Promise.all(living.map(state => this.#kill(state)))
        this.#tell(fault)
        return
      }
      case 'restartAll':
        this.#startLater(
          step,
          this.states
            .filter(({ life, isReplaced }) => life === 'dead' && !isReplaced)
            .map(({ index }) => this.#startAgain(index, 'restart', signal))
        )
        return
      case 'storm':
        this.#storms++
        this.#tell(this.#fault(step.do, null, `seed ${step.storm.seed}, for ${step.storm.forMs / 1000} s`))
        void this.#storm(step.storm, signal)
          .catch(error => this.#fail(error))
          .finally(() => {
            this.#storms--
            this.#condition.changed()
          })
        return
      default:
        step satisfies never
    }
  }

  async #kill(state: NodeState): Promise<void> {
    state.life = 'dead'
    state.node!.signal('SIGKILL')
    await state.node!.ended
    this.#ghosts.died(state.index, state.peer!, Date.now())
  }

  /** Not waited for: the steps of other nodes go on meanwhile. */
  #startLater(step: Step, starts: Promise<void>[]): void {
    this.#underWay.add(step)
    void Promise.all(starts)
      .then(() => this.#underWay.delete(step))
      .catch(error => this.#fail(error))
  }

  async #startAgain(index: number, does: 'restart' | 'join', signal: AbortSignal): Promise<void> {
    const fault = this.#fault(does, index)
    const state = await this.#start(index, signal)
    // Whoever comes later has rounds to fetch that the others had time for.
    state.isTouched = true
    this.#tell(fault)
  }

  async #storm(storm: Storm, signal: AbortSignal): Promise<void> {
    const endMs = performance.now() + storm.forMs
    const returns: Promise<void>[] = []
    let state = createStorm(storm)
    for (;;) {
      await delay(storm.everyMs, undefined, { signal })
      if (performance.now() >= endMs) break
      const alive = this.states.filter(({ life }) => life === 'alive').map(({ index }) => index)
      const next = nextVictims(storm, state, alive)
      state = next.state
      for (const victim of next.victims) {
        const found = this.#stateOf(victim.node)!
        // Another may have been waited for meanwhile.
        if (found.life !== 'alive') continue
        found.isTouched = true
        found.isReplaced = victim.replaced
        const fault = this.#fault('kill', victim.node)
        await this.#kill(found)
        this.#tell(fault)
        returns.push(this.#comeBack(victim, storm, signal).catch(error => this.#fail(error)))
      }
    }
    await Promise.all(returns)
  }

  async #comeBack({ node, replaced }: Victim, storm: Storm, signal: AbortSignal): Promise<void> {
    await delay(storm.restartAfterMs, undefined, { signal })
    if (!replaced) return await this.#startAgain(node, 'restart', signal)
    if (this.#newestIndex >= MAX_NODES) throw new CliError('step_failed', `start a new node: there have been ${MAX_NODES}`)
    this.#newestIndex++
    await this.#startAgain(this.#newestIndex, 'join', signal)
  }
}

/** "waiting for 1 more": the run cannot go on, unlike a node at its leash, which waits for a moment in every round. */
const WAITS_FOR_OTHERS = /\bmore\b/

function newState(index: number): NodeState {
  return {
    index,
    life: 'starting',
    node: null,
    peer: null,
    round: 0,
    head: null,
    anchor: null,
    tokens: 0,
    engine: null,
    status: null,
    phase: null,
    held: null,
    waitingFor: null,
    lastEvent: 0,
    rounds: new Map(),
    before: { sent: 0, received: 0 },
    traffic: { sent: 0, received: 0 },
    adoptions: [],
    told: new Map(),
    contributions: new Map(),
    isTouched: false,
    hasJoined: false,
    isReplaced: false
  }
}

/** A node that fetched a round afterwards knows no time for it, or only how long that took; one that lived through it knows more. */
function mergedRow(known: RoundRow | undefined, row: RoundRow): RoundRow {
  if (known === undefined || known.record !== row.record) return row
  const seconds = [row.seconds, known.seconds].filter(time => time !== null)
  return { ...row, seconds: seconds.length === 0 ? null : Math.max(...seconds) }
}
