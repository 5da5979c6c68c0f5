/**
 * Byte-level byte-pair encoding, as GPT-2 does it (Radford et al., 2019): text is cut into words by a fixed pattern, each word's bytes are merged pairwise in
 * the order in which the merges were learned. With no merges it is a tokenizer of bytes. One encoder serves the trained, the GPT-2 and the loaded vocabularies.
 */
import { TrainingError } from '../errors.ts'
import { END_OF_TEXT, WORD_CACHE_ENTRIES, WORD_CACHE_LENGTH } from './constants.ts'
import type { Tokenizer, TokenizerKind } from './tokenizer.ts'

/** Unicode's White_Space, which Rust's and Python's `\s` mean. JavaScript's `\s` lacks U+0085 and has U+FEFF, so ids would differ there. */
const SPACE = String.raw`\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`
const WORD = new RegExp(
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^${SPACE}\p{L}\p{N}]+|[${SPACE}]+(?![^${SPACE}])|[${SPACE}]+`,
  'gu'
)

/** The words into which the pattern cuts a text; joined they are the text. One at a time: all those of a file of 256 MiB would be gigabytes. */
export function* splitWords(text: string): Generator<string> {
  for (const [word] of text.matchAll(WORD)) yield word
}

/** The printable character that stands for each byte in vocab.json and merges.txt: itself where it is printable, else 256 and up. */
export const BYTE_SYMBOLS: readonly string[] = byteSymbols()
const SYMBOL_BYTES = new Map(BYTE_SYMBOLS.map((symbol, byte) => [symbol, byte]))

export interface AddedToken {
  id: number
  content: string
}

export interface ByteLevelVocabulary {
  /** Bytes of each id; undefined where an id stands for an added token or for nothing. */
  pieces: (Uint8Array | undefined)[]
  /** Pairs of ids with the id that they make, in the order of merging. */
  merges: { left: number; right: number; merged: number }[]
  added: AddedToken[]
}

/** @throws TrainingError `bad_tokenizer` when a byte has no id */
export function createByteLevelBpe(kind: TokenizerKind, { pieces, merges, added }: ByteLevelVocabulary): Tokenizer {
  const vocabulary = added.reduce((most, { id }) => Math.max(most, id + 1), pieces.length)
  const byteIds = idsOfBytes(pieces)
  const ranks = new Map(merges.map(({ left, right }, rank) => [left * vocabulary + right, rank]))
  const addedIds = new Map(added.map(({ id, content }) => [content, id]))
  const addedPieces = new Map(added.map(({ id, content }) => [id, utf8.encode(content)]))
  const addedPattern = patternOf(added)
  const cache = new Map<string, Int32Array>()

  const encodeWord = (word: string): Int32Array => {
    const known = cache.get(word)
    if (known !== undefined) return known
    const ids = mergePairs(bytesToIds(utf8.encode(word)))
    if (word.length <= WORD_CACHE_LENGTH) {
      if (cache.size >= WORD_CACHE_ENTRIES) cache.clear()
      cache.set(word, ids)
    }
    return ids
  }

  const bytesToIds = (bytes: Uint8Array): Int32Array => {
    const ids = new Int32Array(bytes.length)
    for (let i = 0; i < bytes.length; i++) ids[i] = byteIds[bytes[i]!]!
    return ids
  }

  /** Merges the pair of lowest rank, the leftmost of equals, until none is left. O(n log n): a word may be a whole file without a space. */
  const mergePairs = (ids: Int32Array): Int32Array => {
    const rankAt = (left: number, right: number): number | undefined => ranks.get(ids[left]! * vocabulary + ids[right]!)
    const next = new Int32Array(ids.length)
    const previous = new Int32Array(ids.length)
    for (let i = 0; i < ids.length; i++) {
      next[i] = i + 1
      previous[i] = i - 1
    }
    const queue = new PairQueue()
    const offer = (left: number, right: number): void => {
      const rank = rankAt(left, right)
      if (rank !== undefined) queue.push(rank, left)
    }
    for (let i = 0; i + 1 < ids.length; i++) offer(i, i + 1)
    let length = ids.length
    for (let top = queue.pop(); top !== undefined; top = queue.pop()) {
      const { rank, at } = top
      const right = next[at]!
      // A pair is out of date when its left part was swallowed (id -1) or a neighbour changed, which gives it another rank or none.
      if (ids[at] === -1 || right >= ids.length || rankAt(at, right) !== rank) continue
      ids[at] = merges[rank]!.merged
      ids[right] = -1
      const after = next[right]!
      next[at] = after
      if (after < ids.length) {
        previous[after] = at
        offer(at, after)
      }
      if (previous[at]! >= 0) offer(previous[at]!, at)
      length--
    }
    if (length === ids.length) return ids
    return ids.filter(id => id !== -1)
  }

  const encodePlain = (text: string, into: IdList): void => {
    if (merges.length === 0) {
      into.append(bytesToIds(utf8.encode(text)))
      return
    }
    for (const word of splitWords(text)) into.append(encodeWord(word))
  }

  const pieceOf = (id: number): Uint8Array => {
    const piece = addedPieces.get(id) ?? pieces[id]
    if (piece === undefined) throw new TrainingError('bad_token_id', `decoding: no token has the id ${id}`, { details: { id } })
    return piece
  }
  const byteLength = (ids: ArrayLike<number>): number => {
    let length = 0
    for (let i = 0; i < ids.length; i++) length += pieceOf(ids[i]!).length
    return length
  }

  return {
    kind,
    vocabulary,
    endOfText: addedIds.get(END_OF_TEXT) ?? null,
    encode(text) {
      const wellFormed = text.toWellFormed()
      const ids = new IdList(Math.ceil(text.length / 2) + 16)
      let start = 0
      for (const match of addedPattern === null ? [] : wellFormed.matchAll(addedPattern)) {
        encodePlain(wellFormed.slice(start, match.index), ids)
        ids.push(addedIds.get(match[0])!)
        start = match.index + match[0].length
      }
      encodePlain(start === 0 ? wellFormed : wellFormed.slice(start), ids)
      return ids.toArray()
    },
    decode(ids) {
      const bytes = new Uint8Array(byteLength(ids))
      for (let i = 0, at = 0; i < ids.length; i++) {
        const piece = pieceOf(ids[i]!)
        bytes.set(piece, at)
        at += piece.length
      }
      return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
    },
    byteLength,
    files: () => filesOf({ pieces, merges, added })
  }
}

/** Bytes of a token as vocab.json writes it, or undefined when it is not written in byte symbols. */
export function bytesOfSymbols(symbols: string): Uint8Array | undefined {
  const bytes = Array.from(symbols, symbol => SYMBOL_BYTES.get(symbol))
  return bytes.includes(undefined) ? undefined : Uint8Array.from(bytes as number[])
}

/** A token as vocab.json writes it. */
export function symbolsOf(bytes: Uint8Array): string {
  let symbols = ''
  for (const byte of bytes) symbols += BYTE_SYMBOLS[byte]!
  return symbols
}

/** tokenizer_config.json. The class reads tokenizer.json as it stands; `GPT2Tokenizer` would be made anew from vocab.json and merges.txt, with its own settings. */
export function tokenizerConfig(endOfText: string | null): string {
  const special = endOfText === null ? {} : { bos_token: endOfText, eos_token: endOfText, unk_token: endOfText }
  return JSON.stringify({ tokenizer_class: 'PreTrainedTokenizerFast', clean_up_tokenization_spaces: false, ...special }, null, 2) + '\n'
}

const utf8 = new TextEncoder()

function filesOf({ pieces, merges, added }: ByteLevelVocabulary): Record<string, string> {
  const symbols = pieces.map(piece => (piece === undefined ? undefined : symbolsOf(piece)))
  const ids = new Map<string, number>()
  for (const [id, symbol] of symbols.entries()) if (symbol !== undefined) ids.set(symbol, id)
  const vocab = Object.fromEntries([...ids, ...added.map(({ id, content }) => [content, id] as const)].sort((a, b) => a[1] - b[1]))
  const pairs = merges.map(({ left, right }) => `${symbols[left]} ${symbols[right]}`)
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
  const model = {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    vocab,
    merges: pairs
  }
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added.map(({ id, content }) => ({ id, content, ...flags })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: { ...byteLevel, trim_offsets: false },
    decoder: byteLevel,
    model
  }
  return {
    'tokenizer.json': JSON.stringify(tokenizer),
    'vocab.json': JSON.stringify(vocab),
    'merges.txt': ['#version: 0.2', ...pairs, ''].join('\n'),
    'tokenizer_config.json': tokenizerConfig(added.some(({ content }) => content === END_OF_TEXT) ? END_OF_TEXT : null)
  }
}

function idsOfBytes(pieces: (Uint8Array | undefined)[]): Int32Array {
  const ids = new Int32Array(256).fill(-1)
  for (const [id, piece] of pieces.entries()) if (piece?.length === 1) ids[piece[0]!] = id
  const missing = ids.indexOf(-1)
  if (missing !== -1)
    throw new TrainingError('bad_tokenizer', `making a byte-level tokenizer: byte ${missing} has no token`, { details: { missing } })
  return ids
}

/** Matches added tokens wherever they stand, the longest first. */
function patternOf(added: AddedToken[]): RegExp | null {
  const contents = added.map(({ content }) => content).filter(content => content.length > 0)
  if (contents.length === 0) return null
  const longestFirst = contents.sort((a, b) => b.length - a.length)
  return new RegExp(longestFirst.map(content => content.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`)).join('|'), 'gu')
}

