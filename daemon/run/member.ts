// One node's part in one run: tells the rules what happens, does what they command, and keeps the trainer on the newest anchor.
// Nothing is decided here. What the rules know is in memory; what must outlive the process is in the ledger before it is acted on.
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as delay, setImmediate as othersTurn } from 'node:timers/promises'
import type { Phase } from '../../protocols/control/constants.ts'
import type { NodeEvent, RunStatus } from '../../protocols/control/messages.ts'
import { named } from '../../protocols/named.ts'
import {
  advance,
  advancePace,
  type Contribution,
  closerOf,
  createPace,
  createRounds,
  electorateOf,
  FORK_WINDOW_ROUNDS,
  hasAccepted,
  holdingToTell,
  isAuthor,
  isNews,
  isTooOld,
  MAX_LISTED_OFF_CHAIN,
  MAX_RECORDS_OFF_CHAIN,
  neededBy,
  openContribution,
  openRecord,
  type PaceEvent,
  type PaceState,
  type Part,
  REASONS,
  type ReasonCode,
  type RoundCommand,
  type RoundEvent,
  type RoundGossip,
  type RoundRecord,
  type RoundsState,
  remembers,
  reopenRounds,
  signRecord,
  targetRound,
  viewOf
} from '../../protocols/rounds/index.ts'
import type { Branch } from '../../protocols/split/index.ts'
import { OPINION_ROUNDS, type Opinion, type Standing } from '../../protocols/trust/index.ts'
import type { BlockStore } from '../../storage/index.ts'
import { createCodec } from '../../training/compression/index.ts'
import type { Arithmetic, StageNames } from '../arithmetic/arithmetic.ts'
import { codeOf, DaemonError, isCodedError, reasonOf } from '../errors.ts'
import type { EventLog } from '../events.ts'
import type { Manifest, SigningKey } from '../manifest.ts'
import { isOthersDoing } from '../refusals.ts'
import type { Death } from '../trainer/deaths.ts'
import type { TrainerReady, TrainerStart, TrainerStep } from '../trainer/messages.ts'
import type { GivenUp } from '../trainer/recovery.ts'
import { type Next, TrainerSupervisor } from '../trainer/supervisor.ts'
import type { Admittance } from './admittance.ts'
import type { Audits } from './audits.ts'
import { BranchLooks, LOOK_MS } from './branch-looks.ts'
import { CatchUp, wayFrom } from './catch-up.ts'
import { type ChainOptions, type ChainRecord, Chains, WRITTEN_AT_ONCE } from './chains.ts'
import { CheckTurns } from './check-turns.ts'
import { OwnContributions, whyNotOffered } from './contributing.ts'
import type { Fetcher, FetchOptions } from './fetching.ts'
import { type Head, type KeptRound, keptRoundOf, type Ledger, type Membership, type OwnContribution } from './ledger.ts'
import { type Leg, LongWay, type LongWayOptions } from './long-way.ts'
import { LooseBlocks } from './loose-blocks.ts'
import type { Phases } from './phases.ts'
import { continuedPast, type KeptPast, outweighs, pastAfter, pastUpTo, recentPast } from './restart.ts'
import type { Retention } from './retention.ts'
import { HeldUp, lastAcceptedIn, SHARE_ROUNDS, shareOf, slowSentence } from './round-answers.ts'
import { rulesOf } from './run-rules.ts'
import { seekDelayMs } from './seek.ts'
import { SoughtAnchors } from './sought-anchors.ts'

/** Looks at whether what was read of our past goes up to the rules' head. */
const PAST_TRIES = 8
/** How often the rules are told the time, in ms; finer than any grace, and cheap. */
const TICK_MS = 200

/** What the member needs of gossip for its run. */
export interface MemberGossip {
  publishContribution(bytes: Uint8Array): Promise<void>
  publishHolding(contributions: readonly string[]): Promise<void>
  publishRecord(bytes: Uint8Array): Promise<void>
}

/** What others may know of this member at any time; told with presence. */
export interface MemberFacts {
  head: string
  round: number
  state: 'training' | 'waiting' | 'paused' | 'observing' | 'syncing'
  step: number
  holding(): readonly string[]
}

export interface MemberComponents {
  run: string
  self: string
  manifest: Manifest
  membership: Pick<Membership, 'train' | 'paused'>
  directory: string
  stages: StageNames[]
  /** Bytes of an anchor's tensors. */
  anchorBytes: number
  privateKey: SigningKey
  blocks: BlockStore
  ledger: Ledger
  fetcher: Fetcher
  arithmetic: Arithmetic
  gossip: MemberGossip
  events: EventLog
  /** Judges by what another did, and tells it unless many of its kind were told. */
  refused(facts: Omit<NodeEvent, 'id' | 'ts'>): void
  phases: Phases
  trainerStart(anchorFile: string, firstStep: number, contributors: string[]): TrainerStart
  /** Live members of this run beside this node. */
  livePeers(): string[]
  /** The facts changed: tell them with the next presence, at once. */
  announce(facts: MemberFacts): void
  /** Asks some live peers for their heads, authors before others; resolves when those have answered or given up. */
  syncHeads(signal: AbortSignal): Promise<{ peer: string; head: string; round: number }[]>
  /** CIDs of a peer's chain from a round on, oldest first; null where it is not in the run. */
  chain(peer: string, fromRound: number, limit: number, signal: AbortSignal): Promise<string[] | null>
  /**
   * Has this member stopped, and the run opened anew on the history that is on disk then.
   * @param after the last round of it that stays; null where all does
   */
  beginAnew(after: number | null): void
  retention: Retention
  /** What this node's contributions to a run by invitation need; null where it needs nobody's word. */
  admittance: Admittance | null
  /** Null where nothing is audited. */
  audits: Audits | null
}

