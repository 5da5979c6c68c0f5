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
/** Bytes of all stage blocks of one body that is fetched: a chunk's name is about 41 bytes, so they name 1.6 TiB. */
export const MAX_BODY_INDEX_BYTES = 64 * 1024 ** 2
/** Bytes that the stage blocks of a small body may weigh beside what its tensors may: sixteen of the largest, which take one round trip. */
export const INDEX_ALLOWANCE_BYTES = 16 * 1024 ** 2
/** Tensors of one body that is fetched, those of no bytes too: a hundred times those of a model with 48 layers and its outer state. */
export const MAX_BODY_TENSORS = 131_072
/** UTF-16 units of a stage's or tensor's name. */
export const MAX_NAME_LENGTH = 256
/** Dimensions of a tensor. */
export const MAX_DIMENSIONS = 8
/** Bytes of one tensor: 16 GiB; a stage block could not list the chunks of more anyway. */
export const MAX_TENSOR_BYTES = 16 * 1024 ** 3
