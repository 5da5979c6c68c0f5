// What a set of rules is put through to see whether it holds: each trial lives through one seed and says what was wrong.
import { ATTACKS, survive } from './attacks.ts'
import { FLOODS } from './floods.ts'
import { afterStorm, oddStorm, roughStorm } from './storms.ts'
import { World } from './world.ts'

export interface Trial {
  name: string
  /** Nothing, when all held. */
  run(seed: number): string[]
}

export const TRIALS: readonly Trial[] = [
  { name: 'calm', run: calm },
  { name: 'rough storm', run: seed => afterStorm(roughStorm(seed)) },
  { name: 'odd storm', run: seed => afterStorm(oddStorm(seed)) },
  ...ATTACKS.map(attack => ({ name: attack.name, run: (seed: number) => survive(attack, seed) })),
  ...FLOODS
]

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
