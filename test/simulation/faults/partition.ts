// The mesh falls into parts: into two that do not reach each other, or so that one part hears the other and is not heard.
import type { Cut } from '../network.ts'
import type { Random } from '../random.ts'
import type { World } from '../world.ts'
import type { Fault } from './fault.ts'

/** ms that the parts last. */
const LASTS: [number, number] = [5_000, 60_000]

export const partition: Fault = {
  name: 'partition',
  strike(world, random) {
    const isApart = sides(world, random)
    lasting(world, random, (from, to) => isApart(from) !== isApart(to))
    return true
  }
}

export const deafness: Fault = {
  name: 'one-way partition',
  strike(world, random) {
    const isApart = sides(world, random)
    lasting(world, random, (from, to) => isApart(from) && !isApart(to))
    return true
  }
}

/** The smaller part: a few nodes, or nearly half. */
function sides(world: World, random: Random): (index: number) => boolean {
  const share = random.between(0.02, 0.45)
  const apart = world.nodes.map(() => random.chance(share))
  return index => apart[index] ?? false
}

function lasting(world: World, random: Random, cut: Cut): void {
  world.network.cuts.add(cut)
  world.lasting(random.between(...LASTS), () => world.network.cuts.delete(cut))
}
