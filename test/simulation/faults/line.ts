// A line that is slow, or loses what it carries, or a clock that goes wrong: the node lives on.
import type { Line } from '../network.ts'
import type { Random } from '../random.ts'
import type { World } from '../world.ts'
import type { Fault } from './fault.ts'

/** ms that it lasts. */
const LASTS: [number, number] = [10_000, 90_000]

export const slowLine: Fault = {
  name: 'slow line',
  strike: (world, random) => {
    const slowness = random.between(3, 20)
    return change(world, random, line => ({ slowness: line.slowness * slowness, up: line.up / slowness, down: line.down / slowness }))
  }
}

export const lossyLine: Fault = {
  name: 'lossy line',
  strike: (world, random) => {
    const loss = random.between(0.1, 0.6)
    return change(world, random, line => ({ loss: line.loss + loss }))
  }
}

/** Loss on some ways from one node to another, whichever they are. */
export const lossyLinks: Fault = {
  name: 'lossy links',
  strike(world, random) {
    const { network } = world
    if (network.lossBetween !== null) return false
    const salt = random.below(1_000_003)
    const share = random.between(0.05, 0.4)
    const loss = random.between(0.2, 0.9)
    network.lossBetween = (from, to) => (((from * 7_919 + to * 104_729 + salt) % 9_973) / 9_973 < share ? loss : 0)
    world.lasting(random.between(...LASTS), () => {
      network.lossBetween = null
    })
    return true
  }
}

export const wrongClock: Fault = {
  name: 'wrong clock',
  strike(world, random) {
    const node = world.anyUp(random)
    if (node === null) return false
    node.drift(random.between(0.8, 1.25))
    world.lasting(random.between(...LASTS), () => node.drift(1))
    return true
  }
}

function change(world: World, random: Random, how: (line: Line) => Partial<Line>): boolean {
  const node = world.anyUp(random)
  if (node === null) return false
  const before = { ...node.line }
  if (before.slowness > 1 || before.loss > 0) return false
  Object.assign(node.line, how(before))
  world.lasting(random.between(...LASTS), () => Object.assign(node.line, before))
  return true
}
