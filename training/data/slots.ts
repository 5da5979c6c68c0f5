/**
 * Who reads which part of a shared corpus (ROUNDS.md, "Data"). Pure: every node computes the same from the last record.
 *
 * An epoch is a seeded permutation of the corpus's fixed slots. Every sixteenth place of it is reserved for newcomers; the others are dealt in turn to the
 * contributors of the last record, so that no two of them read the same and together they read all. A newcomer, whom nobody deals anything yet, draws
 * from the reserved places in an order of its own; two newcomers may draw the same slot, and `countOverlap` says how often.
 */
import { RESERVED_SLOT_EVERY } from './constants.ts'
import { createRandom, permutation } from './random.ts'

export interface SlotQuestion {
  /** Number of slots of the corpus. */
  slots: number
  epoch: number
  /** The run's seed. */
  seed: number
  /** Authors of the last record's contributions, in any order. */
  contributors: readonly string[]
  peer: string
}

/** The slots that `peer` reads in this epoch, in its order. Never empty while the corpus has a slot. */
export function assignSlots({ slots, epoch, seed, contributors, peer }: SlotQuestion): Uint32Array {
  const order = epochOrder(slots, epoch, seed)
  const rank = [...new Set(contributors)].sort(byText).indexOf(peer)
  const { dealt, reserved } = divide(order)
  if (rank !== -1) {
    const count = new Set(contributors).size
    const own = dealt.filter((_, place) => place % count === rank)
    if (own.length > 0) return own
  }
  // A newcomer, or a contributor left without a slot because there are more contributors than slots.
  const places = permutation(reserved.length, createRandom(`newcomer/${seed}/${epoch}/${peer}`))
  return Uint32Array.from(places, place => reserved[place]!)
}

/** The epoch's order of all slots: what a private corpus's only reader reads. */
export function epochOrder(slots: number, epoch: number, seed: number): Uint32Array {
  return permutation(slots, createRandom(`epoch/${seed}/${epoch}`))
}

/** How many slots were read more than once, counted once for each reading beyond the first. */
export function countOverlap(read: Iterable<Iterable<number>>): number {
  const seen = new Set<number>()
  let overlap = 0
  for (const slots of read) {
    for (const slot of slots) {
      if (seen.has(slot)) overlap++
      seen.add(slot)
    }
  }
  return overlap
}

/** Every sixteenth place is reserved, at least one; a corpus of one slot is for everybody. */
function divide(order: Uint32Array): { dealt: Uint32Array; reserved: Uint32Array } {
  if (order.length < 2) return { dealt: order, reserved: order }
  const isReserved = (place: number) => place % RESERVED_SLOT_EVERY === 0
  return { dealt: order.filter((_, place) => !isReserved(place)), reserved: order.filter((_, place) => isReserved(place)) }
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
