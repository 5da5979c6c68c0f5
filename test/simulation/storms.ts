// What a seed does to a world. Changing the order of draws changes what every kept seed means: add new storms rather than alter these.
import { type Conduct, together } from './conduct.ts'
import { START_OVER_MS } from './fetching.ts'
import { equivocating } from './liars/equivocating.ts'
import { withholding } from './liars/withholding.ts'
import { Random } from './random.ts'
import { World, type WorldOptions } from './world.ts'

/** Crashes, stops, partitions and joiners under the usual settings. */
export function roughStorm(seed: number): World {
  const random = new Random(seed * 7_919)
  const nodes = random.pick([2, 3, 3, 4, 4, 5, 6, 8, 12])
  const world = new World({
    seed,
    nodes,
    briefPresence: true,
    loss: random.pick([0, 0.02, 0.1, 0.3]),
    duplicates: random.pick([0, 0.1]),
    delayMs: random.pick([
      [5, 60],
      [50, 400],
      [5, 1_500]
    ]),
    computeMs: random.pick([
      [50, 400],
      [50, 400],
      [500, 5_000]
    ]),
    observers: nodes > 4 && random.chance(0.3) ? [nodes - 1] : []
  })
  for (let blow = 0; blow < random.between(2, 10); blow++) {
    world.run(random.between(1_000, 40_000))
    const node = random.pick(world.nodes)
    const kind = random.below(8)
    if (kind <= 1) node.kill()
    else if (kind === 2) node.stop()
    else if (kind === 3) node.resume()
    else if (kind <= 5) node.start()
    else if (kind === 6) {
      // A draw that means nothing, kept because the kept seeds were found with it.
      random.below(nodes)
      part(world, random, 0.5)
    } else if (world.nodes.length < 16) world.add()
  }
  return world
}

/** The same under odd settings: quorums, deadlines and retentions at their ends, long partitions, everybody restarted at once, nodes that withhold or lie. */
export function oddStorm(seed: number): World {
  const random = new Random(seed * 104_729)
  const nodes = random.pick([1, 2, 3, 4, 5, 6, 7, 8, 10])
  const quorum = random.pick([1, 2, 2, 2, 3].filter(most => most <= nodes))
  const deadlineMs = random.pick([20_000, 5_000, 60_000])
  const options: WorldOptions = {
    seed,
    nodes,
    briefPresence: true,
    loss: random.pick([0, 0.02, 0.1]),
    delayMs: random.pick([
      [5, 60],
      [50, 400]
    ]),
    computeMs: random.pick([
      [50, 400],
      [500, 5_000]
    ]),
    keepRounds: random.pick([2, 4, 8]),
    genesis: random.pick([[0], [0, 1], [0, 1, 2, 3]]).filter(index => index < nodes),
    rules: {
      quorum,
      deadlineMs,
      graceMs: random.pick([500, 3_000]),
      fetchTimeoutMs: random.pick([2_000, 5_000, 10_000]),
      recentRounds: random.pick([1, 3, 8]),
      maxTokensPerRound: random.pick([100, 3_200, 100_000])
    },
    innerSteps: random.pick([5, 50, 200]),
    maxStepsAhead: random.pick([0, 100, 400]),
    transferMs: random.pick([
      [20, 400],
      [500, 4_000]
    ])
  }
  const conducts = new Map<number, Conduct>()
  const misbehaves = (index: number, conduct: Conduct): Map<number, Conduct> =>
    conducts.set(index, together(conducts.get(index) ?? {}, conduct))
  if (nodes > 4 && random.chance(0.4)) misbehaves(random.below(nodes), withholding)
  if (nodes > 4 && random.chance(0.4)) misbehaves(random.below(nodes), equivocating)
  options.conducts = conducts
  if (nodes > 5 && random.chance(0.3)) options.observers = [random.below(nodes)]
  const world = new World(options)
  const blows = random.between(2, 8)
  for (let blow = 0; blow < blows; blow++) {
    world.run(random.between(1_000, random.chance(0.2) ? 400_000 : 60_000))
    const node = random.pick(world.nodes)
    const kind = random.below(9)
    if (kind <= 1) node.kill()
    else if (kind === 2) node.stop()
    else if (kind === 3) node.resume()
    else if (kind === 4) restartAll(world)
    else if (kind === 5) node.start()
    else if (kind <= 7) part(world, random, 0.6)
    else if (world.nodes.length < 16) world.add()
  }
  return world
}

/** Mends everything and waits, long enough for the settings, until all must agree. */
export function afterStorm(world: World): string[] {
  const { deadlineMs, fetchTimeoutMs, graceMs } = world.rules
  const [, computeMs] = world.options.computeMs!
  const round = deadlineMs + 2 * fetchTimeoutMs + 3 * (graceMs + computeMs)
  world.mend()
  world.run(round)
  // Who found a branch too old just before may have looked at it too early, and looks again after this time.
  const again = world.reports.has('fork_too_old') ? START_OVER_MS : 0
  return world.settle(2 * round + again, 2 * round)
}

export function restartAll(world: World): void {
  for (const node of world.nodes) node.kill()
  for (const node of world.nodes) node.start()
}

function part(world: World, random: Random, chance: number): void {
  const sides = world.nodes.map(() => random.below(2))
  if (random.chance(chance)) world.network.part(index => sides[index] ?? 0)
  else world.network.heal()
}