function byteSymbols(): string[] {
  const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
  let beyond = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : beyond++))
}

/** A list of ids that grows. */
class IdList {
  #ids: Int32Array
  #length = 0

  constructor(capacity: number) {
    this.#ids = new Int32Array(capacity)
  }

  push(id: number): void {
    this.#grow(1)
    this.#ids[this.#length++] = id
  }

  append(ids: Int32Array): void {
    this.#grow(ids.length)
    this.#ids.set(ids, this.#length)
    this.#length += ids.length
  }

  toArray(): Int32Array {
    return this.#ids.slice(0, this.#length)
  }

  #grow(by: number): void {
    if (this.#length + by <= this.#ids.length) return
    const larger = new Int32Array(Math.max(this.#ids.length * 2, this.#length + by))
    larger.set(this.#ids)
    this.#ids = larger
  }
}

/** A binary heap of (rank, place) pairs: lowest rank first, then leftmost. */
class PairQueue {
  readonly #ranks: number[] = []
  readonly #places: number[] = []

  push(rank: number, at: number): void {
    let child = this.#ranks.length
    this.#ranks.push(rank)
    this.#places.push(at)
    while (child > 0) {
      const parent = (child - 1) >> 1
      if (this.#before(parent, child)) return
      this.#swap(parent, child)
      child = parent
    }
  }

  pop(): { rank: number; at: number } | undefined {
    const size = this.#ranks.length
    if (size === 0) return undefined
    this.#swap(0, size - 1)
    const rank = this.#ranks.pop()!
    const at = this.#places.pop()!
    for (let parent = 0; ; ) {
      let least = parent
      for (const child of [2 * parent + 1, 2 * parent + 2]) if (child < size - 1 && this.#before(child, least)) least = child
      if (least === parent) return { rank, at }
      this.#swap(parent, least)
      parent = least
    }
  }

  #before(a: number, b: number): boolean {
    return this.#ranks[a]! - this.#ranks[b]! < 0 || (this.#ranks[a] === this.#ranks[b] && this.#places[a]! <= this.#places[b]!)
  }

  #swap(a: number, b: number): void {
    ;[this.#ranks[a], this.#ranks[b]] = [this.#ranks[b]!, this.#ranks[a]!]
    ;[this.#places[a], this.#places[b]] = [this.#places[b]!, this.#places[a]!]
  }
}
