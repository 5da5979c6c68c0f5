// Outer optimizer `averaging` (FedAvg; Photon's recommended server: rate 1, no momentum): next = anchor - g. With the mean, that is the weighted mean of the
// nodes' parameters.
import type { OuterOptimizer } from './optimizer.ts'

export const averaging: OuterOptimizer = {
  name: 'averaging',
  stateNames: [],
  step: (anchor, _state, gradient) => ({ anchor: descend(anchor, gradient), state: {} })
}

function descend(anchor: Float32Array, gradient: Float64Array): Float32Array {
  const next = new Float32Array(anchor.length)
  for (let i = 0; i < next.length; i++) next[i] = anchor[i]! - gradient[i]!
  return next
}
