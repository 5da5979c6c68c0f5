// Limits and defaults of the codecs. A change of any of them changes what the same wire name means: give it a new name instead.

/** Values that share one int8 scale. 4 bytes in 260: 1.6 % more than the codes alone, and an outlier spoils 255 neighbours at most. */
export const INT8_BLOCK_VALUES = 256
/** Values of which `topk` keeps the largest, as in SparseLoCo (4096 of a 1-D tensor, 64 x 64 of a 2-D one; here always in flat order). */
export const TOPK_BLOCK_VALUES = 4096
/** 64 of 4096, as in SparseLoCo. */
export const TOPK_DENSITY = 1 / 64
/** How the kept values are written. Half precision errs by 2^-11 of the value; the residual carries that too. */
export const TOPK_VALUE = 'f16'
/** Smallest block: below it the scale would cost more than a quarter of the codes. */
export const BLOCK_VALUES_MIN = 16
/** Largest block: indices inside one are two bytes. */
export const BLOCK_VALUES_MAX = 65_536
/** Largest number of values in one call: 1 GiB of f32, well past any tensor whose training fits one machine. */
export const VALUES_MAX = 268_435_456
