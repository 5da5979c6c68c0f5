// Drives a mesh of nodes through a scenario: starts them, lets them join one run, does each step when it is due, and says what came of it.
// Everything it knows it asked a node for, through the control API, as any client would.
import { setTimeout as delay } from 'node:timers/promises'
import type { NodeEvent, RoundRow, StatusDocument } from '../../protocols/control/messages.ts'
import { CliError } from '../errors.ts'
import { Condition } from './condition.ts'
import { RETRY_MS, SETTLE_LIMIT_MS, SETTLE_QUIET_MS, STATUS_LIMIT_MS, STATUS_POLL_MS } from './constants.ts'
import type { MeshNode, NodeStarter } from './mesh-node.ts'
import { exitedBySelf } from './processes.ts'
import type { ReportFault, ReportNode, ReportRound } from './report.ts'
import { AFTER, type NodeName, type Scenario, type Step } from './scenario.ts'

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
}

/** What the runner tells whoever shows it. */
export type MeshNews =
  | { kind: 'ready'; state: NodeState; seconds: number; again: boolean }
  | { kind: 'run'; run: string; seconds: number }
  | { kind: 'met'; states: NodeState[] }
  | { kind: 'round'; row: RoundRow; bytes: number; seconds: number; states: NodeState[] }
  | { kind: 'step'; step: Step; fault: ReportFault; state: NodeState; seconds: number }
  | { kind: 'status'; states: NodeState[] }
  | { kind: 'ended'; states: NodeState[]; seconds: number }
  | { kind: 'note'; text: string }

export interface MeshRunnerComponents {
  starter: NodeStarter
  /** Seconds since the command's start. */
  seconds(): number
  news(news: MeshNews): void
}

export interface MeshRunnerOptions {
  scenario: Pick<Scenario, 'nodes' | 'rounds' | 'steps'>
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

