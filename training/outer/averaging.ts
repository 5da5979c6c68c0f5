// Strategy `averaging` (FedAvg; Photon's recommended server: rate 1, no momentum): next = anchor - SUM w delta / SUM w, the weighted mean of the nodes' parameters.
import { weightedSum } from './mean.ts'
import type { OuterStrategy } from './strategy.ts'

export const averaging: OuterStrategy = {
  name: 'averaging',
  stateNames: [],
  step(anchor, _state, contributions) {
    const { sum, weight } = weightedSum(anchor.length, contributions)
    return { anchor: descend(anchor, sum, weight), state: {} }
  }
}

function descend(anchor: Float32Array, sum: Float64Array, weight: number): Float32Array {
  const next = new Float32Array(anchor.length)
  for (let i = 0; i < next.length; i++) next[i] = anchor[i]! - sum[i]! / weight
  return next
}
