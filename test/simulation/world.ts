// Many nodes on one virtual clock: the real rules of rounds, pace and presence over a network that delays, loses, repeats and parts, disks that survive crashes, and bodies that are only names.
import type { RoundCommand, RunRules } from '../../protocols/rounds/index.ts'
import { type Conduct, HONEST } from './conduct.ts'
import { Checks, INVARIANTS, type Invariant } from './invariants.ts'
import { peerName } from './names.ts'
import { type Line, Network, type NetworkOptions } from './network.ts'
import { type Phase, SimNode } from './node.ts'
import { Random } from './random.ts'
import { SAFETY } from './safety.ts'
import { Timeline } from './timeline.ts'

export interface WorldOptions extends NetworkOptions {
  seed: number
  nodes: number
  rules?: Partial<RunRules>
  innerSteps?: number
  maxStepsAhead?: number
  /** ms a training step, for each node; default 60 to 140. */
  stepMs?: (index: number, random: Random) => number
  computeMs?: [number, number]
  /** ms that a body or an anchor takes beside the delay, where bodies have no size. */
  transferMs?: [number, number]
  /** Bytes of a body: it takes its time on its giver's and its taker's lines, behind what is under way there. */
  bodyBytes?: number
  /** A node's line where it is not perfect. */
  lineOf?: (index: number) => Partial<Line>
  keepRounds?: number
  /** What reaches a node within these ms its rules are told at once. Default: each thing alone. */
  inboxMs?: number
  /** Indexes of nodes that hold and compute but do not train. */
  observers?: number[]
  /** What nodes do otherwise than daemons, by index. */
  conducts?: Map<number, Conduct>
  /** Named in the manifest; default: nodes 0 to 3. */
  genesis?: number[]
  /** A simpler presence than daemons have: see BriefPresence. */
  briefPresence?: boolean
  /** Beside those that every world has. */
  invariants?: readonly Invariant[]
}

/** Rounds that a slow line may leave a node behind while rounds go on. */
const ROUNDS_BEHIND = 5

/** Looks at a condition that is waited for, ms. */
const UNTIL_MS = 20

export class World {
  readonly random: Random
  readonly time = new Timeline()
  readonly rules: RunRules
  readonly options: WorldOptions
  readonly nodes: SimNode[] = []
  readonly byPeer = new Map<string, SimNode>()
  readonly network: Network
  readonly checks: Checks
  /** When each contribution was made: names only. */
  readonly madeAt = new Map<string, number>()
  readonly reports = new Map<string, number>()
  readonly problems: string[] = []
  onPhase: (node: SimNode, phase: Phase, round: number) => void = () => {}
  onAdopt: (node: SimNode, round: number) => void = () => {}
  training = true
  /** Ends of harms that still last. */
  readonly #undone = new Set<() => void>()

  constructor(options: WorldOptions) {
    this.options = options
    this.random = new Random(options.seed)
    this.network = new Network(this.nodes, this.time, this.random, options)
    this.checks = new Checks(this, [...SAFETY, ...INVARIANTS, ...(options.invariants ?? [])])
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
    this.byPeer.set(node.peer, node)
    node.start()
    return node
  }

  get up(): SimNode[] {
    return this.nodes.filter(node => node.up)
  }

  /** A node that runs, or null where a fault would leave fewer than two thirds of all running. */
  anyUp(random: Random): SimNode | null {
    const running = this.nodes.filter(node => node.up && !node.stopped)
    const staying = this.nodes.filter(node => !node.left)
    return 3 * (running.length - 1) < 2 * staying.length ? null : random.pick(running)
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

  /** A harm that lasts this long, or until `mend`. */
  lasting(ms: number, undo: () => void): void {
    const once = (): void => {
      if (this.#undone.delete(once)) undo()
    }
    this.#undone.add(once)
    this.time.after(ms, once)
  }

  /** Everything mended and everybody up. */
  mend(): void {
    for (const undo of [...this.#undone]) undo()
    this.network.heal()
    for (const node of this.nodes) {
      node.resume()
      node.start()
    }
  }

  problem(text: string): void {
    this.problems.push(`${Math.round(this.time.now)} ms: ${text}`)
  }

  adopted(node: SimNode, command: Extract<RoundCommand, { type: 'adopt' }>): void {
    this.checks.adopted(node, command)
    this.onAdopt(node, command.round)
  }

  reported(node: SimNode, command: Extract<RoundCommand, { type: 'report' }>): void {
    this.reports.set(command.code, (this.reports.get(command.code) ?? 0) + 1)
    this.checks.reported(node, command)
  }

  /** Of those who do what a daemon does: where a liar stands is its own affair. */
  heads(): string[] {
    return [...new Set(this.up.filter(({ conduct }) => conduct === HONEST).map(node => node.head))]
  }

  /** Whether nobody honest stands on a branch, or far behind: a head that is not the furthest is among the few before it. */
  isOnOneChain(): boolean {
    const heads = new Set(this.heads())
    const honest = this.up.filter(({ conduct }) => conduct === HONEST)
    const { disk, head } = honest.reduce((far, node) => (node.rounds.head.round > far.rounds.head.round ? node : far))
    let at: string | undefined = head
    for (let rounds = 0; rounds <= ROUNDS_BEHIND && at !== undefined && heads.size > 0; rounds++) {
      heads.delete(at)
      at = disk.records.get(at)?.record.parent
    }
    return heads.size === 0
  }

  lowestRound(): number {
    return Math.min(...this.up.map(node => node.rounds.head.round))
  }

  highestRound(): number {
    return Math.max(...this.up.map(node => node.rounds.head.round))
  }

  /** Everything mended and everybody up; training goes on for a while, then stops; then all must agree. Returns what is wrong. */
  settle(trainMs: number, quietMs: number): string[] {
    this.mend()
    const before = this.lowestRound()
    this.run(trainMs)
    this.training = false
    this.run(quietMs)
    this.checks.allEnded()
    if (trainMs > 0 && this.lowestRound() <= before) this.problem(`no round was closed in ${trainMs} ms of quiet, at round ${before}`)
    for (const node of this.up) this.checks.ended(node)
    return this.problems
  }
}
