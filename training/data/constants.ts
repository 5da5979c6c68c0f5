/** Limits and fixed choices of the data room, each with its unit and its reason. */

const mebibyte = 1024 * 1024

/** Largest single corpus file, bytes. A JavaScript string cannot pass 512 Mi characters, and tokens take 4 bytes each: more is cut into several files. */
export const MAX_CORPUS_FILE_BYTES = 256 * mebibyte

/** Text from which merges are learned, characters. 10 MB of SOTU takes seconds; 70 MB took 60 s and 0.8 GB for hardly better merges (measured). */
export const BPE_SAMPLE_CHARACTERS = 10_000_000

/** Pieces into which a long corpus is cut for sampling, so that the sample is spread over all of it. */
export const BPE_SAMPLE_PIECES = 1000

/** Bytes and the end-of-text token: what a byte-level tokenizer has before its first merge. */
export const BASE_VOCABULARY = 257

/** Largest vocabulary that merges are trained for: beyond it the pair keys (left x size + right) leave the fast integer range. */
export const MAX_TRAINED_VOCABULARY = 32_768

/** Largest tokenizer.json, bytes. GPT-2's has 1.4 MB, the largest published ones about 35 MB. */
export const MAX_TOKENIZER_JSON_BYTES = 64 * mebibyte

/** Largest token id + 1 accepted from a tokenizer.json: sizes the embedding, so it is bounded before anything is allocated. */
export const MAX_VOCABULARY = 1 << 20

/** Words whose tokens are remembered. English text of 10 MB has about 60,000 different ones. */
export const WORD_CACHE_ENTRIES = 100_000

/** Longest word worth remembering, UTF-16 units. */
export const WORD_CACHE_LENGTH = 48

/** GPT-2's name for the end of a document, kept for every tokenizer made here, so that other tools know it. */
export const END_OF_TEXT = '<|endoftext|>'

/** Size of the built-in corpus once decompressed is 10.8 MB; a larger answer means that the asset is not ours. */
export const MAX_BUILTIN_CORPUS_BYTES = 16 * mebibyte

/** Every n-th address of an era is held out, beginning with the n/2-th: about 5 % of each era, spread over its years. */
export const HELD_OUT_EVERY = 20

/** One slot in so many is reserved for newcomers, who are in nobody's list of contributors yet. */
export const RESERVED_SLOT_EVERY = 16

/** Windows of `context` tokens in a slot. One keeps neighbouring text out of one batch; larger slots would save nothing here. */
export const SLOT_WINDOWS = 1
