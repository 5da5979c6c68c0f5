// Many nodes on one virtual clock: the real rules of rounds and pace, with a network that delays, loses, repeats and parts, disks that survive crashes, and bodies that are only names.
// A node here does what a daemon does with the rules' commands, and nothing else; an anchor is the hash of its parent and the list, so that two nodes that sum differently cannot agree.
import { createHash } from 'node:crypto'
import {
  advance,
  advancePace,
  type Contribution,
  createPace,
  createRounds,
  type Fate,
  type PaceCommand,
  type PaceEvent,
  type PaceState,
  type Part,
  type RoundCommand,
  type RoundEvent,
  type RoundRecord,
  type RoundsStart,
  type RoundsState,
  type RunRules,
  reopenRounds,
  viewOf
} from '../../protocols/rounds/index.ts'
import { Random } from './random.ts'
import { Timeline } from './timeline.ts'

export interface WorldOptions {
  seed: number
  nodes: number
  rules?: Partial<RunRules>
  innerSteps?: number
  maxStepsAhead?: number
  /** ms a training step, for each node; default 60 to 140. */
  stepMs?: (index: number, random: Random) => number
  /** One way, ms. */
  delayMs?: [least: number, most: number]
  loss?: number
  duplicates?: number
  computeMs?: [number, number]
  transferMs?: [number, number]
  keepRounds?: number
  /** Indexes of nodes that hold and compute but do not train. */
  observers?: number[]
  /** Indexes of nodes that never serve a body. */
  withholders?: number[]
  /** Indexes of nodes that sign two of everything, show each half of the mesh another one, and name heads that do not exist. */
  liars?: number[]
  /** Indexes of nodes that show the body of another's contribution as their own. */
  copiers?: number[]
  /** Named in the manifest; default: nodes 0 to 3. */
  genesis?: number[]
}

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
const PRESENCE_TIMEOUT_MS = 10_000
const TICK_MS = 1_000
const STEPS_MS = 500
const ENCODE_MS = 200
const HOLDING_BATCH_MS = 100
const UNTIL_MS = 20
const START_OVER_MS = 60_000

interface Disk {
  records: Map<string, { record: RoundRecord; ready: boolean; shown: boolean }>
  contributions: Map<string, Contribution>
  bodies: Map<string, number>
  anchors: Map<string, number>
  fates: Map<string, Fate>
  steps: number
}

export const hashOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 20)
export const anchorOf = (parent: string, parts: readonly Part[]): string => `a${hashOf([parent, parts])}`

export class World {
  readonly random: Random
  readonly time = new Timeline()
  readonly rules: RunRules
  readonly options: WorldOptions
  readonly nodes: SimNode[] = []
  /** When each contribution was made, and by whom it may be told again: names only. */
  readonly madeAt = new Map<string, number>()
  readonly reports = new Map<string, number>()
  readonly problems: string[] = []
  readonly adoptions: { at: number; node: number; round: number; fork: boolean }[] = []
  onPhase: (node: SimNode, phase: Phase, round: number) => void = () => {}
  sideOf: (node: number) => number = () => 0
  loss: number
  training = true
  #delays = new Map<number, number>()

  constructor(options: WorldOptions) {
    this.options = options
    this.random = new Random(options.seed)
    this.loss = options.loss ?? 0
    const genesis = options.genesis ?? [0, 1, 2, 3].slice(0, options.nodes)
    this.rules = {
      run: 'run',
      genesisAnchor: 'genesis',
      genesisPeers: genesis.map(peerName),
      admission: 'open',
      quorum: 2,
      deadlineMs: 20_000,
      graceMs: 3_000,
      fetchTimeoutMs: 5_000,
      maxTokensPerRound: 100_000,
      keepRounds: options.keepRounds ?? 8,
      ...options.rules
    }
    for (let index = 0; index < options.nodes; index++) this.add()
  }