  readonly #components: MeshRunnerComponents
  readonly #options: MeshRunnerOptions
  readonly #condition = new Condition()
  readonly #watchers = new AbortController()
  readonly #pending: Set<Step>
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
  }

  /** Steps that were never due. */
  get stepsLeft(): Step[] {
    return [...this.#pending]
  }

  /** The newest round that any node has adopted. */
  get round(): number {
    return Math.max(0, ...this.states.map(state => state.round))
  }

  /** Starts the mesh, does the steps, and returns when the last round is adopted and no step is due. The nodes go on. */
  async drive({ signal }: { signal: AbortSignal }): Promise<void> {
    const inner = AbortSignal.any([signal, this.#watchers.signal])
    void this.#pollStatuses(inner).catch(error => this.#fail(error))
    const first = await this.#start(1, inner)
    const others = Array.from({ length: this.#options.scenario.nodes - 1 }, (_, position) => position + 2)
    // Together, so that the failure of one is not left lying while the other is waited for.
    await Promise.all([this.#create(first, inner), ...others.map(index => this.#start(index, inner))])
    await this.#steps(inner)
  }

  /**
   * Lets no new round start, then waits until all nodes that are alive hold one head.
   * @returns whether they do.
   */
  async settle({ signal }: { signal: AbortSignal }): Promise<boolean> {
    const run = this.run
    if (run === null) return false
    const deadline = AbortSignal.any([signal, this.#watchers.signal, AbortSignal.timeout(SETTLE_LIMIT_MS)])
    return await this.#agree(run, signal, deadline)
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
      await this.#readRounds(state, this.#options.scenario.rounds + 10, signal).catch(() => undefined)
    }
    this.#countBytes(this.round)
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
    return [...rows.values()].sort((a, b) => a.round - b.round)
  }

  reportRounds(): ReportRound[] {
    return this.rounds().map(row => ({
      round: row.round,
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
      bytesReceived: state.before.received + state.traffic.received
    }))
  }

  async #create(first: NodeState, signal: AbortSignal): Promise<void> {
    const { spec, baseDir } = this.#options
    const { run } = await first.node!.control.createRun({ spec, ...(baseDir === undefined ? {} : { baseDir }) }, { signal })
    this.run = run
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
    const bootstrap = this.#bootstrapFor(index, again)
    const hold = this.#holdFor(index)
    const node = await this.#components.starter.start(index, { bootstrap, signal, ...(hold === undefined ? {} : { holdPhase: hold }) })
    state.node = node
    state.peer = node.peer
    state.life = 'alive'
    this.#components.news({ kind: 'ready', state, seconds: this.#components.seconds(), again })
    void node.ended.then(end => {
      if (state.node === node && (state.life === 'alive' || state.life === 'stopped')) {
        state.life = 'dead'
        this.#fail(exitedBySelf(index, end))
      }
    })
    void this.#watch(state, node, signal).catch(error => this.#fail(error))
    if (!again) void this.#join(state, node, signal).catch(error => this.#fail(error))
    this.#condition.changed()
    return state
  }

  /**
   * One live node's address for a newcomer, as an operator would give it. For one that comes back all that it may have met, the dead ones too:
   * they come back where they were, and after all were down somebody must call first.
   */
  #bootstrapFor(index: number, again: boolean): string[] {
    const known = this.states.filter(state => state.index !== index && state.node !== null && state.life !== 'left')
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
        return
      } catch (error) {
        if (signal.aborted || state.node !== node || state.life !== 'alive') return
        const code = (error as { code?: string }).code
        if (code === 'already_joined') return
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
    } else if (event.type === 'round') {
      if (typeof event.round === 'number') this.#adopted(state, event.round)
      await this.#readRounds(state, 5, signal).catch(() => undefined)
      await this.#readStatus(state, signal).catch(() => undefined)
      this.#showRounds()
      this.#condition.changed()
    }
  }

  #foundCloser(index: number): void {
    this.#closer ??= index
    // Held for ever and taken for alive, the other would spoil whatever is to be shown.
    if (this.#closer !== index) this.#fail(new CliError('step_failed', `nodes ${this.#closer} and ${index} both held as the closer`))
  }

  #adopted(state: NodeState, round: number): void {
    if (round <= state.round) return
    state.round = round
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
    const status = await node.control.status({ signal, timeoutMs: STATUS_LIMIT_MS })
    if (state.node !== node) return
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

  /** Once all nodes know one another, or the first round shows that they found enough. */
  #showMeeting(): void {
    if (this.#met) return
    const living = this.states.filter(state => state.life === 'alive')
    const complete =
      living.length === this.#options.scenario.nodes && living.every(state => (state.status?.peers.length ?? 0) >= living.length - 1)
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
      this.#components.news({ kind: 'round', row, bytes, seconds: this.#components.seconds(), states: this.states })
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
      this.#condition.changed()
    }
  }

  #failedOr<Value>(look: () => Value): Value {
    if (this.#failure !== undefined) throw this.#failure
    return look()
  }

  #nextStep(): Step | 'end' | undefined {
    const busy = new Set<NodeName>()
    let isHeldUp = false
    for (const step of this.#pending) {
      if (!busy.has(step.node) && this.#isReached(step)) {
        // A node that is still starting must be there before anything more is done to it.
        if (this.#stateOf(step.node)?.life !== 'starting') return step
        isHeldUp = true
      }
      busy.add(step.node)
    }
    return this.round >= this.#options.scenario.rounds && !isHeldUp ? 'end' : undefined
  }

  #isReached({ at }: Step): boolean {
    if (at.kind === 'round') return this.round >= at.round
    const state = this.#stateOf(at.node)
    if (state === undefined) return false
    if (at.kind === 'waiting') return state.life === 'alive' && state.waitingFor !== null && WAITS_FOR_OTHERS.test(state.waitingFor)
    return state.held !== null && state.held.phase === at.phase && state.held.round >= at.round
  }

  #stateOf(node: NodeName): NodeState | undefined {
    const index = node === 'closer' ? this.#closer : node
    return this.states.find(state => state.index === index)
  }

  async #do(step: Step, signal: AbortSignal): Promise<void> {
    const state = this.#stateOf(step.node)
    const life = state?.life ?? 'absent'
    // The closer may turn out to be a node that other steps name by its index.
    if (!AFTER[step.do].from.some(from => from === life)) throw new CliError('step_failed', `${step.do} node ${step.node}: it is ${life}`)
    const index = state?.index ?? Number(step.node)
    // Read before it dies: afterwards nobody can tell.
    if (state?.life === 'alive') await this.#readStatus(state, signal).catch(() => undefined)
    const fault: ReportFault = { do: step.do, node: index, phase: state?.held?.phase ?? state?.phase ?? null, round: this.round }
    this.faults.push(fault)
    const node = state?.node
    const tell = (): void =>
      this.#components.news({
        kind: 'step',
        step,
        fault,
        state: this.#stateOf(index)!,
        seconds: this.#components.seconds()
      })
    switch (step.do) {
      case 'kill':
        state!.life = 'dead'
        node!.signal('SIGKILL')
        await node!.ended
        break
      case 'stop':
        state!.life = 'stopped'
        node!.signal('SIGSTOP')
        break
      case 'continue':
        node!.signal('SIGCONT')
        state!.life = 'alive'
        break
      case 'leave':
        await node!.control.leaveRun(this.run!, { signal })
        state!.life = 'left'
        await node!.control.shutdown({ signal })
        await node!.ended
        break
      case 'restart':
      case 'join':
        // Not waited for: the steps of other nodes go on meanwhile.
        void this.#start(index, signal)
          .then(tell)
          .catch(error => this.#fail(error))
        return
      default:
        step.do satisfies never
    }
    tell()
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
    traffic: { sent: 0, received: 0 }
  }
}

/** A node that fetched a round afterwards knows no time for it, or only how long that took; one that lived through it knows more. */
function mergedRow(known: RoundRow | undefined, row: RoundRow): RoundRow {
  if (known === undefined || known.record !== row.record) return row
  const seconds = [row.seconds, known.seconds].filter(time => time !== null)
  return { ...row, seconds: seconds.length === 0 ? null : Math.max(...seconds) }
}
