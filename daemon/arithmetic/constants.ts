// Numbers of the arithmetic worker.
import { CHUNK_BYTES } from '../../protocols/bodies/index.ts'

/** Values worked on at a time: those of one anchor chunk. Every codec's block size divides it, and memory stays at a few MiB a contributor. */
export const SLICE_VALUES = CHUNK_BYTES / 4
/** Blocks being written at once: fsyncs overlap, and at most this many MiB wait in memory. */
export const WRITES_MAX = 8
/** Anchors whose norm is remembered: checks of one round all ask for the same one, late ones for the one before. */
export const ANCHOR_NORMS_KEPT = 8
/** Bodies whose norm or refusal is remembered, 200 bytes each: what one round of many authors names, and late ones name again. */
export const BODY_NORMS_KEPT = 512
/** Outer state stands in the anchor as `outer.<state>/<tensor>`. */
export const OUTER_PREFIX = 'outer.'
