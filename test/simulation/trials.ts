// What a set of rules is put through to see whether it holds: each trial lives through one seed and says what was wrong.
import { ATTACKS, survive } from './attacks.ts'
import { FLOODS } from './floods.ts'
import { Random } from './random.ts'
import { afterStorm, oddStorm, roughStorm } from './storms.ts'
import { World } from './world.ts'

/** Rounds that are closed in two minutes of which every ten seconds spoil four of five disks. In calm it is 24; of 60 seeds the worst had 9. */
const BAD_DISK_ROUNDS = 8

export interface Trial {
  name: string
  /** Seeds that once failed. */
  kept?: readonly number[] | undefined
  /** Nothing, when all held. */
  run(seed: number): string[]
}

export const TRIALS: readonly Trial[] = [
  { name: 'calm', run: calm },
  { name: 'closers of unlike speed', run: unlikeClosers },
  { name: 'disks go bad', run: badDisks },
  { name: 'a line that is too slow for a while', run: slowFor },
  { name: 'a node that is away for long', run: awayForLong },
  { name: 'rough storm', run: seed => afterStorm(roughStorm(seed)) },
  { name: 'odd storm', run: seed => afterStorm(oddStorm(seed)) },
  ...ATTACKS.map(attack => ({ name: attack.name, kept: attack.kept, run: (seed: number) => survive(attack, seed) })),
  ...FLOODS
]

/** The next in rank is often done before the first: what is decided on a head is worth nothing on the next, and of two equal records all take the same. */
function unlikeClosers(seed: number): string[] {
  const world = new World({ seed, nodes: 5, stepMs: () => 100, computeMs: [50, 9_000] })
  world.run(200_000)
  return world.settle(30_000, 60_000)
}

/** All but one lose much of what they hold again and again: they fetch it again, and rounds go on. */
function badDisks(seed: number): string[] {
  const world = new World({ seed, nodes: 5, stepMs: () => 100 })
  const random = new Random(seed * 7_919)
  for (let blow = 0; blow < 12; blow++) {
    world.run(10_000)
    for (const node of world.nodes.slice(1)) node.disk.damage(0.6, random)
  }
  if (world.lowestRound() < BAD_DISK_ROUNDS) world.problem(`round ${world.lowestRound()} with bad disks, not ${BAD_DISK_ROUNDS}`)
  return world.settle(30_000, 60_000)
}

/** One cannot have what the others' records list, until its line is as fast as theirs: then it comes to where they are. */
function slowFor(seed: number): string[] {
  const world = new World({ seed, nodes: 5, stepMs: () => 100, bodyBytes: 10_000, lineOf: () => ({ up: 1_000, down: 1_000 }) })
  world.run(20_000)
  const { line } = world.nodes[4]!
  line.down = 0.1
  world.run(20_000)
  line.down = 1_000
  return world.settle(60_000, 60_000)
}

/** What the others closed meanwhile nobody keeps any more. */
function awayForLong(seed: number): string[] {
  const world = new World({ seed, nodes: 4, stepMs: () => 100, keepRounds: 2 })
  world.run(20_000)
  world.nodes[3]!.sleep()
  world.run(150_000)
  return world.settle(60_000, 60_000)
}

/** Nothing happens: no node ever goes back. */
function calm(seed: number): string[] {
  const nodes = 3 + (seed % 6)
  const world = new World({
    seed,
    nodes,
    computeMs: seed % 2 === 0 ? [50, 400] : [3_000, 5_000]
  })
  world.run(120_000)
  const forks = world.nodes.filter(node => node.forks > 0).length
  if (forks > 0) world.problem(`${forks} nodes went back in calm`)
  return world.settle(30_000, 30_000)
}