export class RunMember {
  readonly #c: MemberComponents
  readonly #own: OwnContributions
  readonly #trainer: TrainerSupervisor | null
  readonly #catchingUp: CatchUp
  readonly #pace: PaceState
  readonly #chains: Chains
  readonly #longWay: LongWay
  /** All records of our own chain. */
  readonly #adopted: Set<string>
  readonly #loose: LooseBlocks
  readonly #stopping = new AbortController()
  readonly #checkTurns = new CheckTurns(() => this.#rounds, this.#stopping.signal)
  readonly #fetching = new Set<string>()
  #rounds: RoundsState
  /** Settles when the next anchor is on disk. */
  #computed = Promise.withResolvers<void>()
  #head: Head
  /** Fires when there is another head. */
  #headMoved = new AbortController()
  /** Why the trainer cannot begin: there is no file of the head's anchor yet. */
  #noAnchor: { code: string; message: string } | null = null
  /** The rules' head as far as the ledger has it: not ours where rounds beyond that were learned, or where the disk lost a part of our past. */
  #written: string
  #trainerWork: Promise<void> = Promise.resolve()
  #adopting: Promise<void> = Promise.resolve()
  #forgetting: Promise<void> = Promise.resolve()
  #ticker: NodeJS.Timeout | null = null
  #catchUpRetry: NodeJS.Timeout | null = null
  #catchUpFailures = new Failures()
  /** The anchor whose parameters the trainer's file holds; null where that is not sure. */
  #anchorInFile: string | null = null
  #step: TrainerStep | null = null
  #ready: TrainerReady | null = null
  /** The engine given up of which the last fallback was told. */
  #fellBackFrom: GivenUp | null = null
  #tokens = 0
  #rate: { atMs: number; tokens: number }[] = []
  #paused: string | null = null
  #adoptedAtMs = performance.now()
  /** The head of which it was told last that training from it diverged: one event is enough. */
  #divergedFrom: string | null = null
  #lastContribution: RunStatus['lastContribution'] = null
  #share: RunStatus['share'] = null
  #lastAccepted: RunStatus['lastAccepted'] = null
  readonly #heldUp = new HeldUp()
  #told = ''
  /** How far the history of members who are far ahead has been learned. */
  #learned: string | null = null
  /** While it is: what else would be fetched of chains waits. */
  #learning: Promise<void> | null = null
  #isOnLongWay = false
  /** When a chain may be weighed next against what was learned: anybody may sign one. */
  #weighAtMs = Number.NEGATIVE_INFINITY
  /** Of the head's round: among them a shared corpus is divided. */
  #contributors: string[] = []
  #waits = false
  #allowed = 0
  /** Our newest contribution while no other node has said that it holds it, and when we began to make it. */
  #uploading: { cid: string; sinceMs: number } | null = null
  readonly #looks = new BranchLooks()
  readonly #sought = new SoughtAnchors(anchor => {
    this.#c.retention.abandoned(anchor)
    this.#background(null, () => this.#forget())
  })
  /** The newest head of a branch that was too old while another of its name was being looked at. */
  readonly #tooOldMeanwhile = new Map<string, string>()

  private constructor(components: MemberComponents, head: Head, rounds: RoundsState, adopted: string[]) {
    this.#c = components
    this.#head = head
    this.#rounds = rounds
    this.#written = viewOf(rounds).head
    this.#own = new OwnContributions({ ...components, peer: components.self, failed: (what, error) => this.#failed(what, error) })
    this.#pace = createPace(components.manifest.strategy, { now: performance.now(), head: head.record })
    const { run, blocks, fetcher, chain } = components
    this.#loose = new LooseBlocks({ blocks, needed: () => this.#needed() })
    this.#chains = new Chains({ run, blocks, loose: this.#loose, fetcher, chain })
    this.#longWay = new LongWay({ run, rules: rulesOf(run, components.manifest), ledger: components.ledger, fetcher, chain })
    this.#adopted = new Set(adopted)
    this.#trainer = components.membership.train
      ? new TrainerSupervisor(() => this.#trainerStart(), {
          ready: ready => this.#trainerReady(ready),
          step: step => this.#stepped(step),
          waiting: () => this.#pump(),
          snapshotted: () => this.#paced({ type: 'steps', steps: 0 }),
          died: (death, next) => this.#trainerDied(death, next),
          stoppedUnsaved: death => this.#trainerStoppedUnsaved(death)
        })
      : null
    this.#catchingUp = new CatchUp({
      trainer: this.#trainer,
      own: this.#own,
      head: () => this.#head,
      wayFrom: record => wayFrom(record, { ...components, head: this.#head.record, adopted: this.#adopted }),
      settled: () => this.#adopting,
      anchorFile: head => this.#anchorFile(head),
      onAdopting: head => this.#enter('adopting', head.round),
      onAdopted: mode => {
        if (mode === 'leave') this.#paced({ type: 'steps', steps: 0 })
        this.#pump()
      },
      onEnd: (own, fate, isGone) => this.#tellOwn(`contribution_${fate}`, own, fate === 'dropped' ? { isGone } : {}),
      failed: (what, error) => this.#failed(what, error)
    })
  }

  /** Takes the run up where the ledger left it. */
  static async open(components: MemberComponents): Promise<RunMember> {
    const { manifest, run } = components
    const head = (await components.ledger.head()) ?? { record: run, round: 0, anchor: manifest.genesis.anchor }
    const end = (await components.ledger.end())?.round ?? 0
    await components.ledger.sumUp(end - FORK_WINDOW_ROUNDS)
    const { earlier, ...past } = await recentPast({ ...components, genesisPeers: manifest.genesis.peers })
    const rounds = createRounds(rulesOf(run, manifest), components.membership.train ? components.self : null, {
      now: performance.now(),
      trains: false,
      ...past
    })
    const member = new RunMember(components, head, rounds, [...earlier, ...past.records.map(({ cid }) => cid)])
    try {
      await member.#start()
    } catch (error) {
      // What it was taking up already would go on, with nobody to stop it.
      await member.stop()
      throw error
    }
    return member
  }

  async #start(): Promise<void> {
    if (this.#c.membership.paused) this.#paused = 'paused by the operator'
    await this.#lookBack()
    await this.#c.retention.resume(this.#c.ledger, this.#c.manifest.strategy.keepRounds)
    // What was offered before a restart is still ours: tell the rules, and through them everybody.
    for (const own of await this.#own.unsettled()) await this.#reoffer(own)
    await this.#own.forgetFiles()
    this.#paced({ type: 'adopted', head: this.#head.record, round: this.#head.round })
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
    if (this.#c.admittance !== null) this.#c.admittance.onRenewed = () => this.#pump()
    this.#background('the anchor of the head', () => this.#startTrainer())
    this.#dispatch({ type: 'tick' })
  }

  /** Saves the trainer's state and stops; what is under way is given up, since the disk has it. */
  async stop(): Promise<void> {
    if (this.#ticker !== null) clearInterval(this.#ticker)
    this.#stopping.abort(new Error('the run is being left'))
    await this.#c.admittance?.stop()
    await this.#c.audits?.stop()
    await this.#trainer?.stop()
    await this.#adopting.catch(() => {})
    await this.#forgetting
  }

  pause(reason: string): void {
    this.#paused = reason
    this.#pump()
  }

  resume(): void {
    this.#paused = null
    this.#pump()
  }

  /** The operator's wish that every engine be tried again that was given up. */
  tryEnginesAgain(): void {
    this.#background('engines', async () => this.#trainer?.tryAgain())
  }

  /** This node's timers stood still: heads are asked for before anything is closed. */
  afterClockGap(): void {
    this.#dispatch({ type: 'paused' })
  }

  peerLive(peer: string, facts: { head: string; round: number; trains: boolean; holding: string[] }): void {
    const { holding, ...live } = facts
    this.#dispatch({ type: 'peerLive', peer, ...live })
    if (holding.length > 0) this.heardHolding(peer, holding)
  }

  /** What this node makes of a peer, from now on. */
  judged(peer: string, standing: Standing): void {
    this.#dispatch({ type: 'standing', peer, standing: standing === 'banned' ? 'shunned' : standing === 'probation' ? 'watched' : 'good' })
  }

  /** See `electorateOf` of the rules. */
  electorateOf({ round, peer }: Opinion): number | null {
    return electorateOf(this.#rounds, round, peer, OPINION_ROUNDS)
  }

  /** Whether the run's history, as far as this node has it, has accepted anything of a peer. */
  isAccepted(peer: string): boolean {
    return hasAccepted(this.#rounds, peer)
  }

  /** Whether a head that a peer tells is of our chain, however long ago that parted from it. */
  branchOf({ head, round }: { head: string; round: number }): Branch {
    if (head === this.#c.run || this.#adopted.has(head)) return 'ours'
    // The rules are ahead while an adoption is being written, and behind where the disk lost a part of our past.
    const ours = Math.min(this.#head.round, this.#rounds.head.round)
    return round <= ours || isTooOld(this.#rounds, head) ? 'other' : 'unknown'
  }

  peerGone(peer: string): void {
    // Who is not in the run says so every two seconds: each time the rules would ask all their questions anew.
    if (this.#rounds.peers.has(peer)) this.#dispatch({ type: 'peerGone', peer })
  }

  /** Signed blocks as gossip brought them; signature and size were checked on the way in. @returns whether it is news, to be passed on */
  heardContribution(cid: string, bytes: Uint8Array, contribution: Contribution): boolean {
    return this.#heardBlock(bytes, { type: 'contribution', cid, contribution })
  }

  heardRecord(cid: string, bytes: Uint8Array, record: RoundRecord): boolean {
    return this.#heardBlock(bytes, { type: 'record', cid, record })
  }

  /** What is no news the rules are not told of: they would refuse it anew, and say so, each time. */
  #heardBlock(bytes: Uint8Array, event: Exclude<RoundGossip, { type: 'holding' }>): boolean {
    const { type, cid } = event
    if (!isNews(this.#rounds, event)) return false
    this.#background(`hearing ${type} ${cid}`, () => this.#hear(cid, bytes, event))
    return true
  }

  /** On disk before the rules may act on it. */
  async #hear(cid: string, bytes: Uint8Array, event: RoundEvent): Promise<void> {
    const hold = this.#loose.hold()
    try {
      await hold.put(cid, bytes)
      this.#dispatch(event)
    } finally {
      hold.release()
    }
    if (this.#loose.isDue) this.#sweep()
  }

  #sweep(): void {
    this.#background('deleting what nobody needs', () => this.#loose.sweep())
  }

  /** What the rules need of what is not adopted. What they have adopted and the ledger has not is in neither's memory for a while. */
  #needed(): ((cid: string) => boolean) | null {
    return viewOf(this.#rounds).head === this.#written ? neededBy(this.#rounds) : null
  }

  heardHolding(peer: string, contributions: readonly string[]): boolean {
    const event = { type: 'holding', peer, contributions } as const
    const isWorthIt = isNews(this.#rounds, event)
    // Of a holder the rules hear in any case.
    this.#dispatch(event)
    const uploading = this.#uploading
    if (uploading !== null && peer !== this.#c.self && contributions.includes(uploading.cid)) {
      this.#uploading = null
      this.#paced({ type: 'uploaded', ms: performance.now() - uploading.sinceMs })
    }
    return isWorthIt
  }

  get head(): Head {
    return this.#head
  }

  /** What others are told of the head: the run itself where no round is adopted yet. */
  told(): { head: string; round: number } {
    return { head: this.#head.record, round: this.#head.round }
  }

  status(): RunStatus {
    const view = viewOf(this.#rounds)
    const waits = this.#paused === null ? this.#waitingFor(view.waitingFor) : null
    return {
      run: this.#c.run,
      name: this.#c.manifest.name,
      state: this.#state(),
      waitingFor: waits,
      split: null,
      pending: 0,
      reason: this.#reason(),
      round: this.#head.round,
      head: this.#head.record,
      anchor: this.#head.anchor,
      step: this.#step?.step ?? this.#ready?.step ?? 0,
      loss: this.#step?.loss ?? null,
      tokens: this.#tokens,
      tokensPerSecond: this.#tokensPerSecond(),
      engine: this.#ready?.engine ?? null,
      engineReason: this.#ready?.why ?? null,
      members: [this.#c.self, ...this.#c.livePeers()].sort(),
      share: this.#share,
      lastAccepted: this.#lastAccepted,
      lastContribution: this.#lastContribution,
      trainer: {
        pid: this.#trainer?.pid ?? null,
        restarts: this.#trainer?.restarts ?? 0,
        code: this.#trainer?.death?.code ?? null,
        reason: this.#trainer?.death?.reason ?? null,
        givenUp: [...(this.#trainer?.givenUp ?? [])]
      }
    }
  }

  #reason(): string | null {
    const { admittance } = this.#c
    const next = this.#head.round + 1
    if (this.#paused !== null || admittance?.isWaiting(next)) return this.#paused ?? admittance!.reason(next)
    // What a grant for later rounds only waits for is learned first.
    return this.#learned ?? this.#trainerReason() ?? admittance?.reason(next) ?? null
  }

  /** Why there is no trainer that trains, or none that gives anything. */
  #trainerReason(): string | null {
    if (this.#noAnchor !== null) return this.#noAnchor.message
    const trainer = this.#trainer
    if (trainer === null) return null
    if (trainer.ready) return this.#divergedFrom === this.#head.record ? DIVERGED : null
    if (trainer.paused) return `paused because no engine is left: ${sentenceOf(trainer.givenUp) || trainer.death?.reason}`
    return trainer.death === null ? 'the trainer is starting' : `${trainer.death.code}: ${trainer.death.reason}`
  }

  #tick(): void {
    this.#dispatch({ type: 'tick' })
    this.#paced({ type: 'tick' })
    this.#c.admittance?.headMoved(this.#head.round)
  }

  // ---- rules

  #dispatch(event: RoundEvent): void {
    if (this.#stopping.signal.aborted) return
    if (event.type === 'recordComputed') {
      this.#computed.resolve()
      this.#computed = Promise.withResolvers<void>()
    }
    this.#obeyAll(this.#advance(event))
  }

  #advance(event: RoundEvent | readonly RoundEvent[]): RoundCommand[] {
    const { state, commands } = advance(this.#rounds, event, performance.now())
    this.#rounds = state
    return commands
  }

  #obeyAll(commands: readonly RoundCommand[]): void {
    for (const command of commands) this.#obey(command)
    this.#pump()
  }

  #obey(command: RoundCommand): void {
    switch (command.type) {
      case 'fetchContribution':
        // Told in the same breath as the record that lacked it.
        if (!command.body && remembers(this.#rounds, command.cid)) return
        this.#background(`${command.body ? 'body' : 'contribution'}/${command.cid}`, () => this.#fetchContribution(command))
        return
      case 'announceHolding':
        this.#background(null, () => this.#c.gossip.publishHolding(command.contributions))
        return
      case 'fetchRecord':
        this.#background(`record/${command.cid}`, () => this.#fetchNamed(command.cid, command.holders))
        return
      case 'fetchAnchor':
        this.#background(`anchor/${command.cid}`, () => this.#fetchAnchor(command))
        return
      case 'close':
        // By what is closed: another list is decided anew while the first is still being computed, and its result is waited for.
        this.#background(`close/${command.parent}/${command.contributions.map(({ cid }) => cid).join('/')}`, () => this.#close(command))
        return
      case 'compute':
        this.#background(`compute/${command.cid}`, () => this.#compute(command))
        return
      case 'publish':
        this.#background(null, () => this.#publish(command.cid))
        return
      case 'adopt':
        this.#adopting = this.#adopting.then(() => this.#adopt(command)).catch(error => this.#failed('what follows an adoption', error))
        return
      case 'syncHeads':
        this.#background('sync', () => this.#syncHeads())
        return
      case 'report':
        // Who slept long has a head that was ours too, long ago.
        if (command.code === 'fork_too_old' && this.#adopted.has(command.subject)) return
        if (command.round !== undefined) this.#heldUp.note(command.round, command.code, command.peer)
        this.#report(command, {
          type: REASONS[command.code].content || (command.peer !== undefined && !REFUSES_NOBODY.has(command.code)) ? 'refused' : 'run',
          run: this.#c.run,
          ...(command.round === undefined ? {} : { round: command.round }),
          ...(command.peer === undefined ? {} : { peer: command.peer }),
          code: command.code,
          message: saidWith(REASONS[command.code].sentence, command.detail),
          data: { subject: command.subject, ...(command.detail === undefined ? {} : { detail: command.detail }) }
        })
        if (command.code === 'fork_too_old') this.#lookAtBranch(command.subject, command.peer)
        return
      default:
        command satisfies never
    }
  }

  /**
   * Strangers' branches that are too old are looked at one at a time, and keep nobody from looking at an author's. What could not be looked at, and the newest of those that came meanwhile, the rules
   * ask for again: a branch need not grow to be told anew.
   */
  #lookAtBranch(head: string, peer: string | undefined): void {
    const name = peer !== undefined && isAuthor(this.#rounds, peer) ? `start over/${peer}` : 'start over'
    if (this.#fetching.has(name)) {
      this.#tooOldMeanwhile.set(name, head)
      return
    }
    const askAgain = (cid: string): void => {
      if (!remembers(this.#rounds, cid)) this.#dispatch({ type: 'recordUnavailable', cid })
    }
    this.#background(name, async () => {
      try {
        await this.#startOver(head, peer)
      } catch (error) {
        // One that goes wrong does so whenever it is looked at.
        if (!isCodedError(error) || (error.code !== 'bad_chain' && error.code !== 'history_too_long')) askAgain(head)
        throw error
      } finally {
        const meanwhile = this.#tooOldMeanwhile.get(name)
        this.#tooOldMeanwhile.delete(name)
        if (meanwhile !== undefined) askAgain(meanwhile)
      }
    })
  }

  #report(report: Extract<RoundCommand, { type: 'report' }>, facts: Omit<NodeEvent, 'id' | 'ts'>): void {
    if (isOthersDoing(report, this.#c)) this.#c.refused(facts)
    else this.#c.events.emit(facts)
  }

  #enter(phase: Phase, round: number): Promise<void> {
    return this.#c.phases.enter(phase, round, () => closerOf(this.#rounds, round) === this.#c.self)
  }

  /** Runs beside everything else; with a name, once at a time. */
  #background(name: string | null, task: () => Promise<void>): void {
    if (name !== null) {
      if (this.#fetching.has(name)) return
      this.#fetching.add(name)
    }
    task()
      .catch(error => this.#failed(name ?? 'telling', error))
      .finally(() => {
        if (name !== null) this.#fetching.delete(name)
      })
  }

  #failed(what: string, error: unknown): void {
    if (this.#stopping.signal.aborted) return
    const code = codeOf(error)
    this.#c.events.emit({ type: 'refused', run: this.#c.run, code, message: `${what}: ${reasonOf(error)}` })
  }

  // ---- fetching

  async #fetchContribution(command: Extract<RoundCommand, { type: 'fetchContribution' }>): Promise<void> {
    try {
      await this.#takeContribution(command)
    } catch (error) {
      // The rules say so and ask again after a while: what could not be had now may be had from somebody else.
      if (!isCodedError(error)) this.#failed(`fetching contribution ${command.cid}`, error)
      this.#dispatch({ type: 'contributionRefused', cid: command.cid, reason: whyNotFetched(error) })
    }
  }

  async #takeContribution({ cid, author, holders, body }: Extract<RoundCommand, { type: 'fetchContribution' }>): Promise<void> {
    const options = this.#fetchOptions(author === null ? holders : [...holders, author])
    const bytes = await this.#c.fetcher.signed(cid, options)
    const { contribution } = await openContribution(bytes)
    // Its own run may live on it: written here it would be loose, and deleted under that one. Nor is it its author who named it here.
    if (contribution.run !== this.#c.run) {
      this.#dispatch({ type: 'contributionRefused', cid, reason: 'wrong_run' })
      return
    }
    await this.#hear(cid, bytes, { type: 'contribution', cid, contribution })
    if (!body) return
    await this.#enter('fetching', contribution.round)
    await this.#fetchBody(contribution, options)
    const parentAnchor = await this.#anchorAfter(contribution.parent)
    await this.#checkTurns.run(cid, contribution.peer, async isStrangers => {
      const refusal = await this.#refusalOf(contribution, parentAnchor, isStrangers)
      if (refusal !== null) {
        this.#dispatch({ type: 'contributionRefused', cid, reason: refusal })
        return
      }
      // Others are told next that it is held here: its author may rely on that when its own disk is gone.
      await this.#c.fetcher.keep(contribution.body, [cid])
      this.#dispatch({ type: 'contributionHeld', cid })
    })
  }

  #fetchBody({ body, round }: Contribution, options: FetchOptions): Promise<void> {
    const telling = this.#c.retention.fetching(body, round)
    return this.#c.fetcher.body(body, { ...options, ...telling, totalBytesMax: this.#bodyBytesMax() })
  }

  async #refusalOf({ body, codec, norm }: Contribution, parentAnchor: string, isStrangers: boolean): Promise<ReasonCode | null> {
    if (codec !== createCodec(this.#c.manifest.strategy.codec).name) return 'wrong_codec'
    return this.#c.arithmetic.checkContribution({ body, codec, norm, parentAnchor, isStrangers })
  }

  /** The anchor of a record, once it is here: what a contribution to it was measured from, whatever our head is by now. */
  async #anchorAfter(cid: string): Promise<string> {
    if (cid === this.#c.run) return this.#c.manifest.genesis.anchor
    const { record } = await openRecord(await this.#c.fetcher.block(cid, this.#fetchOptions()))
    // Others may be a round ahead: their anchor is about to be computed here, which costs no traffic.
    if (record.round > this.#head.round) await this.#untilComputed(record.anchor)
    if (!(await this.#c.blocks.has(record.anchor))) await this.#fetchWholeAnchor(record)
    return record.anchor
  }

  /** Resolves when this node has computed an anchor, or after the time in which it should have. */
  async #untilComputed(anchor: string): Promise<void> {
    const limit = AbortSignal.timeout(this.#c.manifest.strategy.fetchTimeoutMs)
    while (!limit.aborted && !this.#stopping.signal.aborted && !(await this.#c.blocks.has(anchor))) {
      // The tick is for an anchor that comes by another way than the rules', such as a fetch.
      await Promise.race([this.#computed.promise, delay(TICK_MS, undefined, { ref: false })])
    }
  }

  /** Whether a record is of our chain, or the rules keep it, or a contribution. */
  #isKnown(cid: string): boolean {
    return this.#adopted.has(cid) || remembers(this.#rounds, cid)
  }

  /** Of strangers' chains some give way where too many are fetched. */
  #chainOptions(holders: string[]): ChainOptions {
    return { ...this.#fetchOptions(holders), isStrangers: !holders.some(peer => isAuthor(this.#rounds, peer)) }
  }

  /** A record that somebody named: that nobody has it is told of as what costs nothing, since naming one does not. */
  async #fetchNamed(cid: string, holders: string[]): Promise<void> {
    try {
      await this.#fetchRecord(cid, holders)
    } catch (error) {
      if (!isCodedError(error) || this.#stopping.signal.aborted) throw error
      const message = `record ${cid} was named and could not be taken: ${reasonOf(error)}`
      this.#c.refused({ type: 'refused', run: this.#c.run, code: error.code, message, data: { subject: cid } })
    }
  }

  /** Gets a record and those before it that are unknown here, and tells them oldest first, the one asked for even if it was told before. */
  async #fetchRecord(cid: string, holders: string[]): Promise<void> {
    if (this.#learning !== null) await this.#learning
    // Of a branch that is too old a new head's own record says enough.
    const isKnown = (at: string): boolean => at !== cid && (this.#isKnown(at) || isTooOld(this.#rounds, at))
    const options = this.#chainOptions(holders)
    try {
      await this.#chains.fetch(cid, isKnown, options, found => this.#tellChain(found))
    } catch (error) {
      if (!isTooLong(error)) throw error
      await this.#goLongWay(error, options)
    }
  }

  /** Records with what they list, some at a time: were the envelopes of a long chain asked for one by one, nothing else would be done for minutes. */
  async #tellChain(found: readonly ChainRecord[]): Promise<void> {
    for (let from = 0; from < found.length; from += RECORDS_TOLD_AT_ONCE) {
      const records = found.slice(from, from + RECORDS_TOLD_AT_ONCE)
      const contributions = await this.#contributionsOf(records)
      if (this.#stopping.signal.aborted) return
      const commands = this.#advance(records.map(({ cid, record }) => ({ type: 'record', cid, record })))
      // Of a record that the rules do not take what it lists is no news: they would refuse each by its author's name.
      const lacking = contributions.filter(({ cid }) => this.#rounds.lacking.has(cid))
      commands.push(...this.#advance(lacking.map(({ cid, contribution }) => ({ type: 'contribution', cid, contribution }))))
      this.#obeyAll(commands)
      await othersTurn()
    }
  }

  #isWithAuthors(): boolean {
    const authors = [...this.#rounds.peers].filter(([peer]) => isAuthor(this.#rounds, peer))
    const { round } = viewOf(this.#rounds)
    return isWhereMostAre(
      authors.map(([, theirs]) => theirs.round),
      round
    )
  }

  /**
   * Towards a head that is further on than the rules can hold: a chain that goes on from our history is learned. One that parted from what was learned before is weighed against it; what this node has
   * adopted it leaves for no chain that it cannot hold.
   *
   * @throws DaemonError `history_too_long` where nobody can be asked, where only strangers are there, or where it parted before our head
   */
  async #goLongWay(tooLong: DaemonError, options: ChainOptions): Promise<void> {
    const [peer] = options.from()
    if (peer === undefined || this.#isWithAuthors()) throw tooLong
    if (this.#isOnLongWay) throw new DaemonError('block_unavailable', "Another chain's history is being learned: this is asked for again")
    this.#isOnLongWay = true
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(LONG_WAY_MS)])
    const way = { ...options, signal, headRound: tooLong.details!.headRound as number }
    try {
      const end = (await this.#c.ledger.end())?.round ?? 0
      const shared = await this.#longWay.sharedWith(peer, signal)
      if (shared === end) await this.#learn(way)
      else if (shared >= this.#head.round) await this.#weighLongWay(peer, shared, way)
      else throw tooLong
    } finally {
      this.#isOnLongWay = false
    }
  }

  /** What was learned is on disk when this fails, too. */
  async #learn(way: LongWayOptions): Promise<void> {
    const { run, events } = this.#c
    const ahead = way.headRound - this.#head.round
    const message = `the run is ${ahead} rounds further on than this node: their history is learned first`
    events.emit({ type: 'run', run, code: 'history_learned', message, data: { ahead } })
    const ended = Promise.withResolvers<void>()
    this.#learning = ended.promise
    let isMore = false
    try {
      for await (const leg of this.#longWay.ahead(way)) {
        await this.#keepLeg(leg)
        isMore = true
        this.#learned = `learning the run's history: round ${leg.rounds.at(-1)!.round} of ${way.headRound}`
        // They came meanwhile: their next round is adopted, which forgets what was learned.
        if (this.#isWithAuthors()) return
      }
    } finally {
      this.#learned = null
      this.#learning = null
      ended.resolve()
      if (isMore && !this.#isWithAuthors()) this.#c.beginAnew(null)
    }
  }

  async #keepLeg({ rounds, blocks }: Leg): Promise<void> {
    const hold = this.#loose.hold()
    const cids = blocks.map(({ cid }) => cid)
    try {
      for (let from = 0; from < blocks.length; from += WRITTEN_AT_ONCE)
        await Promise.all(blocks.slice(from, from + WRITTEN_AT_ONCE).map(({ cid, bytes }) => hold.put(cid, bytes)))
      // In turn with what is adopted: of two that go on from one round only one is history.
      const kept = this.#adopting.then(async () => {
        this.#stopping.signal.throwIfAborted()
        await this.#c.blocks.sync(cids)
        await this.#c.ledger.learned(rounds)
        await this.#loose.adopted(cids)
      })
      this.#adopting = kept.catch(() => {})
      await kept
    } finally {
      hold.release()
    }
  }

  /** Two chains of which nothing is adopted here: whichever weighs more is what this node goes after. */
  async #weighLongWay(peer: string, shared: number, way: LongWayOptions): Promise<void> {
    const nowMs = performance.now()
    if (nowMs < this.#weighAtMs) return
    this.#weighAtMs = nowMs + LOOK_MS
    if (!(await this.#longWay.outweighs(peer, shared, way))) return
    const { run, events } = this.#c
    const message = `a chain that parted after round ${shared} outweighs what was learned of another: that is forgotten`
    events.emit({ type: 'run', run, peer, code: 'history_learned', message, data: { shared } })
    this.#c.beginAnew(shared)
  }

  /**
   * A live peer's chain parted from ours before all that the rules remember: both are read back to where they parted, and the rules begin again with both.
   * Not where ours outweighs it anyway.
   */
  async #startOver(head: string, peer: string | undefined): Promise<void> {
    const isStrangers = peer === undefined || !isAuthor(this.#rounds, peer)
    const waitMs = (): number => this.#looks.waitMs(isStrangers, performance.now())
    while (waitMs() > 0) await delay(waitMs(), undefined, { signal: this.#stopping.signal })
    // What seemed too old may only have been far ahead of us, and known by now.
    if (remembers(this.#rounds, head)) return
    const sinceMs = performance.now()
    this.#looks.began(sinceMs)
    try {
      const isOurs = (cid: string): boolean => this.#adopted.has(cid)
      const options = this.#chainOptions(peer === undefined ? [] : [peer])
      await this.#chains
        .fetch(head, isOurs, options, theirs => this.#reopen(head, theirs))
        .catch(async error => {
          if (!isTooLong(error)) throw error
          await this.#goLongWay(error, options)
        })
    } finally {
      this.#looks.ended(performance.now() - sinceMs)
    }
  }

  async #reopen(head: string, theirs: ChainRecord[]): Promise<void> {
    const first = theirs[0]?.record
    if (first === undefined) return
    const { manifest, ledger, run } = this.#c
    if (await isTooLongAfter(ledger, first.round - 1)) {
      const headRound = theirs.at(-1)!.record.round + FORK_WINDOW_ROUNDS
      throw new DaemonError('history_too_long', `What is known here after round ${first.round - 1} is more than the rules can hold`, {
        details: { headRound }
      })
    }
    const own = { run, ledger, genesisPeers: manifest.genesis.peers }
    const fork = await pastUpTo(own, first.round - 1)
    const contributions = await this.#contributionsOf(theirs)
    const listed = theirs.reduce((sum, { record }) => sum + record.contributions.length, 0)
    const shown = { contributions: contributions.map(({ contribution }) => contribution), unseen: listed - contributions.length }
    if (await outweighs(own, fork, shown, manifest.strategy.maxTokensPerRound)) return
    // They may be on the way to a branch that parted further back, which another look has found.
    const root = this.#rounds.tree.root.round
    const past = await this.#pastToHead(root < first.round - 1 ? await pastUpTo(own, root) : fork)
    if (this.#rounds.tree.root.round < Math.min(root, first.round - 1)) return this.#reopen(head, theirs)
    const next = reopenRounds(this.#rounds, {
      now: performance.now(),
      ...(past.trunk === undefined ? {} : { trunk: past.trunk }),
      records: [...past.records, ...theirs.map(({ cid, record }) => ({ cid, record, ready: false }))],
      contributions: [...past.contributions, ...contributions]
    })
    // The disk lost a part of our past: without it they would stand far behind what is adopted.
    const isWhole = remembers(next, viewOf(this.#rounds).head)
    this.#looks.sawPast(isWhole)
    if (!isWhole) {
      throw new DaemonError(
        'block_unavailable',
        `cannot look at the branch of ${head}: the records of our own past are not whole on this disk`
      )
    }
    this.#rounds = next
    this.#dispatch({ type: 'tick' })
  }

  /** Our chain up to where the rules stand, though rounds are adopted while it is read; less where the disk lost a part. */
  async #pastToHead(before: Pick<KeptPast, 'trunk' | 'earlier'>): Promise<KeptPast> {
    let past = await pastAfter(this.#c, before)
    for (let tries = 0; tries < PAST_TRIES; tries++) {
      if ((past.records.at(-1)?.cid ?? past.trunk?.cid ?? this.#c.run) === viewOf(this.#rounds).head) return past
      await this.#adopting
      past = await continuedPast(this.#c, past)
    }
    return past
  }

  /** The contributions of others' records, as far as their envelopes are here; their bodies are of long ago. */
  async #contributionsOf(records: readonly ChainRecord[]): Promise<{ cid: string; contribution: Contribution; held: boolean }[]> {
    const contributions: { cid: string; contribution: Contribution; held: boolean }[] = []
    for (const cid of records.flatMap(({ record }) => record.contributions)) {
      const bytes = await this.#c.blocks.get(cid)
      if (bytes !== undefined) contributions.push({ cid, contribution: (await openContribution(bytes)).contribution, held: false })
    }
    return contributions
  }

  async #fetchAnchor({ cid, anchor, holders, round }: Extract<RoundCommand, { type: 'fetchAnchor' }>): Promise<void> {
    try {
      await this.#sought.fetch(anchor, signal => this.#fetchWholeAnchor({ anchor, round }, holders, signal))
      await this.#c.fetcher.keep(anchor)
      this.#dispatch({ type: 'recordComputed', cid, anchor })
    } catch (error) {
      this.#failed(`fetching anchor of ${cid}`, error)
      this.#dispatch({ type: 'recordUnavailable', cid })
    }
  }

  /** A whole anchor may take longer than a contribution does; a fetch that broke off goes on where it stood. */
  #fetchWholeAnchor({ anchor, round }: Pick<Head, 'anchor' | 'round'>, holders: string[] = [], until?: AbortSignal): Promise<void> {
    const options = this.#fetchOptions(holders)
    const signal = until === undefined ? options.signal : AbortSignal.any([options.signal, until])
    // It may never be adopted: then what came of it goes.
    const telling = this.#c.retention.fetching(anchor, round)
    const timeoutMs = ANCHOR_PATIENCE * options.timeoutMs
    return this.#c.fetcher.largeBody(anchor, { ...options, ...telling, signal, timeoutMs, totalBytesMax: this.#bodyBytesMax() })
  }

  #fetchOptions(holders: string[] = []): FetchOptions {
    const from = () => [...new Set([...holders, ...this.#c.livePeers()])]
    return { from, holders, signal: this.#stopping.signal, timeoutMs: this.#c.manifest.strategy.fetchTimeoutMs }
  }

  // ---- closing and computing

  async #close({ round, parent, parentAnchor, contributions }: Extract<RoundCommand, { type: 'close' }>): Promise<void> {
    try {
      await this.#enter('closing', round)
      const anchor = await this.#nextAnchor(round, parentAnchor, contributions)
      const record: RoundRecord = {
        run: this.#c.run,
        round,
        parent,
        contributions: contributions.map(part => part.cid),
        anchor,
        closer: this.#c.self
      }
      const block = await signRecord(record, this.#c.privateKey)
      await this.#c.blocks.put(block.cid, block.bytes, { durable: true })
      this.#dispatch({ type: 'record', cid: block.cid, record })
      this.#dispatch({ type: 'recordComputed', cid: block.cid, anchor })
    } catch (error) {
      this.#failed(`closing round ${round}`, error)
      this.#dispatch({
        type: 'closeFailed',
        round,
        reason: isCodedError(error) && error.code === 'disk_full' ? 'disk_full' : 'close_failed',
        missing: await this.#missingBodies(contributions)
      })
    }
  }

  async #compute({ cid, record, parentAnchor, contributions }: Extract<RoundCommand, { type: 'compute' }>): Promise<void> {
    try {
      const anchor = await this.#nextAnchor(record.round, parentAnchor, contributions)
      this.#dispatch({ type: 'recordComputed', cid, anchor })
    } catch (error) {
      this.#failed(`computing round ${record.round}`, error)
      this.#dispatch({ type: 'recordUnavailable', cid, missing: await this.#missingBodies(contributions) })
    }
  }

  async #nextAnchor(round: number, parentAnchor: string, parts: Part[]): Promise<string> {
    const options = this.#fetchOptions()
    const contributions = await Promise.all(
      parts.map(async ({ cid, age, tokens }) => {
        const { contribution } = await openContribution(await this.#c.fetcher.block(cid, options))
        await this.#fetchBody(contribution, options)
        const { body, codec, peer: author, norm } = contribution
        return { body, codec, author, tokens, age, norm }
      })
    )
    await this.#enter('computing', round)
    const { anchor } = await this.#c.arithmetic.nextAnchor({ parentAnchor, contributions, strategy: this.#c.manifest.strategy })
    // Before anything else can fail: what is in no list is never forgotten.
    this.#c.retention.came(anchor, round)
    return anchor
  }

  /** Which of these are not whole here, though the rules took them for held. */
  async #missingBodies(parts: Part[]): Promise<string[]> {
    const missing: string[] = []
    for (const { cid } of parts) {
      const bytes = await this.#c.blocks.get(cid)
      const whole = bytes !== undefined && (await this.#c.fetcher.isWhole((await openContribution(bytes)).contribution.body))
      if (!whole) missing.push(cid)
    }
    return missing
  }

  async #publish(cid: string): Promise<void> {
    const bytes = await this.#c.blocks.get(cid)
    if (bytes === undefined) return
    const { record } = await openRecord(bytes)
    await this.#c.gossip.publishRecord(bytes)
    await this.#enter('published', record.round)
  }

  async #syncHeads(): Promise<void> {
    const heads = await this.#c.syncHeads(this.#stopping.signal)
    await Promise.all(
      heads.map(async ({ peer, head, round }) => {
        this.#dispatch({ type: 'peerLive', peer, head, round })
        if (round > this.#head.round)
          await this.#fetchRecord(head, [peer]).catch(error => this.#failed(`fetching the head of ${peer}`, error))
      })
    )
    this.#dispatch({ type: 'synced' })
  }

  // ---- adopting

  async #adopt({ cid, round, anchor, ancestor, own }: Extract<RoundCommand, { type: 'adopt' }>): Promise<void> {
    await this.#enter('storing', round)
    const head = { record: cid, round, anchor }
    const adopted = await this.#untilDone(`adopting round ${round}`, async () => {
      const since = await this.#roundsSince(ancestor.cid, cid)
      const history = since.flatMap(({ record, contributions }) => [record, ...contributions.map(part => part.cid)])
      // Gossip brought them: a head on disk whose records are not would be no history.
      await this.#c.blocks.sync(history)
      const left = await this.#c.ledger.adopt(head, since, ancestor.round)
      for (const [round, record] of left) if (round > this.#head.round) await this.#loosen(record)
      await this.#loose.adopted(history)
      return { rounds: since, left }
    })
    if (adopted === null) return
    const { rounds, left } = adopted
    const before = this.#head.round
    this.#head = head
    this.#headMoved.abort()
    this.#headMoved = new AbortController()
    this.#written = cid
    this.#adoptedAtMs = performance.now()
    for (const aside of left.values()) this.#adopted.delete(aside)
    for (const kept of rounds) {
      this.#adopted.add(kept.record)
      const { contributors, closer } = kept
      const instead = kept.round <= before ? left.get(kept.round) : undefined
      const again = instead === undefined ? 'adopted' : 'adopted anew, on another branch than ours was'
      const message = `round ${kept.round} ${again}: ${contributors.length} contributions, closed by ${closer}`
      const data = { ...kept, ...(instead === undefined ? {} : { instead }) }
      this.#c.events.emit({ type: 'round', run: this.#c.run, round: kept.round, peer: closer, message, data })
      this.#tellCut(kept)
      this.#tellSlow(kept)
    }
    for (const { cid, fate } of own) await this.#untilDone(`keeping what became of ${cid}`, () => this.#settle(cid, fate))
    this.#sweep()
    this.#contributors = rounds.at(-1)!.contributors.map(({ peer }) => peer)
    this.#trainer?.assign(this.#contributors)
    this.#paced({ type: 'adopted', head: cid, round })
    this.#catchUp()
    await this.#lookBack()
    await this.#considerAudits(rounds.at(-1)!)
    await this.#forget()
    await this.#c.ledger.sumUp(round - FORK_WINDOW_ROUNDS)
  }

  /** What was learned of a chain that is not ours goes with what nobody needs. */
  async #loosen(record: string): Promise<void> {
    const bytes = await this.#c.blocks.get(record)
    if (bytes !== undefined) this.#loose.loosen([record, ...(await openRecord(bytes)).record.contributions])
  }

  /** Resolves when it has begun: in a large mesh it takes seconds, and the next adoption does not need it. */
  async #forget(): Promise<void> {
    const kept = await this.#c.ledger.rounds(this.#c.manifest.strategy.keepRounds)
    const [open, wanted] = [await this.#own.open(), await this.#c.ledger.fetchedAnchors()]
    this.#forgetting = this.#c.retention.forget(kept, open, wanted).catch(error => this.#failed('forgetting old rounds', error))
  }

  async #lookBack(): Promise<void> {
    const rounds = await this.#c.ledger.rounds(SHARE_ROUNDS)
    this.#share = rounds.length === 0 ? null : shareOf(rounds, this.#c.self)
    this.#lastAccepted = lastAcceptedIn(rounds, this.#c.self) ?? this.#lastAccepted
    this.#contributors = rounds[0]?.contributors.map(({ peer }) => peer) ?? []
  }

  /** In one event for all of a round: anybody may bring a crowd of them. */
  #tellCut({ round, record, contributions }: KeptRound): void {
    const cut = contributions.flatMap(({ cid, peer, scale }) => (scale === undefined ? [] : [{ cid, peer, scale }]))
    if (cut.length === 0) return
    const parts = cut.map(({ peer, scale }) => `that of ${peer} by ${scale.toPrecision(2)}`)
    const message = `${cut.length} of ${contributions.length} changes were larger by far than most and counted in part: ${named(parts, ', ')}`
    this.#c.events.emit({ type: 'refused', run: this.#c.run, round, code: 'norm_cut', message, data: { record, cut } })
  }

  /** A round past its deadline is the question that operators ask most: it is answered before they do. */
  #tellSlow({ round, seconds, record }: KeptRound): void {
    const causes = this.#heldUp.take(round)
    const { deadlineMs } = this.#c.manifest.strategy
    if (seconds === null || seconds * 1000 <= deadlineMs) return
    const message = slowSentence(round, seconds, deadlineMs, causes)
    this.#c.events.emit({ type: 'run', run: this.#c.run, round, code: 'round_slow', message, data: { record, seconds, causes } })
  }

  /** The life of one of our own, so that `why` of its CID or round tells it whole. */
  #tellOwn(code: keyof typeof OWN_FATES, { round, cid, steps, tokens }: OwnContribution, data: Record<string, unknown> = {}): void {
    const message = `our contribution to round ${round} (${steps} steps, ${tokens} tokens) ${OWN_FATES[code]}`
    this.#c.events.emit({ type: 'run', run: this.#c.run, round, peer: this.#c.self, code, message, data: { subject: cid, ...data } })
  }

  /** Of several rounds adopted at once only the newest: the others are old news. */
  async #considerAudits(round: KeptRound): Promise<void> {
    const { audits, ledger, manifest } = this.#c
    if (audits === null) return
    const anchor = round.round === 1 ? manifest.genesis.anchor : (await ledger.round(round.round - 1))?.anchor
    if (anchor !== undefined) audits.consider(round, anchor)
  }

  /** Does what the rules take for done already, again and again until it is: a full disk gets room some day. Null once the run is being left. */
  async #untilDone<T>(what: string, task: () => Promise<T>): Promise<T | null> {
    const failures = new Failures()
    while (!this.#stopping.signal.aborted) {
      try {
        return await task()
      } catch (error) {
        if (failures.count(error)) this.#failed(what, error)
        await delay(failures.waitMs, undefined, { signal: this.#stopping.signal }).catch(() => {})
      }
    }
    return null
  }

  /** The adopted rounds after `ancestor` up to `tip`, oldest first: several when this node had fallen behind or changed branches. */
  async #roundsSince(ancestor: string, tip: string): Promise<KeptRound[]> {
    const seconds = Math.round(performance.now() - this.#adoptedAtMs) / 1000
    const chain: { cid: string; record: RoundRecord }[] = []
    for (let cid = tip; cid !== ancestor; cid = chain.at(-1)!.record.parent) {
      chain.push({ cid, record: (await openRecord(await this.#c.fetcher.block(cid, this.#fetchOptions()))).record })
    }
    chain.reverse()
    const rounds: KeptRound[] = []
    // A newcomer has hundreds to read, and whatever is read waits for the disk and for its turn.
    for (let from = 0; from < chain.length; from += ROUNDS_READ_AT_ONCE) {
      const some = chain.slice(from, from + ROUNDS_READ_AT_ONCE)
      // Who catches up on several at once cannot tell how long any of them took.
      const took = chain.length === 1 ? seconds : null
      rounds.push(...(await Promise.all(some.map(({ cid, record }) => this.#keptRound(cid, record, took)))))
    }
    return rounds
  }

  async #keptRound(cid: string, record: RoundRecord, seconds: number | null): Promise<KeptRound> {
    const parts = await Promise.all(
      record.contributions.map(async part => (await openContribution(await this.#c.fetcher.block(part, this.#fetchOptions()))).contribution)
    )
    const bytes = await Promise.all(parts.map(({ body }) => this.#c.fetcher.bodyBytes(body)))
    const { maxTokensPerRound, screening = null } = this.#c.manifest.strategy
    const total = bytes.reduce((sum, size) => sum + size, 0)
    return keptRoundOf({ cid, record }, parts, { maxTokensPerRound, screening, bytes: total, seconds })
  }

  async #settle(cid: string, fate: 'included' | 'late' | 'lost'): Promise<void> {
    const own = await this.#own.settle(cid, fate)
    if (own !== null) await this.#settled(own, cid, fate)
  }

  async #settled(own: OwnContribution, cid: string, fate: 'included' | 'late' | 'lost'): Promise<void> {
    this.#tellOwn(`contribution_${fate}`, own)
    if (fate === 'lost') this.#catchingUp.lost(own)
    else this.#catchingUp.found(cid)
    this.#lastContribution = { round: own.round, cid, result: fate, taken: await this.#own.takenOf(own) }
  }

  // ---- the trainer

  /** Once the head's anchor, from which it begins, is here as a file. Nobody may keep that of an old head any more: then the rules, which run meanwhile, go on to a later one. */
  async #startTrainer(): Promise<void> {
    for (let failures = 1; ; failures++) {
      const signal = AbortSignal.any([this.#stopping.signal, this.#headMoved.signal])
      try {
        await this.#anchorFile(this.#head, signal)
        if (!signal.aborted) break
      } catch (error) {
        if (!signal.aborted) this.#noteNoAnchor(error)
      }
      if (this.#stopping.signal.aborted) return
      await delay(seekDelayMs(failures), undefined, { signal }).catch(() => {})
    }
    this.#noAnchor = null
    this.#trainer?.start()
  }

  /** Told once for each code in a row: it is tried again for as long as the run is open. */
  #noteNoAnchor(error: unknown): void {
    const code = codeOf(error)
    const { round } = this.#head
    const message = `training waits for the anchor of round ${round}: ${reasonOf(error)}`
    if (this.#noAnchor?.code !== code) this.#c.events.emit({ type: 'run', run: this.#c.run, round, code, message })
    this.#noAnchor = { code, message }
  }

  #trainerStart(): TrainerStart {
    const firstStep = this.#head.round * this.#c.manifest.strategy.innerSteps
    return this.#c.trainerStart(this.#anchorPath(), firstStep, this.#contributors)
  }

  #trainerReady(ready: TrainerReady): void {
    this.#ready = ready
    this.#background(null, async () => {
      const before = this.#tokens
      const reported = await this.#own.tokens()
      // Steps may have come in meanwhile.
      this.#tokens += reported + ready.tokensSinceSnapshot - before
    })
    this.#catchingUp.trainerReady(ready.record ?? this.#c.run)
    const givenUp = this.#trainer?.givenUp ?? []
    const last = givenUp.at(-1)
    // Not by the engine's name: one that was tried again and given up again leads to the same engine as before.
    if (last !== undefined && last !== this.#fellBackFrom) {
      this.#fellBackFrom = last
      this.#c.events.emit({
        type: 'trainer',
        run: this.#c.run,
        code: 'engine_fallback',
        message: `training goes on with ${ready.engine} instead of ${last.engine}: ${sentenceOf(givenUp)}`,
        data: { from: last.engine, to: ready.engine, cause: last.code, reason: last.reason, deaths: last.deaths }
      })
    }
    const where = `at step ${ready.step}${ready.epochAgain ? '; its text is shorter than it was, and the epoch begins again' : ''}`
    this.#c.events.emit({
      type: 'trainer',
      run: this.#c.run,
      message: `trainer ready on ${ready.engine} (${ready.why}) after ${Math.round(ready.compileMs)} ms of compiling, ${where}`,
      data: { ...ready }
    })
    // A deadline that ran while the trainer was being made would have it contribute its very first step.
    if (ready.step === 0) this.#paced({ type: 'adopted', head: this.#head.record, round: this.#head.round })
    this.#paced({ type: 'steps', steps: ready.stepsSinceSnapshot })
    this.#work(() => this.#recover(ready))
    this.#catchUp()
  }

  #trainerDied({ blame: _, ...death }: Death, { restarts, restartInMs, givenUp }: Next): void {
    this.#catchingUp.trainerGone()
    // It may be what it died of.
    this.#anchorInFile = null
    const on = death.engine === null ? '' : ` on ${death.engine}`
    const without = givenUp === null ? '' : ` without ${givenUp.engine}, given up after ${givenUp.deaths}`
    const then = restartInMs === null ? 'no engine is left, so the run is paused' : `restart ${restarts}${without} in ${restartInMs} ms`
    this.#c.events.emit({
      type: 'trainer',
      run: this.#c.run,
      code: restartInMs === null ? 'no_engine' : death.code,
      message: `the trainer ended${on} (${death.reason}); ${then}`,
      data: { ...death, restarts, restartInMs, givenUp: givenUp?.engine ?? null }
    })
    this.#pump()
  }

  #trainerStoppedUnsaved({ blame: _, ...death }: Death): void {
    this.#c.events.emit({
      type: 'trainer',
      run: this.#c.run,
      code: death.code,
      message: `the trainer stopped without saving (${death.reason}): its steps since it last did are lost`,
      data: { ...death }
    })
  }

  #stepped(step: TrainerStep): void {
    const now = performance.now()
    this.#step = step
    this.#tokens += step.tokens
    this.#rate = [...this.#rate.filter(({ atMs }) => now - atMs < RATE_WINDOW_MS), { atMs: now, tokens: step.tokens }]
    this.#paced({ type: 'steps', steps: step.stepsSinceSnapshot })
    if (step.stepsSinceSnapshot === 1) void this.#enter('training', this.#head.round + 1)
    this.#pump()
  }

  /** One thing at a time with the trainer, in order; a trainer that dies meanwhile is caught up when it is ready again. */
  #work(task: () => Promise<void>): void {
    if (this.#stopping.signal.aborted) return
    this.#trainerWork = this.#trainerWork.then(task).catch(error => this.#failed('the trainer', error))
  }

  /** A snapshot that was taken but never offered, because the process ended in between. */
  async #recover(ready: TrainerReady): Promise<void> {
    const newest = await this.#own.newest()
    const snapshot = ready.snapshot
    // Each has its row before the next is taken: where more rows are missing the records are older than the trainer's state, and it may have been offered, and taken.
    if (snapshot !== null && snapshot.sequence === (newest?.sequence ?? 0) + 1) {
      await this.#reoffer(await this.#own.made(snapshot, ready.record ?? this.#c.run))
    }
  }

  async #reoffer(own: OwnContribution): Promise<void> {
    if (own.body !== null) this.#c.retention.came(own.body, own.round)
    // What was taken counts, also where its own block is damaged: put back it would count twice.
    if (own.cid !== null && (await this.#settledByChain(own, own.cid))) return
    const isRoundOpen = own.round === this.#head.round + 1 && own.parent === this.#head.record && this.#isAdmitted()
    const offered = await this.#own.offerAgain(own, isRoundOpen ? this.#head.anchor : null)
    if (offered === 'lost' || offered === 'diverged') {
      this.#catchingUp[offered](own)
      return
    }
    this.#dispatch({ type: 'contribution', cid: offered.cid, contribution: offered.contribution })
    this.#dispatch({ type: 'contributionHeld', cid: offered.cid })
    this.#paced({ type: 'contributed', head: own.parent, steps: this.#pace.steps })
    this.#background(null, () => this.#c.gossip.publishContribution(offered.bytes))
  }

  /** True where rounds adopted before a restart already say what became of it; that is told, unless it was before. */
  async #settledByChain(own: OwnContribution, cid: string): Promise<boolean> {
    const fate = await this.#own.fateUpTo(this.#head, own)
    if (fate === null) return false
    const marked = await this.#own.mark(own, fate)
    if (own.fate === fate) this.#catchingUp.lost(marked)
    else await this.#settled(marked, cid, fate)
    return true
  }

  /** Brings the trainer onto the head, and puts back what was lost. */
  #catchUp(): void {
    this.#work(async () => {
      try {
        await this.#catchingUp.toHead()
        this.#catchUpFailures = new Failures()
      } catch (error) {
        if (this.#catchUpFailures.count(error)) this.#failed('the trainer', error)
        // A disk that is full says nothing against the file; of anything else it may be the reason.
        if (!isCodedError(error) || error.code !== 'disk_full') this.#anchorInFile = null
        this.#catchUpRetry ??= setTimeout(() => {
          this.#catchUpRetry = null
          this.#catchUp()
        }, this.#catchUpFailures.waitMs).unref()
      }
    })
  }

  /** The parameters of an anchor as a file that the trainer reads; written once. */
  async #anchorFile(head: Head, until?: AbortSignal): Promise<string> {
    const file = this.#anchorPath()
    if (this.#anchorInFile === head.anchor) return file
    this.#anchorInFile = null
    try {
      await this.#c.arithmetic.anchorToSafetensors({ anchor: head.anchor, file })
    } catch (error) {
      if (!isCodedError(error) || error.code !== 'block_missing') throw error
      // Damaged on disk: somebody else has it whole.
      await this.#fetchWholeAnchor(head, [], until)
      await this.#c.arithmetic.anchorToSafetensors({ anchor: head.anchor, file })
    }
    this.#anchorInFile = head.anchor
    return file
  }

  #anchorPath(): string {
    return join(this.#c.directory, 'anchor.safetensors')
  }

  // ---- pace

  /** Tells the pace rule, and does what it says. */
  #paced(event: PaceEvent): void {
    const { commands } = advancePace(this.#pace, event, performance.now())
    for (const command of commands) {
      if (command.type === 'allowSteps') this.#allowed = command.until
      else if (command.type === 'contribute') this.#work(() => this.#contribute(command.round, command.head))
      else if (command.type === 'wait') this.#waits = true
      else command satisfies never
    }
    this.#waits = this.#pace.waiting !== null
    this.#trainer?.allow(this.#mayTrain() ? this.#allowed : 0)
  }

  /** After anything happened: whether a contribution could be made now, and what others should know. */
  #pump(): void {
    if (this.#stopping.signal.aborted) return
    this.#paced({ type: 'ready', ready: this.#mayTrain() && this.#catchingUp.at?.record === this.#head.record })
    this.#tell()
  }

  #mayTrain(): boolean {
    // Beyond our head history is known, or a part of it is not: what was trained on it has no place in any round.
    if (this.#written !== this.#head.record || this.#catchingUp.isAstray) return false
    return this.#trainer?.ready === true && this.#paused === null && this.#isAdmitted()
  }

  /** Whether a contribution to the open round would count, as far as this node's own admission goes. */
  #isAdmitted(): boolean {
    const { admittance } = this.#c
    return admittance === null || admittance.grantFor(this.#head.round + 1) !== undefined
  }

  async #contribute(round: number, parent: string): Promise<void> {
    const { at, isAstray } = this.#catchingUp
    if (!this.#trainer?.ready || isAstray || at?.record !== parent || this.#head.record !== parent) {
      this.#paced({ type: 'contributeFailed', retryMs: TICK_MS })
      return
    }
    const { anchor } = this.#head
    let own: OwnContribution | null = null
    const sinceMs = performance.now()
    try {
      await this.#enter('encoding', round)
      const snapshot = await this.#trainer.snapshot(round)
      // The trainer's base has moved: without its row nobody would know of it.
      const made = await this.#untilDone(`keeping the snapshot for round ${round}`, () => this.#own.made(snapshot, parent))
      if (made === null) return
      own = made
      const { cid, bytes, contribution } = await this.#own.offer(made, anchor)
      own = null
      this.#divergedFrom = null
      this.#paced({ type: 'contributed', head: parent, steps: this.#pace.steps })
      this.#uploading = { cid, sinceMs }
      this.#lastContribution = { round, cid, result: 'pending', taken: null }
      this.#tellOwn('contribution_offered', { ...made, cid }, { body: contribution.body })
      await this.#enter('stored', round)
      this.#dispatch({ type: 'contribution', cid, contribution })
      this.#dispatch({ type: 'contributionHeld', cid })
      await this.#c.gossip.publishContribution(bytes)
      await this.#enter('announced', round)
    } catch (error) {
      // What was measured goes back into the local model, and into the next contribution, if others can take it at all.
      const why = own === null ? null : whyNotOffered(error)
      if (own !== null && why !== null) this.#catchingUp[why](own)
      this.#catchUp()
      // From the same anchor it may well diverge again, and each try writes the model several times.
      this.#paced({ type: 'contributeFailed', retryMs: why === 'diverged' ? this.#c.manifest.strategy.deadlineMs : RETRY_MS })
      if (why === 'diverged' && this.#divergedFrom === parent) return
      if (why === 'diverged') this.#divergedFrom = parent
      throw error
    }
  }

  #state(): MemberFacts['state'] {
    if (this.#paused !== null || this.#trainer?.paused) return 'paused'
    if (this.#trainer === null) return 'observing'
    if (this.#c.admittance?.isWaiting(this.#head.round + 1)) return 'paused'
    if (!this.#trainer.ready || !this.#keepsUp()) return 'syncing'
    // Its grant holds for later rounds only: they come by learning what there is of them, or an inviter grants another.
    if (!this.#isAdmitted()) return this.#learning === null ? 'paused' : 'syncing'
    return this.#waits ? 'waiting' : 'training'
  }

  #keepsUp(): boolean {
    return keepsUp(this.#catchingUp.at?.round ?? null, Math.max(this.#head.round, targetRound(this.#rounds)))
  }

  #waitingFor(rules: string | null): string | null {
    return this.#waits ? (rules ?? 'the round to close') : rules
  }

  #tell(): void {
    const facts: MemberFacts = {
      head: this.#head.record,
      round: this.#head.round,
      state: this.#state(),
      step: this.#step?.step ?? 0,
      holding: () => holdingToTell(this.#rounds)
    }
    this.#c.announce(facts)
    const told = `${facts.head} ${facts.state}`
    if (told === this.#told) return
    this.#told = told
    this.#dispatch({ type: 'peerLive', peer: this.#c.self, head: facts.head, round: facts.round, trains: trains(facts.state) })
  }

  #tokensPerSecond(): number | null {
    const first = this.#rate[0]
    if (first === undefined || this.#rate.length < 2) return null
    const tokens = this.#rate.slice(1).reduce((sum, step) => sum + step.tokens, 0)
    return Math.round((tokens * 1000) / (performance.now() - first.atMs))
  }

  /** A body or an anchor can never weigh more than its values as f32 twice: indexes of sparse codecs are smaller than what they leave out. */
  #bodyBytesMax(): number {
    return this.#c.anchorBytes * 2
  }
}

/** What is told with the peer that it is about, and refuses nothing of it. */
const REFUSES_NOBODY: ReadonlySet<ReasonCode> = new Set(['fork_switched', 'left_out', 'peer_silent', 'rival_proposed', 'superseded'])
/** Characters of a detail that still belong into a sentence: lists of CIDs do not. */
const MAX_DETAIL_LENGTH = 200

function saidWith(sentence: string, detail: string | undefined): string {
  return detail === undefined || detail.length > MAX_DETAIL_LENGTH ? sentence : `${sentence} (${detail})`
}

/** What became of a contribution of our own, as it is told. */
const OWN_FATES = {
  contribution_offered: 'is on disk and told to all',
  contribution_included: 'is in the record',
  contribution_late: "came after its round's record and may enter the next, discounted",
  contribution_lost: 'is in neither of the records that could have taken it',
  contribution_restored: 'was taken back into the local model, and is part of the next one',
  contribution_dropped: 'counts no more: its work is in the local model, or is lost'
} as const
/** Failures of one thing in a row: worth an event once for each code, or a night with a full disk would leave nothing else to read. */
class Failures {
  #code: string | null = null
  #count = 0

  /** True where this one is news. */
  count(error: unknown): boolean {
    const code = codeOf(error)
    const isNews = code !== this.#code
    this.#code = code
    this.#count++
    return isNews
  }

  get waitMs(): number {
    return seekDelayMs(this.#count, RETRY_MS, RETRY_MAX_MS)
  }
}

const DIVERGED =
  "what is learned from this anchor diverges, and nobody would take it: look at this node's data and engine; where others say so too, the run learns too fast"
/** Waits before another try at a contribution or an adoption that failed, in ms: long enough for a disk to be emptied a little. */
const RETRY_MS = 2_000
/** ...and where it fails again and again: what each try writes is as large as the model. */
const RETRY_MAX_MS = 15_000
/** Tokens a second are counted over this many ms. */
const RATE_WINDOW_MS = 10_000
/** How many fetch timeouts a whole anchor may take. */
const ANCHOR_PATIENCE = 6
/** How long a history may be learned or weighed before another's turn, in ms; what was learned until then stays. */
const LONG_WAY_MS = 30 * 60_000
/** Records of a chain that the rules are told at once. */
const RECORDS_TOLD_AT_ONCE = 64
/** Rounds of a chain that are read from disk at once when it is adopted. */
const ROUNDS_READ_AT_ONCE = 64

/** Whether a node in this state is expected to contribute to the round. Syncing ones are not: they have some way to go before they can. */
export function trains(state: string): boolean {
  return state === 'training' || state === 'waiting'
}

/**
 * Whether a trainer on the anchor of `round` takes part in the newest round that there is: it is there, or on the record before, as that of every member is for a moment of every round.
 * If such a one said that it was syncing, others would count a mesh that adopts as one that nobody trains in; if one that comes back said that it trained, they would wait for it in vain.
 *
 * @param newest round of the record that this node is on or moves to
 */
export function keepsUp(round: number | null, newest: number): boolean {
  return round !== null && newest - round <= 1
}

function isTooLong(error: unknown): error is DaemonError {
  return error instanceof DaemonError && error.code === 'history_too_long' && error.details !== undefined
}

/**
 * Whether we are where the run stands: at least half of the authors who are live are no further than the rules can follow in any run. Anybody can sign rounds that go on from ours, as many as he likes:
 * while the authors are here those are nothing to go after.
 *
 * @param rounds of the heads of live authors
 */
export function isWhereMostAre(rounds: readonly number[], ours: number): boolean {
  const near = rounds.filter(round => round <= ours + FORK_WINDOW_ROUNDS)
  return near.length > 0 && 2 * near.length >= rounds.length
}

/** Whether our own history after a round is more than the rules can hold. */
async function isTooLongAfter(ledger: Pick<Ledger, 'roundsFrom'>, round: number): Promise<boolean> {
  let [records, listed] = [0, 0]
  for await (const { contributions } of ledger.roundsFrom(round + 1)) {
    records++
    listed += contributions.length
    if (records > MAX_RECORDS_OFF_CHAIN || listed > MAX_LISTED_OFF_CHAIN) return true
  }
  return false
}

function sentenceOf(givenUp: readonly GivenUp[]): string {
  return givenUp
    .map(({ engine, code, reason, deaths }) => `${engine} ${code} (${deaths > 1 ? `${deaths} times, ` : ''}${reason})`)
    .join(', ')
}

/** What is wrong with the bytes themselves is so for everybody; anything else may be had later. */
function whyNotFetched(error: unknown): ReasonCode {
  if (!isCodedError(error)) return 'fetch_timeout'
  switch (error.code) {
    case 'disk_full':
      return 'disk_full'
    case 'message_too_large':
      return 'body_too_large'
    case 'bad_message':
      return 'bad_body'
    case 'bad_signature':
      return 'bad_signature'
    default:
      return 'fetch_timeout'
  }
}
