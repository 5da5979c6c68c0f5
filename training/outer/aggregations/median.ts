// Aggregation `median`: each value's middle among the authors; of an even number, the mean of the two middles. Half of them must lie to move it past the others.
import type { Aggregation } from './aggregation.ts'
import { combineSorted } from './columns.ts'
import { Voices } from './voices.ts'

export const median: Aggregation = {
  name: 'median',
  stateNames: [],
  begin(contributed, scales) {
    const voices = new Voices(contributed, scales)
    return {
      looksLeft: 0,
      look: () => {},
      looked: () => {},
      combine: values => ({ gradient: combineSorted(values.count, voices.of(values), middleOf), state: {} })
    }
  }
}

/** The median of numbers in rising order, at least one. */
export function middleOf(sorted: ArrayLike<number>): number {
  const upper = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[upper]! : (sorted[upper - 1]! + sorted[upper]!) / 2
}
