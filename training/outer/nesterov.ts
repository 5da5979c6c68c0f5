// Outer optimizer `nesterov` (DiLoCo; the torch.optim.SGD form that OpenDiLoCo and Photon use):
//   m' = momentum x m + g,  next = anchor - learningRate x (g + momentum x m').
// The step uses m' before it is rounded to f32 for keeping.
import { TrainingError } from '../errors.ts'
import type { OuterOptimizer } from './optimizer.ts'

/** @throws TrainingError bad_strategy */
export function createNesterov(learningRate: number, momentum: number): OuterOptimizer {
  if (!(learningRate > 0 && learningRate <= 10))
    throw new TrainingError('bad_strategy', `cannot use the outer learning rate ${learningRate}: above 0, at most 10`)
  if (!(momentum >= 0 && momentum < 1))
    throw new TrainingError('bad_strategy', `cannot use the outer momentum ${momentum}: from 0, below 1`)
  return {
    name: 'nesterov',
    stateNames: ['momentum'],
    step(anchor, state, gradient) {
      const old = state.momentum
      if (old?.length !== anchor.length)
        throw new TrainingError('shape_mismatch', `cannot step ${anchor.length} values with ${old?.length ?? 'no'} values of momentum`)
      const next = new Float32Array(anchor.length)
      const kept = new Float32Array(anchor.length)
      descend(anchor, old, gradient, learningRate, momentum, next, kept)
      return { anchor: next, state: { momentum: kept } }
    }
  }
}

function descend(
  anchor: Float32Array,
  old: Float32Array,
  gradients: Float64Array,
  learningRate: number,
  momentum: number,
  next: Float32Array,
  kept: Float32Array
): void {
  for (let i = 0; i < next.length; i++) {
    const gradient = gradients[i]!
    const moved = momentum * old[i]! + gradient
    kept[i] = moved
    next[i] = anchor[i]! - learningRate * (gradient + momentum * moved)
  }
}
