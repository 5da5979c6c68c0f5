// A big mesh that is never left in peace until its rounds are closed, then mended, and must agree in time. What happens is drawn from the seed alone.
import { FAULTS } from './faults/index.ts'
import { Random } from './random.ts'
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
  faults: Map<string, number>
  /** How often each invariant was looked at. */
  checks: Map<string, number>
  /** Rounds closed by the furthest node. */
  rounds: number
  /** Longest virtual time in which a connected quorum closed no round, ms. */
  longestRoundMs: number
  /** Virtual time from the last fault's end until all had one head, ms. */
  agreementMs: number
  virtualMs: number
  forks: number
}

/** Virtual ms between two faults. */
const PEACE: [number, number] = [500, 12_000]

/** Lives through one storm from the seed. */
export function bigStorm(seed: number, { nodes, rounds }: BigStormOptions): StormReport {
  const random = new Random(seed * 15_485_863 + 11)
  const world = bigWorld(seed, nodes, random)
  const faults = new Map<string, number>()

  let longestRoundMs = 0
  let movedAt = 0
  let highest = 0
  world.onAdopt = (_node, round) => {
    if (round <= highest) return
    highest = round
    longestRoundMs = Math.max(longestRoundMs, world.time.now - movedAt)
    movedAt = world.time.now
  }
  const { deadlineMs, graceMs, fetchTimeoutMs } = world.rules
  const roundMs = deadlineMs + 2 * fetchTimeoutMs + 3 * graceMs
  while (highest < rounds) {
    if (world.time.now > rounds * 3 * roundMs) {
      world.problem(`only ${highest} rounds in ${Math.round(world.time.now)} ms`)
      break
    }
    world.run(random.between(...PEACE))
    const fault = random.pick(FAULTS)
    if (fault.strike(world, random)) faults.set(fault.name, (faults.get(fault.name) ?? 0) + 1)
  }
  world.mend()
  const mendedAt = world.time.now
  world.run(roundMs)
  world.training = false
  const agreed = world.until(3 * roundMs, () => world.heads().length === 1)
  const agreementMs = world.time.now - mendedAt
  if (!agreed) world.checks.allEnded()
  world.run(roundMs)
  world.settle(0, 0)
  return {
    seed,
    problems: world.problems,
    faults,
    checks: world.checks.counts,
    rounds: highest,
    longestRoundMs,
    agreementMs,
    virtualMs: world.time.now,
    forks: world.nodes.reduce((sum, node) => sum + node.forks, 0)
  }
}

function bigWorld(seed: number, nodes: number, random: Random): World {
  const lines = new Map<number, number>()
  const lineOf = (index: number): number => {
    const known = lines.get(index)
    if (known !== undefined) return known
    // Most have 20 to 200 Mb/s, one in ten 1 to 5.
    const line = random.chance(0.1) ? random.between(125, 600) : random.between(2_500, 25_000)
    lines.set(index, line)
    return line
  }
  return new World({
    seed,
    nodes,
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
    bodyBytes: random.pick([10_000, 100_000]),
    lineOf: index => ({ up: lineOf(index), down: lineOf(index) }),
    keepRounds: random.pick([4, 8]),
    rules: { deadlineMs: random.pick([10_000, 20_000]), graceMs: random.pick([1_000, 3_000]), fetchTimeoutMs: 5_000 }
  })
}
