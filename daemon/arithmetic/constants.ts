// Numbers of the arithmetic worker.
import { BLOCK_VALUES_MAX } from '../../training/compression/constants.ts'

/** Values worked on at a time, of each contributor: those of the largest block, so that every codec's block size divides it. */
export const SLICE_VALUES = BLOCK_VALUES_MAX
/** Contributions that are read ahead of their turn, 2 MiB each: a record may list a thousand. */
export const READ_AHEAD_MAX = 32
/** Blocks being written at once: fsyncs overlap, and at most this many MiB wait in memory. */
export const WRITES_MAX = 8
/** Anchors whose norm is remembered: checks of one round all ask for the same one, late ones for the one before. */
export const ANCHOR_NORMS_KEPT = 8
/** Bodies whose norm or refusal is remembered, 200 bytes each: what one round of many authors names, and late ones name again. */
export const BODY_NORMS_KEPT = 512
/** Outer state stands in the anchor as `outer.<state>/<tensor>`. */
export const OUTER_PREFIX = 'outer.'
