// Aggregations by a manifest's spec.
import { TrainingError } from '../../errors.ts'
import type { Aggregation, AggregationSpec } from './aggregation.ts'
import { createCenteredClip } from './centered-clip.ts'
import { mean } from './mean.ts'
import { median } from './median.ts'
import { createTrimmedMean } from './trimmed-mean.ts'

/** @throws TrainingError bad_strategy */
export function createAggregation(spec: AggregationSpec): Aggregation {
  switch (spec.name) {
    case 'mean':
      return mean
    case 'trimmedMean':
      return createTrimmedMean(spec.trim)
    case 'median':
      return median
    case 'centeredClip':
      return createCenteredClip(spec)
    default:
      throw new TrainingError('bad_strategy', `cannot use the aggregation ${JSON.stringify((spec as { name: unknown }).name)}`, {
        hint: 'one of mean, trimmedMean, median, centeredClip'
      })
  }
}
