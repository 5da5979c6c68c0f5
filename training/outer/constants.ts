// Numbers that every node of a run must share.

/**
 * Weight of a contribution by its age in rounds: it was measured from an anchor that has moved on. Halving keeps every weight exact in binary; the table stops
 * where what is left (2^-8) no longer matters beside a fresh contribution.
 */
export const AGE_DISCOUNTS: readonly number[] = [1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]

/** Most tokens of one contribution: tokens x a 24-bit value then stays exact in f64, so that a lone contributor's weight cancels to the bit. */
export const TOKENS_MAX = 536_870_912

/**
 * A contribution's norm may be at most this many times the norm of the anchor it was measured from. An early step of a small model may well move it by its
 * own length; sixteen lengths in one round are no training.
 */
export const NORM_RATIO_MAX = 16
