// What an outer strategy is: the pure function from an anchor and contributions to the next anchor. An aggregation makes one gradient of the contributions,
// an outer optimizer steps by it.
import type { AggregationSpec, Contributed, Values } from './aggregations/aggregation.ts'
import type { OuterOptimizerSpec, OuterStep } from './optimizer.ts'
import type { ScreeningSpec } from './screening.ts'

/** What a manifest's `strategy` says of it. */
export interface OuterStrategySpec {
  outer: OuterOptimizerSpec
  /** @default mean */
  aggregation?: AggregationSpec | undefined
  /** @default null: nothing is cut */
  screening?: ScreeningSpec | null | undefined
}

/**
 * One round's step. Values may come tensor by tensor or slice by slice with the same bits: all arithmetic is f64 + - x / and sqrt in the order given, and
 * each stored value is rounded to f32 once; inputs are not changed.
 */
export interface OuterRound {
  /** Times that all values must still be looked at, in the same order, before any step. */
  readonly looksLeft: number
  look(values: Values): void
  /** The look is over: all values were shown. */
  looked(): void
  /** @throws TrainingError shape_mismatch */
  step(anchor: Float32Array, state: Readonly<Record<string, Float32Array>>, deltas: readonly Float32Array[]): OuterStep
}

export interface OuterStrategy {
  /** For people: its parts' names. */
  readonly name: string
  /** What is kept beside the anchor, zeros at the genesis: the optimizer's, then the aggregation's. */
  readonly stateNames: readonly string[]
  /**
   * @param contributed in the record's order
   * @throws TrainingError bad_weight (nobody, or weights that are no positive numbers)
   */
  begin(contributed: readonly Contributed[]): OuterRound
}
