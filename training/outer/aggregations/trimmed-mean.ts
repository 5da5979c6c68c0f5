// Aggregation `trimmedMean`: each value's mean among the authors without the b largest and the b smallest (Yin 2018). With more than b liars it holds no more.
import { TrainingError } from '../../errors.ts'
import type { Aggregation } from './aggregation.ts'
import { combineSorted } from './columns.ts'
import { Voices } from './voices.ts'

/** @throws TrainingError bad_strategy */
export function createTrimmedMean(trim: number): Aggregation {
  if (!(trim >= 0 && (trim < 0.5 || Number.isSafeInteger(trim))))
    throw new TrainingError('bad_strategy', `cannot trim ${trim} at either end: a part below 0.5, or a whole number of authors`)
  return {
    name: 'trimmedMean',
    stateNames: [],
    begin(contributed, scales) {
      const voices = new Voices(contributed, scales)
      const left = leftOut(trim, voices.count)
      return {
        looksLeft: 0,
        look: () => {},
        looked: () => {},
        combine: values => ({ gradient: combineSorted(values.count, voices.of(values), sorted => meanOfMiddle(sorted, left)), state: {} })
      }
    }
  }
}

/** b: rounded up, since a part of a liar lies as well as a whole one; but so few that at least one author or two are left. */
function leftOut(trim: number, authors: number): number {
  const wanted = trim < 0.5 ? Math.ceil(trim * authors) : trim
  return Math.min(wanted, Math.floor((authors - 1) / 2))
}

function meanOfMiddle(sorted: Float64Array, left: number): number {
  let sum = 0
  for (let i = left; i < sorted.length - left; i++) sum += sorted[i]!
  return sum / (sorted.length - 2 * left)
}
