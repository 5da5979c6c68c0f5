// One node: its identity, clock and life, and what it does with what the rules command. It does what a daemon does, and nothing else, but for its conduct.
import { FATE_ROUNDS } from '../../protocols/rounds/constants.ts'
import {
  advance,
  type Contribution,
  createRounds,
  type Part,
  type RoundCommand,
  type RoundEvent,
  type RoundRecord,
  type RoundsState,
  viewOf
} from '../../protocols/rounds/index.ts'
import { type Conduct, HONEST, type Told } from './conduct.ts'
import { Disk } from './disk.ts'
import { Fetching } from './fetching.ts'
import { anchorOf, peerName, recordCid } from './names.ts'
import type { Line } from './network.ts'
import { BriefPresence, Listeners, type Presence, RuledPresence, Voice } from './presence.ts'
import { STEPS_MS, Training } from './training.ts'
import type { World } from './world.ts'

export type Phase =
  | 'training'
  | 'encoding'
  | 'stored'
  | 'announced'
  | 'fetching'
  | 'closing'
  | 'closed'
  | 'published'
  | 'computing'
  | 'storing'
  | 'adopting'

const PRESENCE_MS = 2_000
const TICK_MS = 1_000

export class SimNode {
  readonly world: World
  readonly index: number
  readonly peer: string
  readonly stepMs: number
  disk = new Disk()
  readonly line: Line
  /** Virtual ms until which its line is busy with what it sends and gets. */
  sendsUntil = 0
  takesUntil = 0
  conduct: Conduct
  up = false
  asleep = false
  /** It will not come back. */
  left = false
  /** When its process began. */
  startedAt = 0
  /** Counts its processes, from 1. */
  life = 0
  rounds!: RoundsState
  presence!: Presence
  readonly listeners = new Listeners()
  #voice!: Voice
  #training!: Training
  #fetching!: Fetching
  forks = 0
  /** Times that its rules began again for a branch that parted too long ago. */
  startsOver = 0
  /** The highest round that it ever adopted. */
  furthest = 0
  /** When it first adopted a record on each parent. */
  readonly movedOnAt = new Map<string, number>()
  #stoppedAt: number | null = null
  /** What it decided to close last, and on which head. */
  #decided: { what: string; head: string } | null = null
  /** Since when it does not know what it missed, on its own clock. */
  #unsureSince: number | null = null
  #held: (() => void)[] = []
  #clockOffset: number
  #drift: number
  #wakeAt = Number.POSITIVE_INFINITY
  #inbox: RoundEvent[] = []

  constructor(world: World, index: number) {
    this.world = world
    this.index = index
    this.peer = peerName(index)
    this.stepMs = (world.options.stepMs ?? ((_, random) => random.between(60, 140)))(index, world.random)
    this.#clockOffset = world.random.between(0, 1e6)
    this.#drift = world.random.between(0.99, 1.01)
    this.conduct = world.options.conducts?.get(index) ?? HONEST
    this.line = { loss: 0, slowness: 1, up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY, ...world.options.lineOf?.(index) }
  }

  get trains(): boolean {
    return !this.disk.full && !this.#onlyLooksOn
  }

