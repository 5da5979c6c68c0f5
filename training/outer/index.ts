// Outer strategies: pure functions from an anchor and weighted contributions to the next anchor, with the checks and weights around them.
// f64 sums in the order given, + - x / and sqrt only, one rounding to f32 for each stored value: every node gets the same bits.
export { addSquares, checkDelta, type DeltaRefusal, deltaNorm, sameShape } from './check-delta.ts'
export { NORM_RATIO_MAX, TOKENS_MAX } from './constants.ts'
export { createOuterStrategy } from './create-outer-strategy.ts'
export type { OuterStep, OuterStrategy, OuterStrategySpec, WeightedDelta } from './strategy.ts'
export { ageDiscount, contributionWeight } from './weights.ts'
