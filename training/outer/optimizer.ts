// What an outer optimizer is: from an anchor and one gradient, whatever aggregation made it, to the next anchor.

export type OuterOptimizerSpec = { name: 'averaging' } | { name: 'nesterov'; learningRate: number; momentum: number }

export interface OuterStep {
  anchor: Float32Array
  /** One array for each of `stateNames`, as long as the anchor. */
  state: Record<string, Float32Array>
}

/** Values do not depend on one another. Each stored value is rounded to f32 once; inputs are not changed. */
export interface OuterOptimizer {
  readonly name: OuterOptimizerSpec['name']
  /** What is kept beside the anchor, zeros at the genesis: [] or ['momentum']. */
  readonly stateNames: readonly string[]
  /** @throws TrainingError shape_mismatch */
  step(anchor: Float32Array, state: Readonly<Record<string, Float32Array>>, gradient: Float64Array): OuterStep
}