  get #onlyLooksOn(): boolean {
    return this.world.options.observers?.includes(this.index) ?? false
  }

  /** CID of the record that it has adopted last. */
  get head(): string {
    return this.rounds.head.cid
  }

  view(): ReturnType<typeof viewOf> {
    return viewOf(this.rounds)
  }

  /** What it has to say of itself, if it is honest. */
  told(): Told {
    const { cid, round } = this.rounds.head
    return { head: cid, round, trains: this.trains }
  }

  // ---- its clock and its life

  /** Its own monotonic clock, ms. */
  get now(): number {
    return this.#clockOffset + this.world.time.now * this.#drift
  }

  /** From now on its clock goes at this many of its ms in a real one. */
  drift(rate: number): void {
    this.#clockOffset += this.world.time.now * (this.#drift - rate)
    this.#drift = rate
  }

  start(): void {
    if (this.up || this.left) return
    this.up = true
    this.startedAt = this.world.time.now
    this.#unsureSince = this.now
    this.life++
    this.#inbox = []
    this.#wakeAt = Number.POSITIVE_INFINITY
    this.rounds = createRounds(this.world.rules, this.peer, { ...this.disk.past(this.peer, this.now), trains: this.trains })
    this.#settleByChain()
    this.#training = new Training(this)
    this.#fetching = new Fetching(this)
    this.#voice = new Voice(this)
    this.loop(TICK_MS, () => this.tell({ type: 'tick' }))
    this.presence = this.world.options.briefPresence ? new BriefPresence(this) : new RuledPresence(this)
    this.loop(PRESENCE_MS, () => this.#beHere())
    if (!this.#onlyLooksOn) this.loop(STEPS_MS, () => this.#training.work())
    this.tell({ type: 'tick' })
    this.#beHere()
  }

  /** What became of its own work while it was down, or so long before that the rules do not watch it any more. */
  #settleByChain(): void {
    const { contributions, fates } = this.disk
    const { round: headRound } = this.rounds.head
    for (const [cid, { peer, round }] of contributions) {
      if (peer !== this.peer || round >= headRound || (fates.get(cid) ?? 'late') !== 'late') continue
      fates.set(cid, this.chain().some(({ record }) => record.contributions.includes(cid)) ? 'included' : 'lost')
    }
  }

  /** SIGKILL. What others made and was not synced to disk may be lost with it. */
  kill(): void {
    if (!this.up) return
    this.up = false
    this.asleep = false
    this.life++
    this.#stoppedAt = null
    this.#held = []
    this.disk.crash(this.peer, this.world.random)
  }

  /** The machine gets another disk: the identity lives on, and nothing else. Only while it is down. */
  renewDisk(): void {
    this.disk = new Disk(this.world.time.now)
    // Whatever it did before, it does not know any more.
    this.movedOnAt.clear()
    this.furthest = 0
  }

  /** Its disk has no room, or has room again. Meanwhile a daemon does not train, and says so. */
  fill(full: boolean): void {
    this.disk.full = full
    if (this.up) this.live(this.life, () => this.tell({ type: 'peerLive', peer: this.peer, ...this.told() }))
  }

  leave(): void {
    this.left = true
    this.kill()
  }

  /** SIGSTOP: nothing runs; what arrives waits. */
  stop(): void {
    if (this.up && this.#stoppedAt === null) this.#stoppedAt = this.world.time.now
  }

  /** The machine sleeps: nothing runs, and what is sent to it meanwhile is lost with its connections. */
  sleep(): void {
    this.stop()
    this.asleep = this.stopped
  }

  resume(): void {
    this.asleep = false
    if (this.#stoppedAt === null) return
    this.#stoppedAt = null
    this.#unsureSince = this.now
    this.tell({ type: 'paused' })
    for (const run of this.#held.splice(0)) run()
  }

  /** All whom it asked for their heads have answered. */
  synced(): void {
    this.#unsureSince = null
    this.tell({ type: 'synced' })
  }

  /** It was away, and has not heard yet what it missed; nobody waits for that for ever. */
  get isUnsure(): boolean {
    return this.#unsureSince !== null && this.now - this.#unsureSince < 2 * this.world.rules.fetchTimeoutMs
  }

  get stopped(): boolean {
    return this.#stoppedAt !== null
  }

  /** Runs later if this life of the node still goes on then. */
  later(ms: number, run: () => void): void {
    const { life } = this
    this.world.time.after(ms, () => this.live(life, run))
  }

  /** Runs now if that life of the node still goes on; a stopped node does it when it goes on. */
  live(life: number, run: () => void): void {
    if (life !== this.life) return
    if (this.#stoppedAt !== null) this.#held.push(() => this.live(life, run))
    else run()
  }

  loop(ms: number, run: () => void): void {
    const turn = (): void => {
      run()
      this.later(ms, turn)
    }
    this.later(this.world.random.between(0, ms), turn)
  }

  // ---- its rules

  tell(...events: RoundEvent[]): void {
    const { life } = this
    for (const event of events) {
      if (life !== this.life) return
      this.#advance(event)
    }
    this.#wakeInTime(life)
  }

  /** What came over the network: taken together with what comes within the same moment, where the world has such moments. */
  hears(...events: RoundEvent[]): void {
    const { inboxMs } = this.world.options
    if (inboxMs === undefined) {
      this.tell(...events)
      return
    }
    if (this.#inbox.length === 0)
      this.later(inboxMs, () => {
        const { life } = this
        this.#advance(this.#inbox.splice(0))
        this.#wakeInTime(life)
      })
    this.#inbox.push(...events)
  }

  /** What will change nothing that could be looked at. */
  overhears(event: RoundEvent): void {
    this.#obeyAll(advance(this.rounds, event, this.now).commands)
  }

  #advance(events: RoundEvent | readonly RoundEvent[]): void {
    const { commands } = advance(this.rounds, events, this.now)
    this.world.checks.told(this, 'type' in events ? [events] : events)
    this.#obeyAll(commands)
  }

  #obeyAll(commands: readonly RoundCommand[]): void {
    const { life } = this
    for (const command of commands) {
      if (life !== this.life) return
      this.#obey(command)
    }
  }

  #wakeInTime(life: number): void {
    if (life !== this.life || this.rounds.nextAt >= this.#wakeAt - 1) return
    const at = this.rounds.nextAt
    this.#wakeAt = at
    this.later(Math.max(0, (at - this.now) / this.#drift) + 0.001, () => {
      if (this.#wakeAt === at) this.#wakeAt = Number.POSITIVE_INFINITY
      this.tell({ type: 'tick' })
    })
  }

  /** Tells whoever watches that it has come this far; false when that was its end, or stopped it. */
  enters(phase: Phase, round: number): boolean {
    const { life } = this
    this.world.onPhase(this, phase, round)
    return life === this.life && this.#stoppedAt === null
  }

  receiveRecord(cid: string, record: RoundRecord): void {
    const { full, records } = this.disk
    // On disk before the rules may act on it.
    if (full && !records.has(cid)) return
    if (!records.has(cid)) records.set(cid, { record, ready: false, shown: true })
    this.hears({ type: 'record', cid, record })
  }

  receiveContribution(cid: string, contribution: Contribution): void {
    const { contributions, full } = this.disk
    if (full && !contributions.has(cid)) return
    contributions.set(cid, contribution)
    this.hears({ type: 'contribution', cid, contribution })
  }

  /** One that it made itself is on its disk, whole. */
  keepOwn(cid: string, contribution: Contribution): void {
    if (!this.world.madeAt.has(cid)) this.world.madeAt.set(cid, this.world.time.now)
    this.disk.contributions.set(cid, contribution)
    this.disk.bodies.set(cid, contribution.round)
  }

  /** The records of its chain as far as its disk has them, the newest first. */
  chain(): { cid: string; record: RoundRecord }[] {
    const chain: { cid: string; record: RoundRecord }[] = []
    for (let at = this.head; at !== 'run'; ) {
      const stored = this.disk.records.get(at)
      if (stored === undefined) break
      chain.push({ cid: at, record: stored.record })
      at = stored.record.parent
    }
    return chain
  }

  // ---- what a daemon does with commands

  #obey(command: RoundCommand): void {
    switch (command.type) {
      case 'fetchContribution':
        this.#fetching.contribution(command)
        return
      case 'announceHolding':
        this.#voice.sayHolding(command.contributions)
        return
      case 'fetchRecord':
        this.#fetching.record(command)
        return
      case 'fetchAnchor':
        this.#fetching.anchor(command)
        return
      case 'close':
        this.#close(command)
        return
      case 'compute':
        this.#computeOther(command)
        return
      case 'publish':
        this.#publish(command.cid)
        return
      case 'adopt':
        this.#adopt(command)
        return
      case 'syncHeads':
        this.#fetching.heads()
        return
      case 'report':
        // Who slept long has a head that was ours too, long ago.
        if (command.code === 'fork_too_old' && this.chain().some(({ cid }) => cid === command.subject)) return
        this.world.reported(this, command)
        if (command.code === 'fork_too_old') this.#fetching.startOver(command.subject, command.peer)
        return
      default:
        command satisfies never
    }
  }

  #close(command: Extract<RoundCommand, { type: 'close' }>): void {
    if (!this.enters('closing', command.round)) return
    this.world.checks.closing(this, command)
    if (this.conduct.closes?.(this, command) === false) return
    const { disk } = this
    const { round, parent } = command
    const decided = { what: `${parent} ${command.contributions.map(({ cid }) => cid).join(' ')}`, head: this.head }
    this.#decided = decided
    this.#compute(command.parentAnchor, command.contributions, (anchor, missing) => {
      if (anchor === null) return this.tell({ type: 'closeFailed', round, reason: disk.full ? 'disk_full' : 'close_failed', missing })
      const contributions = command.contributions.map(({ cid }) => cid)
      const record: RoundRecord = { run: 'run', round, parent, contributions, anchor, closer: this.peer }
      const cid = recordCid(record)
      disk.anchors.set(anchor, round)
      // It may have closed with the same before, and shown it.
      const stored = disk.records.get(cid) ?? { record, ready: true, shown: false }
      const wasShown = stored.shown
      stored.ready = true
      disk.records.set(cid, stored)
      if (!this.enters('closed', round)) return
      // It may have decided the same anew.
      const isStale = this.#decided?.what !== decided.what || this.#decided.head !== this.head || this.isUnsure
      this.tell({ type: 'record', cid, record }, { type: 'recordComputed', cid, anchor })
      if (stored.shown && !wasShown) this.world.checks.showed(this, cid, isStale)
    })
  }

  #computeOther({ cid, record, parentAnchor, contributions }: Extract<RoundCommand, { type: 'compute' }>): void {
    if (!this.enters('computing', record.round)) return
    const { disk } = this
    this.#compute(parentAnchor, contributions, (anchor, missing) => {
      if (anchor === null) return this.tell({ type: 'recordUnavailable', cid, missing })
      if (!this.enters('storing', record.round)) return
      disk.anchors.set(anchor, record.round)
      const stored = disk.records.get(cid)
      if (stored !== undefined && anchor === record.anchor) stored.ready = true
      this.tell({ type: 'recordComputed', cid, anchor })
    })
  }

  #compute(parentAnchor: string, parts: readonly Part[], done: (anchor: string | null, missing: string[]) => void): void {
    const [least, most] = this.world.options.computeMs ?? [50, 400]
    this.later(this.world.random.between(least, most), () => {
      const { anchors, bodies, full } = this.disk
      const missing = parts.map(({ cid }) => cid).filter(cid => !bodies.has(cid))
      const hasParent = anchors.has(parentAnchor)
      if (!hasParent) this.#fetching.repair(parentAnchor)
      done(!full && hasParent && missing.length === 0 ? anchorOf(parentAnchor, parts) : null, missing)
    })
  }

  #publish(cid: string): void {
    const { conduct, disk, world } = this
    const stored = disk.records.get(cid)!
    stored.shown = true
    const shown = conduct.showsRecord?.(this, cid, stored.record)
    world.network.gossip(this, to => {
      const name = shown === undefined ? cid : shown(to)
      if (name !== null) to.receiveRecord(name, disk.records.get(name)!.record)
    })
    this.enters('published', stored.record.round)
  }

  #adopt(command: Extract<RoundCommand, { type: 'adopt' }>): void {
    const { disk, world } = this
    const { cid, round, fork, own, ancestor } = command
    const stored = disk.records.get(cid)
    if (stored !== undefined) stored.shown = true
    world.adopted(this, command)
    if (fork) {
      this.forks++
      // Where it was further on once, on whichever branch, it stopped to watch then.
      disk.untold.push({ first: ancestor.round, last: this.furthest - FATE_ROUNDS - 1 })
    }
    this.furthest = Math.max(this.furthest, round)
    const parent = stored?.record.parent ?? ''
    if (!this.movedOnAt.has(parent)) this.movedOnAt.set(parent, world.time.now)
    if (!this.enters('adopting', round)) return
    for (const { cid, fate } of own) disk.fates.set(cid, fate)
    disk.forget(round - (world.options.keepRounds ?? 8))
    this.presence.forgetHoldings()
    this.#training.paced({ type: 'adopted', head: cid, round })
    this.#voice.say(false)
  }

  #beHere(): void {
    this.presence.look()
    this.#voice.say(true)
  }
}
