// Limits of body indexes. They bound what a peer can make us hold in memory before a hash or a shape is compared.

/** Version of the index format. */
export const BODY_VERSION = 1
/** Bytes of every chunk of a tensor but its last. Fixed, so that equal tensors have equal chunks everywhere. */
export const CHUNK_BYTES = 1024 * 1024
/** Bytes of a root or stage block; a block is at most 1 MiB. */
export const MAX_INDEX_BYTES = 1024 * 1024
/** Stages of one body: far above any model's layers. */
export const MAX_STAGES = 4096
/** Tensors of one stage, outer state included. */
export const MAX_TENSORS = 4096
/** UTF-16 units of a stage's or tensor's name. */
export const MAX_NAME_LENGTH = 256
/** Dimensions of a tensor. */
export const MAX_DIMENSIONS = 8
/** Bytes of one tensor: 16 GiB; a stage block could not list the chunks of more anyway. */
export const MAX_TENSOR_BYTES = 16 * 1024 ** 3
