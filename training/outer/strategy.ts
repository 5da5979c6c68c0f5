// What an outer strategy is: the pure function from an anchor and contributions to the next anchor.

export type OuterStrategySpec = { name: 'averaging' } | { name: 'nesterov'; learningRate: number; momentum: number }

/** One contributor's decoded pseudo-gradient (anchor - local) of the values at hand. */
export interface WeightedDelta {
  weight: number
  delta: Float32Array
}

export interface OuterStep {
  anchor: Float32Array
  /** One array for each of `stateNames`, as long as the anchor. */
  state: Record<string, Float32Array>
}

/**
 * Values do not depend on one another, so a step may be taken tensor by tensor or slice by slice with the same bits.
 * All arithmetic is f64 + - x / in the order given, and each stored value is rounded to f32 once; inputs are not changed.
 */
export interface OuterStrategy {
  readonly name: OuterStrategySpec['name']
  /** What is kept beside the anchor, zeros at the genesis: [] or ['momentum']. */
  readonly stateNames: readonly string[]
  /** @throws TrainingError bad_weight (nobody, or weights that are no positive numbers), shape_mismatch */
  step(anchor: Float32Array, state: Readonly<Record<string, Float32Array>>, contributions: readonly WeightedDelta[]): OuterStep
}
