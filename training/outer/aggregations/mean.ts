// Aggregation `mean`: SUM w delta / SUM w, weighted by tokens and age (FedAvg, DiLoCo). One liar moves it as far as its weight and the norm's bound allow.
import { TrainingError } from '../../errors.ts'
import { contributionWeight } from '../weights.ts'
import type { Aggregation, Values } from './aggregation.ts'
import { addWeighted, checkLengths, dividedBy } from './sums.ts'

export const mean: Aggregation = {
  name: 'mean',
  stateNames: [],
  begin(contributed, scales) {
    if (contributed.length === 0) throw new TrainingError('bad_weight', 'cannot average the contributions of nobody')
    const weights = contributed.map(({ tokens, age }) => contributionWeight(tokens, age))
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    // x 1 changes no bit. What was cut still counts with its whole weight: that is what makes it less.
    const factors = weights.map((weight, i) => weight * scales[i]!)
    return {
      looksLeft: 0,
      look: () => {},
      looked: () => {},
      combine(values: Values) {
        checkLengths(values)
        return { gradient: dividedBy(addWeighted(new Float64Array(values.count), factors, values.deltas), total), state: {} }
      }
    }
  }
}
