// Outer strategies: pure functions from an anchor and contributions to the next anchor, with the checks and weights around them. How contributions become one
// gradient (aggregations/) and how the anchor steps by it (averaging.ts, nesterov.ts) are two ideas that go together in any pair.
// f64 sums in the order given, + - x / and sqrt only, one rounding to f32 for each stored value: every node gets the same bits.
export type { AggregationSpec, Contributed } from './aggregations/aggregation.ts'
export { ITERATIONS_MAX } from './aggregations/centered-clip.ts'
export { addSquares, checkDelta, type DeltaRefusal, deltaNorm, sameShape } from './check-delta.ts'
export { NORM_RATIO_MAX, TOKENS_MAX } from './constants.ts'
export { createOuterStrategy } from './create-outer-strategy.ts'
export type { OuterStep } from './optimizer.ts'
export { normScales, type ScreeningSpec } from './screening.ts'
export type { OuterRound, OuterStrategy, OuterStrategySpec } from './strategy.ts'
export { ageDiscount, contributionWeight } from './weights.ts'
