// A big mesh that is never left in peace until its rounds are closed, then mended, and must agree in time. What happens is drawn from the seed alone.
import type { RunRules } from '../../protocols/rounds/index.ts'
import type { Conduct } from './conduct.ts'
import { FAULTS } from './faults/index.ts'
import { LIARS } from './liars/index.ts'
import { Progress } from './progress.ts'
import { Random } from './random.ts'
import { MAX_STEPS, TOKENS_A_STEP } from './training.ts'
import { World } from './world.ts'

export interface BigStormOptions {
  nodes: number
  /** Rounds that the furthest node must have closed before the storm ends. */
  rounds: number
}

export interface StormReport {
  seed: number
  problems: string[]
  /** How often each fault struck. */
  faults: { [name: string]: number }
  /** Nodes that trained at first: who joins trains, too. */
  trainers: number
  /** How many of each kind of liar were among them. */
  liars: { [name: string]: number }
  /** How often each invariant was looked at. */
  checks: { [name: string]: number }
  /** Rounds closed by the furthest node while it stormed. */
  rounds: number
  /** Longest virtual ms without a new record anywhere while a quorum was connected. */
  progressMs: number
  /** Virtual ms from the end of the last fault until all were on one chain: whose line is slow may be a few rounds behind on it as long as rounds go on. */
  agreementMs: number
  virtualMs: number
  /** Times that a node left its branch for another. */
  forks: number
}

/** How many of a storm's nodes train, and how many storms in 64 have so many: twice the trainers cost three times as much. */
const TRAINERS = [
  [8, 36],
  [12, 14],
  [16, 9],
  [24, 3],
  [32, 1],
  [64, 1]
] as const
/** One of so many trainers lies, at most. */
const LIAR_AMONG = 8
/** Virtual ms between two faults. */
const PEACE: [number, number] = [500, 10_000]
/** Bytes of all bodies of a round together: the slowest lines get them in a few seconds, however many nodes there are. */
const ROUND_BYTES = [200_000, 1_000_000]

/** The time that a round may take: its deadline, what is fetched after it, and the turns of those who could close it. */
export function roundMs({ deadlineMs, fetchTimeoutMs, graceMs }: RunRules): number {
  return deadlineMs + 2 * fetchTimeoutMs + 3 * graceMs
}

/** The time until whoever is last in rank has had its turn. */
function lastTurnMs({ nodes, options: { computeMs: [, mostMs] = [0, 0] }, rules: { graceMs } }: World): number {
  return nodes.filter(({ trains }) => trains).length * (graceMs + mostMs)
}

/** Stated bounds, in times of a round: without a new record while a quorum is connected; and from the last fault until all are on one chain. When rounds stop, all must have one head. */
export const PROGRESS_ROUNDS = 3
export const AGREEMENT_ROUNDS = 3

/** Lives through one storm from the seed. */
export function bigStorm(seed: number, { nodes, rounds }: BigStormOptions): StormReport {
  const random = new Random(Math.imul(seed, 15_485_863) + 11)
  const liars: { [name: string]: number } = {}
  const world = bigWorld(seed, nodes, random, liars)
  const faults: { [name: string]: number } = {}
  const round = roundMs(world.rules)
  const progress = new Progress(world, PROGRESS_ROUNDS * round)
  while (progress.round < rounds && world.problems.length === 0) {
    if (world.time.now > rounds * PROGRESS_ROUNDS * round) {
      world.problem(`only ${progress.round} rounds in ${Math.round(world.time.now)} ms`)
      break
    }
    progress.look()
    world.run(random.between(...PEACE))
    const fault = random.pick(FAULTS)
    if (!fault.strike(world, random)) continue
    faults[fault.name] = (faults[fault.name] ?? 0) + 1
    progress.look()
  }
  const closed = progress.round
  world.mend()
  const mendedAt = world.time.now
  const agreed = world.until(AGREEMENT_ROUNDS * round, () => world.isOnOneChain())
  const agreementMs = world.time.now - mendedAt
  if (!agreed)
    world.problem(`${world.heads().length} heads that are not close together on one chain ${agreementMs} ms after the last fault`)
  progress.look()
  // The open round is closed at its deadline, and a heavier record that came too late to be followed at once is followed a deadline later.
  world.training = false
  world.run(2 * round)
  // Where nobody trains no next round comes before the last in rank may have proposed a rival to the last record.
  world.until(lastTurnMs(world) + round, () => world.heads().length === 1)
  world.settle(0, 0)
  return {
    seed,
    problems: world.problems,
    faults,
    trainers: nodes - world.options.observers!.length,
    liars,
    checks: Object.fromEntries(world.checks.counts),
    rounds: closed,
    progressMs: progress.longestMs,
    agreementMs,
    virtualMs: world.time.now,
    forks: world.nodes.reduce((sum, node) => sum + node.forks, 0)
  }
}

function bigWorld(seed: number, nodes: number, random: Random, liars: { [name: string]: number }): World {
  // Most have 20 to 200 Mb/s, one in ten 2 to 8.
  const speeds = Array.from({ length: 2 * nodes }, () => (random.chance(0.1) ? random.between(250, 1_000) : random.between(2_500, 25_000)))
  // The others hold and compute, and do not train: what a storm costs grows with those who do.
  const trainers = Math.min(nodes, random.pick(TRAINERS.flatMap(([trainers, storms]) => Array<number>(storms).fill(trainers))))
  const conducts = new Map<number, Conduct>()
  for (let left = random.below(Math.floor(trainers / LIAR_AMONG) + 1); left > 0; left--) {
    const { name, conduct } = random.pick(LIARS)
    liars[name] = (liars[name] ?? 0) + 1
    let index = random.below(trainers)
    while (conducts.has(index)) index = (index + 1) % trainers
    conducts.set(index, conduct)
  }
  return new World({
    seed,
    nodes,
    conducts,
    observers: Array.from({ length: nodes - trainers }, (_, index) => trainers + index),
    inboxMs: 250,
    loss: random.pick([0, 0.01, 0.05]),
    duplicates: random.pick([0, 0.05]),
    delayMs: random.pick([
      [5, 60],
      [20, 200]
    ]),
    computeMs: random.pick([
      [50, 400],
      [200, 1_500]
    ]),
    bodyBytes: Math.ceil(random.pick(ROUND_BYTES) / trainers),
    lineOf: index => ({ up: speeds[index] ?? 2_500, down: speeds[index] ?? 2_500 }),
    keepRounds: random.pick([4, 8]),
    rules: {
      deadlineMs: random.pick([10_000, 20_000]),
      graceMs: random.pick([1_000, 3_000]),
      fetchTimeoutMs: 5_000,
      // Where a run says how many tokens a step has, and how many steps a round, whoever claims others is refused.
      ...(random.chance(0.5) ? { tokensPerStep: TOKENS_A_STEP, maxSteps: MAX_STEPS } : {})
    }
  })
}
