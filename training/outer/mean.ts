// The weighted sum of contributions: the one place where several nodes' numbers meet.
import { TrainingError } from '../errors.ts'
import type { WeightedDelta } from './strategy.ts'

/** SUM weight x delta in f64, in the order given, and SUM weight. @throws TrainingError bad_weight, shape_mismatch */
export function weightedSum(count: number, contributions: readonly WeightedDelta[]): { sum: Float64Array; weight: number } {
  if (contributions.length === 0) throw new TrainingError('bad_weight', 'cannot average the contributions of nobody')
  const sum = new Float64Array(count)
  let total = 0
  for (const { weight, delta } of contributions) {
    if (!(weight > 0 && weight < Number.POSITIVE_INFINITY))
      throw new TrainingError('bad_weight', `cannot average with the weight ${weight}`)
    if (delta.length !== count) throw new TrainingError('shape_mismatch', `cannot average ${delta.length} values into ${count}`)
    accumulate(sum, delta, weight)
    total += weight
  }
  return { sum, weight: total }
}

function accumulate(sum: Float64Array, delta: Float32Array, weight: number): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + weight * delta[i]!
}
