// How much a branch weighs: the accepted tokens of authors whom the history before the fork already knew. Identities that cost nothing weigh nothing.
import type { Part } from '../events.ts'

/** What weighing needs to see of a record: the shape repeats in its children. */
export interface Weighed<T> {
  parts: readonly Part[]
  children: readonly T[]
}

/** Tokens of known authors in one record. Each part is already bounded by maxTokensPerRound, and an author has at most one for each round. */
export function recordWeight(parts: readonly Part[], isKnown: (peer: string) => boolean): number {
  let weight = 0
  for (const part of parts) if (isKnown(part.peer)) weight += part.tokens
  return weight
}

/**
 * The weight of the heaviest chain that starts with this record, counted with the authors known at the fork below it.
 *
 * @param enough counting stops as soon as the weight is above this: the branch that lives on has hundreds of records, its dead siblings one
 */
export function branchWeight<T extends Weighed<T>>(
  branch: T,
  isKnown: (peer: string) => boolean,
  counts: (record: T) => boolean,
  enough = Number.POSITIVE_INFINITY
): number {
  let heaviest = 0
  const stack = [{ record: branch, below: 0 }]
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const weight = at.below + recordWeight(at.record.parts, isKnown)
    heaviest = Math.max(heaviest, weight)
    if (heaviest > enough) return heaviest
    for (const child of at.record.children) if (counts(child)) stack.push({ record: child, below: weight })
  }
  return heaviest
}