  add(): SimNode {
    const node = new SimNode(this, this.nodes.length)
    this.nodes.push(node)
    node.start()
    return node
  }

  get up(): SimNode[] {
    return this.nodes.filter(node => node.up)
  }

  run(ms: number): void {
    this.time.runUntil(this.time.now + ms)
  }

  /** Lives on until the condition holds; false when it did not within the time. */
  until(ms: number, condition: () => boolean): boolean {
    const end = this.time.now + ms
    while (!condition()) {
      if (this.time.now >= end) return false
      this.time.runUntil(Math.min(end, this.time.now + UNTIL_MS))
    }
    return true
  }

  reaches(from: SimNode, to: SimNode): boolean {
    return from.up && to.up && this.sideOf(from.index) === this.sideOf(to.index)
  }

  delay(from: number, to: number): number {
    const [least, most] = this.options.delayMs ?? [5, 60]
    const key = Math.min(from, to) * 100_000 + Math.max(from, to)
    let base = this.#delays.get(key)
    if (base === undefined) {
      base = this.random.between(least, most)
      this.#delays.set(key, base)
    }
    return base * this.random.between(0.8, 1.6)
  }

  /** A gossip message: may be lost, repeated and overtaken. */
  gossip(from: SimNode, deliver: (to: SimNode) => void): void {
    for (const to of this.nodes) {
      if (to === from || !this.reaches(from, to)) continue
      if (this.random.chance(this.loss)) continue
      const copies = this.random.chance(this.options.duplicates ?? 0) ? 2 : 1
      for (let copy = 0; copy < copies; copy++) to.later(this.delay(from.index, to.index) * (copy + 1), () => deliver(to))
    }
  }

  problem(text: string): void {
    this.problems.push(`${Math.round(this.time.now)} ms: ${text}`)
  }

  heads(): string[] {
    return [...new Set(this.up.map(node => node.rounds.head.cid))]
  }

  lowestRound(): number {
    return Math.min(...this.up.map(node => node.rounds.head.round))
  }

  highestRound(): number {
    return Math.max(...this.up.map(node => node.rounds.head.round))
  }

  /** Everything mended and everybody up; training goes on for a while, then stops; then all must agree. Returns what is wrong. */
  settle(trainMs: number, quietMs: number): string[] {
    this.sideOf = () => 0
    this.loss = this.options.loss ?? 0
    for (const node of this.nodes) {
      node.resume()
      if (!node.up && !node.left) node.start()
    }
    const before = this.lowestRound()
    this.run(trainMs)
    this.training = false
    this.run(quietMs)
    const heads = this.heads()
    if (heads.length > 1)
      this.problem(`${heads.length} heads at the end: ${this.up.map(n => `${n.index}@${n.view().round}:${n.view().head}`).join(' ')}`)
    if (trainMs > 0 && this.lowestRound() <= before) this.problem(`no round was closed in ${trainMs} ms of quiet, at round ${before}`)
    for (const node of this.up) node.check()
    return this.problems
  }
}

export function peerName(index: number): string {
  return `P${hashOf(index).slice(0, 6)}-${index}`
}

export class SimNode {
  readonly world: World
  readonly index: number
  readonly peer: string
  readonly stepMs: number
  readonly disk: Disk = {
    records: new Map(),
    contributions: new Map(),
    bodies: new Map(),
    anchors: new Map([['genesis', 0]]),
    fates: new Map(),
    steps: 0
  }
  up = false
  left = false
  rounds!: RoundsState
  pace!: PaceState
  forks = 0
  /** The highest round that it ever adopted. */
  furthest = 0
  #life = 0
  #stoppedAt: number | null = null
  #held: (() => void)[] = []
  #clockOffset: number
  #drift: number
  #seen = new Map<string, number>()
  #allowed = 0
  #holding: string[] = []
  #wakeAt = Number.POSITIVE_INFINITY
  #adoptedFrom = new Map<string, number>()
  #toTell = false
  #startedOverAt = Number.NEGATIVE_INFINITY

