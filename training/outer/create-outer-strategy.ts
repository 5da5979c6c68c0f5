// Outer strategies by a manifest's spec.
import { TrainingError } from '../errors.ts'
import { createAggregation } from './aggregations/create-aggregation.ts'
import { averaging } from './averaging.ts'
import { createNesterov } from './nesterov.ts'
import type { OuterOptimizer, OuterOptimizerSpec } from './optimizer.ts'
import { checkScreening, normScales } from './screening.ts'
import type { OuterStrategy, OuterStrategySpec } from './strategy.ts'

/** @throws TrainingError bad_strategy */
export function createOuterStrategy(spec: OuterStrategySpec): OuterStrategy {
  const optimizer = createOptimizer(spec.outer)
  const aggregation = createAggregation(spec.aggregation ?? { name: 'mean' })
  const screening = spec.screening ?? null
  if (screening !== null) checkScreening(screening)
  return {
    name: `${optimizer.name} of ${aggregation.name}`,
    stateNames: [...optimizer.stateNames, ...aggregation.stateNames],
    begin(contributed) {
      const combining = aggregation.begin(contributed, normScales(contributed, screening))
      return {
        get looksLeft() {
          return combining.looksLeft
        },
        look: values => combining.look(values),
        looked: () => combining.looked(),
        step(anchor, state, deltas) {
          const { gradient, state: kept } = combining.combine({ count: anchor.length, state, deltas })
          const step = optimizer.step(anchor, state, gradient)
          return { anchor: step.anchor, state: { ...step.state, ...kept } }
        }
      }
    }
  }
}

function createOptimizer(spec: OuterOptimizerSpec): OuterOptimizer {
  switch (spec.name) {
    case 'averaging':
      return averaging
    case 'nesterov':
      return createNesterov(spec.learningRate, spec.momentum)
    default:
      throw new TrainingError('bad_strategy', `cannot use the outer optimizer ${JSON.stringify((spec as { name: unknown }).name)}`, {
        hint: 'one of averaging, nesterov'
      })
  }
}
