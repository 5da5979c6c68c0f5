// Which nodes a storm kills next, and what comes back for each. Pure: the same seed gives the same choices for the same lives.
import type { Storm } from '../steps.ts'

export interface StormState {
  random: number
}

export interface Victim {
  node: number
  /** Whether a new node comes back instead of it. */
  replaced: boolean
}

export function createStorm({ seed }: Pick<Storm, 'seed'>): StormState {
  return { random: seed >>> 0 }
}

/** The next victims among the nodes that are alive; one node always stays, since a mesh of none is another fault. */
export function nextVictims(storm: Storm, state: StormState, alive: number[]): { state: StormState; victims: Victim[] } {
  const draw = (): number => {
    // mulberry32: small, and good enough to choose among a few nodes.
    state = { random: (state.random + 0x6d2b79f5) >>> 0 }
    let mixed = Math.imul(state.random ^ (state.random >>> 15), state.random | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const open = alive.filter(node => !storm.spare.includes(node)).sort((a, b) => a - b)
  const { least, most } = storm.kills
  const count = Math.min(least + Math.floor(draw() * (most - least + 1)), open.length, alive.length - 1)
  const victims = Array.from({ length: count }, () => {
    const [node] = open.splice(Math.floor(draw() * open.length), 1)
    const replaced = storm.back === 'new' || (storm.back === 'either' && draw() < 0.5)
    return { node: node!, replaced }
  })
  return { state, victims }
}