  constructor(world: World, index: number) {
    this.world = world
    this.index = index
    this.peer = peerName(index)
    this.stepMs = (world.options.stepMs ?? ((_, random) => random.between(60, 140)))(index, world.random)
    this.#clockOffset = world.random.between(0, 1e6)
    this.#drift = world.random.between(0.99, 1.01)
  }

  get trains(): boolean {
    return !(this.world.options.observers?.includes(this.index) ?? false)
  }

  get isLiar(): boolean {
    return this.world.options.liars?.includes(this.index) ?? false
  }

  view(): ReturnType<typeof viewOf> {
    return viewOf(this.rounds)
  }

  get now(): number {
    return this.#clockOffset + this.world.time.now * this.#drift
  }

  start(): void {
    if (this.up) return
    this.up = true
    this.#life++
    this.#seen.clear()
    this.#toTell = false
    this.#holding = []
    this.#wakeAt = Number.POSITIVE_INFINITY
    const { disk, world } = this
    this.rounds = createRounds(world.rules, this.peer, { ...this.#past(), trains: this.trains })
    const { head, round } = this.view()
    const contributed = [...disk.contributions.values()].some(c => c.peer === this.peer && c.parent === head)
    const { innerSteps = 50, maxStepsAhead = 100 } = world.options
    this.pace = createPace(
      { innerSteps, maxStepsAhead, deadlineMs: world.rules.deadlineMs },
      { now: this.now, steps: disk.steps, head, contributed }
    )
    this.#paced({ type: 'adopted', head, round })
    this.#loop(TICK_MS, () => this.tell({ type: 'tick' }))
    this.#loop(PRESENCE_MS, () => this.#presence())
    if (this.trains) this.#loop(STEPS_MS, () => this.#train())
    this.tell({ type: 'tick' })
    this.#presence()
  }

  /** SIGKILL. What others made and was not synced to disk may be lost with it. */
  kill(): void {
    if (!this.up) return
    this.up = false
    this.#life++
    this.#stoppedAt = null
    this.#held = []
    for (const [cid, contribution] of this.disk.contributions) {
      if (contribution.peer !== this.peer && this.world.random.chance(0.2)) this.disk.bodies.delete(cid)
    }
  }

  leave(): void {
    this.left = true
    this.kill()
  }

  /** SIGSTOP: nothing runs; what arrives waits. */
  stop(): void {
    if (this.up && this.#stoppedAt === null) this.#stoppedAt = this.world.time.now
  }

  resume(): void {
    if (this.#stoppedAt === null) return
    this.#stoppedAt = null
    this.tell({ type: 'paused' })
    for (const run of this.#held.splice(0)) run()
  }

  get stopped(): boolean {
    return this.#stoppedAt !== null
  }

  /** Runs later if this life of the node still goes on then; a stopped node does it when it goes on. */
  later(ms: number, run: () => void): void {
    const life = this.#life
    const guarded = (): void => {
      if (life !== this.#life) return
      if (this.#stoppedAt !== null) this.#held.push(guarded)
      else run()
    }
    this.world.time.after(ms, guarded)
  }

  #loop(ms: number, run: () => void): void {
    const turn = (): void => {
      run()
      this.later(ms, turn)
    }
    this.later(this.world.random.between(0, ms), turn)
  }

  tell(...events: RoundEvent[]): void {
    const life = this.#life
    for (const event of events) {
      if (life !== this.#life) return
      for (const command of advance(this.rounds, event, this.now).commands) {
        if (life !== this.#life) return
        this.#obey(command)
      }
    }
    if (life === this.#life && this.rounds.nextAt < this.#wakeAt - 1) {
      const at = this.rounds.nextAt
      this.#wakeAt = at
      this.later(Math.max(0, (at - this.now) / this.#drift) + 0.001, () => {
        if (this.#wakeAt === at) this.#wakeAt = Number.POSITIVE_INFINITY
        this.tell({ type: 'tick' })
      })
    }
  }

  #phase(phase: Phase, round: number): boolean {
    const life = this.#life
    this.world.onPhase(this, phase, round)
    return life === this.#life && this.#stoppedAt === null
  }

  // ---- what a daemon does with commands

  #obey(command: RoundCommand): void {
    const { world, disk } = this
    switch (command.type) {
      case 'fetchContribution':
        this.#fetchContribution(command.cid, command.holders, command.author, command.body)
        return
      case 'announceHolding':
        this.#holding = command.contributions
        this.#tellHolding()
        return
      case 'fetchRecord':
        this.#fetchRecord(command.cid, command.holders)
        return
      case 'fetchAnchor':
        this.#fetchAnchor(command.cid, command.anchor, command.round)
        return
      case 'close':
        if (!this.#phase('closing', command.round)) return
        this.#checkLateness(command)
        this.#compute(command.parentAnchor, command.contributions, (anchor, missing) => {
          if (anchor === null) return this.tell({ type: 'closeFailed', round: command.round, reason: 'close_failed', missing })
          const record: RoundRecord = {
            run: 'run',
            round: command.round,
            parent: command.parent,
            contributions: command.contributions.map(({ cid }) => cid),
            anchor,
            closer: this.peer
          }
          const cid = `r${hashOf(record)}`
          disk.anchors.set(anchor, record.round)
          disk.records.set(cid, { record, ready: true, shown: false })
          if (!this.#phase('closed', record.round)) return
          this.tell({ type: 'record', cid, record }, { type: 'recordComputed', cid, anchor })
        })
        return
      case 'compute':
        if (!this.#phase('computing', command.record.round)) return
        this.#compute(command.parentAnchor, command.contributions, (anchor, missing) => {
          if (anchor === null) return this.tell({ type: 'recordUnavailable', cid: command.cid, missing })
          if (!this.#phase('storing', command.record.round)) return
          disk.anchors.set(anchor, command.record.round)
          const stored = disk.records.get(command.cid)
          if (stored !== undefined && anchor === command.record.anchor) stored.ready = true
          this.tell({ type: 'recordComputed', cid: command.cid, anchor })
        })
        return
      case 'publish': {
        const stored = disk.records.get(command.cid)!
        stored.shown = true
        const twin = this.isLiar ? this.#twinRecord(stored.record) : null
        world.gossip(this, to => {
          if (twin !== null && to.index % 2 === 1) to.receiveRecord(twin.cid, twin.record)
          else to.receiveRecord(command.cid, stored.record)
        })
        this.#phase('published', stored.record.round)
        return
      }
      case 'adopt':
        this.#adopt(command)
        return
      case 'syncHeads':
        this.#syncHeads()
        return
      case 'report':
        world.reports.set(command.code, (world.reports.get(command.code) ?? 0) + 1)
        if (command.code === 'fork_too_old') this.#startOver(command.subject)
        // A liar's smaller twin may fall below the quorum or leave its closer out.
        if (
          world.options.liars === undefined &&
          ['anchor_mismatch', 'wrong_order', 'bad_contribution', 'below_quorum', 'closer_unranked', 'bad_parent'].includes(command.code)
        ) {
          world.problem(`${this.index} reports ${command.code} of ${command.subject}`)
        }
        return
      default:
        command satisfies never
    }
  }

  /** Another record of the same contributions, or of fewer. */
  #twinRecord(record: RoundRecord): { cid: string; record: RoundRecord } {
    const { disk, world } = this
    const fewer = record.contributions.slice(0, Math.max(world.rules.quorum, record.contributions.length - 1))
    const parts = fewer.map(cid => {
      const { peer, tokens, round } = disk.contributions.get(cid)!
      return { cid, age: (record.round - round) as 0 | 1, peer, tokens: Math.min(tokens, world.rules.maxTokensPerRound) }
    })
    const parentAnchor = disk.records.get(record.parent)?.record.anchor ?? 'genesis'
    const twin = { ...record, contributions: fewer, anchor: anchorOf(parentAnchor, parts) }
    const cid = `r${hashOf(twin)}`
    disk.records.set(cid, { record: twin, ready: true, shown: true })
    disk.anchors.set(twin.anchor, twin.round)
    return { cid, record: twin }
  }

  receiveRecord(cid: string, record: RoundRecord): void {
    if (!this.disk.records.has(cid)) this.disk.records.set(cid, { record, ready: false, shown: true })
    this.tell({ type: 'record', cid, record })
  }

  receiveContribution(cid: string, contribution: Contribution): void {
    this.disk.contributions.set(cid, contribution)
    this.tell({ type: 'contribution', cid, contribution })
  }

  #others(preferred: readonly string[]): SimNode[] {
    const all = this.world.nodes.filter(node => node !== this && this.world.reaches(this, node) && !node.stopped)
    return [...all.filter(node => preferred.includes(node.peer)), ...all.filter(node => !preferred.includes(node.peer))]
  }

  #serves(what: 'bodies' | 'anchors', name: string): boolean {
    if (what === 'bodies' && (this.world.options.withholders?.includes(this.index) ?? false)) return false
    return this.disk[what].has(name)
  }

  #fetchContribution(cid: string, holders: readonly string[], author: string | null, body: boolean): void {
    const { disk, world } = this
    const giver = this.#others(author === null ? holders : [author, ...holders]).find(node =>
      body ? node.#serves('bodies', cid) : node.disk.contributions.has(cid)
    )
    const known = disk.contributions.get(cid)
    if (body && known !== undefined && disk.bodies.has(cid)) {
      this.later(1, () => this.tell({ type: 'contributionHeld', cid }))
      return
    }
    if (!body && known !== undefined) {
      this.later(1, () => this.tell({ type: 'contribution', cid, contribution: known }))
      return
    }
    if (giver === undefined || world.random.chance(world.loss / 2)) {
      this.later(world.rules.fetchTimeoutMs, () => this.tell({ type: 'contributionRefused', cid, reason: 'fetch_timeout' }))
      return
    }
    if (!this.#phase('fetching', (known ?? giver.disk.contributions.get(cid)!).round)) return
    const [least, most] = world.options.transferMs ?? [20, 400]
    const ms = 2 * world.delay(this.index, giver.index) + (body ? world.random.between(least, most) : 0)
    this.later(ms, () => {
      if (!world.reaches(this, giver)) {
        return this.later(world.rules.fetchTimeoutMs - ms, () => this.tell({ type: 'contributionRefused', cid, reason: 'fetch_timeout' }))
      }
      const contribution = giver.disk.contributions.get(cid)!
      disk.contributions.set(cid, contribution)
      if (!body) return this.tell({ type: 'contribution', cid, contribution })
      disk.bodies.set(cid, contribution.round)
      this.tell({ type: 'contribution', cid, contribution }, { type: 'contributionHeld', cid })
    })
  }

  #fetchRecord(cid: string, holders: readonly string[]): void {
    const { world, disk } = this
    const known = disk.records.get(cid)
    const giver = this.#others(holders).find(node => node.disk.records.has(cid) || node.view().head === cid)
    if (known === undefined && giver === undefined) return
    const from = known === undefined ? giver! : this
    this.later(known === undefined ? 2 * world.delay(this.index, from.index) : 1, () => {
      if (from !== this && !world.reaches(this, from)) return
      const chain: [string, RoundRecord][] = []
      for (let at = cid; at !== 'run'; ) {
        const record = (from.disk.records.get(at) ?? disk.records.get(at))?.record
        if (record === undefined) break
        chain.push([at, record])
        if (disk.records.has(at) && at !== cid) break
        at = record.parent
      }
      for (const [name, record] of chain.reverse()) this.receiveRecord(name, record)
    })
  }

  /** A branch that parted before all we remember: its whole chain is fetched, and the rules begin again with everything on disk. */
  #startOver(head: string): void {
    const { world, disk } = this
    if (world.time.now - this.#startedOverAt < START_OVER_MS) return
    this.#startedOverAt = world.time.now
    const giver = this.#others([]).find(node => node.disk.records.has(head))
    if (giver === undefined) return
    this.later(2 * world.delay(this.index, giver.index), () => {
      for (let at = head; at !== 'run'; ) {
        const record = giver.disk.records.get(at)?.record
        if (record === undefined) return
        if (!disk.records.has(at)) disk.records.set(at, { record, ready: false, shown: true })
        for (const cid of record.contributions) {
          const contribution = giver.disk.contributions.get(cid)
          if (contribution !== undefined) disk.contributions.set(cid, contribution)
        }
        at = record.parent
      }
      this.rounds = reopenRounds(this.rounds, this.#past())
      this.tell({ type: 'tick' })
    })
  }

  /** All that the disk has, as the rules are told it when they begin. */
  #past(): RoundsStart {
    const { disk } = this
    return {
      now: this.now,
      records: [...disk.records]
        .filter(([, { record, shown }]) => shown || record.closer !== this.peer)
        .map(([cid, { record, ready }]) => ({ cid, record, ready }))
        .sort((a, b) => a.record.round - b.record.round),
      contributions: [...disk.contributions].map(([cid, contribution]) => ({ cid, contribution, held: disk.bodies.has(cid) }))
    }
  }

  #fetchAnchor(cid: string, anchor: string, round: number): void {
    const { world, disk } = this
    const giver = this.#others([]).find(node => node.#serves('anchors', anchor))
    const [, most] = world.options.transferMs ?? [20, 400]
    this.later(giver === undefined ? world.rules.fetchTimeoutMs : 2 * world.delay(this.index, giver.index) + most, () => {
      if (giver === undefined || !world.reaches(this, giver)) return this.tell({ type: 'recordUnavailable', cid })
      disk.anchors.set(anchor, round)
      disk.records.get(cid)!.ready = true
      this.tell({ type: 'recordComputed', cid, anchor })
    })
  }

  #compute(parentAnchor: string, parts: readonly Part[], done: (anchor: string | null, missing: string[]) => void): void {
    const [least, most] = this.world.options.computeMs ?? [50, 400]
    this.later(this.world.random.between(least, most), () => {
      const missing = parts.map(({ cid }) => cid).filter(cid => !this.disk.bodies.has(cid))
      const whole = this.disk.anchors.has(parentAnchor) && missing.length === 0
      done(whole ? anchorOf(parentAnchor, parts) : null, missing)
    })
  }

