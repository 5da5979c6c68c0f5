// Outer strategies by a manifest's spec.
import { TrainingError } from '../errors.ts'
import { averaging } from './averaging.ts'
import { createNesterov } from './nesterov.ts'
import type { OuterStrategy, OuterStrategySpec } from './strategy.ts'

/** @throws TrainingError bad_strategy */
export function createOuterStrategy(spec: OuterStrategySpec): OuterStrategy {
  switch (spec.name) {
    case 'averaging':
      return averaging
    case 'nesterov':
      return createNesterov(spec.learningRate, spec.momentum)
    default:
      throw new TrainingError('bad_strategy', `cannot use the outer strategy ${JSON.stringify((spec as { name: unknown }).name)}`, {
        hint: 'one of averaging, nesterov'
      })
  }
}
