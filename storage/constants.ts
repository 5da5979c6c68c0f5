// Every limit and default of this room, with its unit and its reason.

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

/** Version of the home's layout, kept in the file `store-version`; a home of another version is refused rather than guessed at. */
export const STORE_VERSION = 1

/** A block is at most 1 MiB of payload (DESIGN, section 1); the slack is for what a signed or structured block wraps around it. */
export const BLOCK_BYTES_MAX = MiB + 4 * KiB
/** Block files open at once: enough to keep the four threads of libuv's pool busy, far from any limit on open files. */
export const BLOCK_FILES_OPEN_MAX = 16
/** Corrupted block files kept for inspection; more than that would let a dying disk fill itself. */
export const CORRUPT_FILES_MAX = 64

/** Bytes that blocks and tensors leave free, so that on a full disk the records (small) can still say so. Level needs about twice its write buffer. */
export const RESERVED_BYTES = 8 * MiB
/** Level's memtable and log. Our records are small; a small log makes opening after a crash fast and needs little room to recover into. */
export const RECORDS_WRITE_BUFFER_BYTES = MiB
/** Blocks of tables that Level keeps in memory. What is asked for again and again is the newest, in its memtable; its own 8 MiB would only fill, an hour long. */
export const RECORDS_CACHE_BYTES = MiB
/** Room that reopening the records may need: the log rewritten as a table, and a new manifest. */
export const RECORDS_REOPEN_BYTES = 4 * MiB
/** One record is facts about blocks, never the bytes themselves. */
export const RECORD_BYTES_MAX = MiB
export const KEY_BYTES_MAX = KiB

/** Bytes of a safetensors header. The reference implementation allows 100 MB; this is room for 150,000 tensors. */
export const SAFETENSORS_HEADER_BYTES_MAX = 16 * MiB
export const SAFETENSORS_TENSORS_MAX = 200_000
/** Bytes of a tensor's name; Hugging Face's longest are near 100. */
export const SAFETENSORS_NAME_BYTES_MAX = KiB
/** No array library goes past 32 dimensions. */
export const SAFETENSORS_DIMENSIONS_MAX = 32
/** One tensor must fit one ArrayBuffer on Node 20. */
export const TENSOR_BYTES_MAX = 4 * GiB - 1

export const CHECKPOINT_CONFIG_BYTES_MAX = MiB
/** Tokenizer files: the largest in use (250,000 entries with merges) are near 33 MB. */
export const CHECKPOINT_FILE_BYTES_MAX = 64 * MiB
export const CHECKPOINT_FILES_MAX = 64
export const CHECKPOINT_SHARDS_MAX = 1024

/** Largest single write, so that an abort is noticed within a large tensor. */
export const WRITE_BYTES_MAX = 16 * MiB