  #syncHeads(): void {
    const others = this.#others([])
    let worst = 1
    for (const other of others) {
      const ms = 2 * this.world.delay(this.index, other.index)
      worst = Math.max(worst, ms)
      this.later(ms, () => this.hear(other))
    }
    this.later(others.length === 0 ? 1_000 : worst + 1, () => this.tell({ type: 'synced' }))
  }

  hear(from: SimNode, holding = true): void {
    if (!from.up) return
    this.#seen.set(from.peer, this.now)
    const lies = from.isLiar && this.world.random.chance(0.3)
    const { head, round } = lies
      ? { head: `rnowhere${this.world.time.now}`, round: from.rounds.head.round + 1 }
      : { head: from.rounds.head.cid, round: from.rounds.head.round }
    this.tell({ type: 'peerLive', peer: from.peer, head, round, trains: from.trains })
    if (holding) this.tell({ type: 'holding', peer: from.peer, contributions: from.#holding })
  }

  #presence(): void {
    for (const [peer, at] of this.#seen) {
      if (this.now - at <= PRESENCE_TIMEOUT_MS) continue
      this.#seen.delete(peer)
      this.tell({ type: 'peerGone', peer })
    }
    this.world.gossip(this, to => to.hear(this))
  }

  /** At once, but what changes within a moment goes out as one message. */
  #tellHolding(): void {
    if (this.#toTell) return
    this.#toTell = true
    this.later(HOLDING_BATCH_MS, () => {
      this.#toTell = false
      const contributions = this.#holding
      this.world.gossip(this, to => to.tell({ type: 'holding', peer: this.peer, contributions }))
    })
  }

  #adopt(command: Extract<RoundCommand, { type: 'adopt' }>): void {
    const { disk, world } = this
    const stored = disk.records.get(command.cid)
    if (stored !== undefined) stored.shown = true
    world.adoptions.push({ at: world.time.now, node: this.index, round: command.round, fork: command.fork })
    if (command.fork) this.forks++
    this.furthest = Math.max(this.furthest, command.round)
    const parent = stored?.record.parent ?? ''
    if (!this.#adoptedFrom.has(parent)) this.#adoptedFrom.set(parent, world.time.now)
    if (!this.#phase('adopting', command.round)) return
    for (const { cid, fate } of command.own) disk.fates.set(cid, fate)
    const keep = world.options.keepRounds ?? 8
    for (const [anchor, round] of disk.anchors) if (round < command.round - keep) disk.anchors.delete(anchor)
    for (const [cid, round] of disk.bodies) if (round < command.round - keep) disk.bodies.delete(cid)
    this.#paced({ type: 'adopted', head: command.cid, round: command.round })
    this.world.gossip(this, to => to.hear(this, false))
  }

  // ---- training

  #train(): void {
    if (!this.world.training) return
    const taken = Math.min(Math.floor(STEPS_MS / this.stepMs), Math.max(0, this.#allowed - this.disk.steps))
    this.disk.steps += taken
    if (taken > 0 && !this.#phase('training', this.rounds.head.round + 1)) return
    this.#paced({ type: 'steps', steps: this.disk.steps })
  }

  #paced(event: PaceEvent): void {
    for (const command of advancePace(this.pace, event, this.now).commands) this.#follow(command)
  }

  #follow(command: PaceCommand): void {
    if (command.type === 'allowSteps') this.#allowed = command.until
    if (command.type !== 'contribute') return
    if (!this.world.training) {
      this.#paced({ type: 'contributeFailed', retryMs: 1_000_000 })
      return
    }
    const { disk, world } = this
    const steps = disk.steps
    disk.steps = 0
    if (!this.#phase('encoding', command.round)) return
    this.later(ENCODE_MS, () => {
      const contribution: Contribution = {
        run: 'run',
        round: command.round,
        parent: command.head,
        peer: this.peer,
        tokens: steps * 64,
        steps,
        loss: 2,
        codec: 'f32',
        norm: 1,
        body: this.#copied(command.head) ?? `b${world.time.now}`
      }
      const cid = `c${hashOf(contribution)}`
      world.madeAt.set(cid, world.time.now)
      disk.contributions.set(cid, contribution)
      disk.bodies.set(cid, command.round)
      if (!this.#phase('stored', command.round)) return
      this.#paced({ type: 'contributed', head: command.head, steps: disk.steps })
      this.tell({ type: 'contribution', cid, contribution }, { type: 'contributionHeld', cid })
      const other = { ...contribution, body: `${contribution.body}'` }
      const twin = this.isLiar ? `c${hashOf(other)}` : cid
      world.madeAt.set(twin, world.time.now)
      disk.contributions.set(twin, twin === cid ? contribution : other)
      disk.bodies.set(twin, command.round)
      world.gossip(this, to => {
        if (to.index % 2 === 1) to.receiveContribution(twin, disk.contributions.get(twin)!)
        else to.receiveContribution(cid, contribution)
      })
      this.#phase('announced', command.round)
    })
  }

  /** A copier's choice: the first body that it finds for the same round. */
  #copied(parent: string): string | null {
    if (!(this.world.options.copiers?.includes(this.index) ?? false)) return null
    return [...this.disk.contributions.values()].find(each => each.parent === parent)?.body ?? null
  }

  // ---- what must hold

  /** Late work never reopens a round: what we add to a parent's records was made before we first moved on from it. */
  #checkLateness({ parent, round, contributions }: Extract<RoundCommand, { type: 'close' }>): void {
    const { disk, world } = this
    const movedAt = this.#adoptedFrom.get(parent)
    if (movedAt === undefined) return
    const listed = new Set([...disk.records.values()].flatMap(({ record }) => (record.parent === parent ? record.contributions : [])))
    for (const { cid } of contributions) {
      const late = world.madeAt.get(cid)! - movedAt
      if (late > 0 && !listed.has(cid)) world.problem(`${this.index} reopens round ${round} with ${cid}, made ${late} ms after`)
    }
  }

  /** The records of its chain, the newest first. */
  chain(): { round: number; authors: string[]; bodies: string[] }[] {
    const chain: { round: number; authors: string[]; bodies: string[] }[] = []
    for (let at = this.view().head; at !== 'run'; ) {
      const { record } = this.disk.records.get(at)!
      const parts = record.contributions.map(cid => this.disk.contributions.get(cid)!)
      chain.push({ round: record.round, authors: parts.map(({ peer }) => peer), bodies: parts.map(({ body }) => body) })
      at = record.parent
    }
    return chain
  }

  check(): void {
    if (this.isLiar) return
    const { disk, world } = this
    const { head, round } = this.view()
    const accepted = new Map<string, number>()
    const places = new Set<string>()
    let anchor: string | null = null
    const chain: [string, RoundRecord][] = []
    for (let at = head; at !== 'run'; ) {
      const stored = disk.records.get(at)
      if (stored === undefined) {
        world.problem(`${this.index} lacks ${at} of its own chain`)
        return
      }
      chain.push([at, stored.record])
      at = stored.record.parent
    }
    for (const [cid, record] of chain.reverse()) {
      for (const name of record.contributions) {
        const contribution = disk.contributions.get(name)
        if (contribution === undefined) {
          world.problem(`${this.index} does not know ${name} of record ${cid}`)
          return
        }
        const place = `${contribution.peer}/${contribution.round}`
        if (places.has(place)) world.problem(`${this.index}: two contributions for ${place} on one chain`)
        places.add(place)
        accepted.set(name, record.round)
      }
      anchor = record.anchor
    }
    if (anchor !== null && !disk.anchors.has(anchor)) world.problem(`${this.index} lacks its head's anchor`)
    for (const [cid, contribution] of disk.contributions) {
      if (contribution.peer !== this.peer || contribution.round > round - 1) continue
      // Nobody watches a contribution for ever.
      if (contribution.round < this.furthest - 6) continue
      const fate = disk.fates.get(cid)
      const expected = accepted.has(cid) ? 'included' : 'lost'
      if (fate !== undefined && fate !== expected)
        world.problem(`${this.index} was told ${fate} of ${cid} (round ${contribution.round}), which was ${expected}`)
      if (fate === undefined) world.problem(`${this.index} was told nothing of ${cid} (round ${contribution.round})`)
    }
    const { contributions, orphans, unknown, lacking, tree, peers } = this.rounds
    const nodes = world.nodes.length
    if (contributions.size > 8 * nodes + 16) world.problem(`${this.index} keeps ${contributions.size} contributions`)
    if (tree.byCid.size > 256 + 64) world.problem(`${this.index} keeps ${tree.byCid.size} records`)
    if (orphans.size + unknown.size + lacking.size > 2 * nodes + 8)
      world.problem(`${this.index} keeps ${orphans.size} orphans, ${unknown.size} unknown, ${lacking.size} lacking`)
    if (peers.size > nodes) world.problem(`${this.index} keeps ${peers.size} peers`)
  }
}
