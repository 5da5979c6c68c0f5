/**
 * Learns the merges of a byte-level BPE from text: the most frequent pair of neighbouring tokens becomes a token, again and again (Sennrich et al., 2016).
 *
 * Pairs are counted over distinct words, each weighed by how often it occurs; an index from pair to words keeps a merge's cost to the words that hold it,
 * and a heap with lazily corrected counts finds the next pair. Ties go to the pair with the lower ids, so that the same text gives the same tokenizer.
 */
import { TrainingError } from '../errors.ts'
import { createByteLevelBpe, splitWords, symbolsOf } from './byte-level-bpe.ts'
import { BASE_VOCABULARY, BPE_SAMPLE_CHARACTERS, BPE_SAMPLE_PIECES, END_OF_TEXT, MAX_TRAINED_VOCABULARY } from './constants.ts'
import type { Tokenizer } from './tokenizer.ts'

/**
 * Trains a tokenizer of `vocabulary` ids: 0-255 are the bytes, then the merges, the end-of-text token last. 257 is the tokenizer of bytes.
 * A text too short for so many merges gives fewer. Reads at most 10 million characters of the texts, spread evenly over them.
 * @throws TrainingError `bad_tokenizer` when the size is below 257 or above 32,768
 */
export function trainByteBpe(texts: Iterable<string>, { vocabulary }: { vocabulary: number }): Tokenizer {
  if (!Number.isInteger(vocabulary) || vocabulary < BASE_VOCABULARY || vocabulary > MAX_TRAINED_VOCABULARY) {
    throw new TrainingError(
      'bad_tokenizer',
      `training a tokenizer of ${vocabulary} ids: must be ${BASE_VOCABULARY} to ${MAX_TRAINED_VOCABULARY}`,
      {
        hint: '257 is bytes alone; 512 to 16384 suit a small model',
        details: { vocabulary }
      }
    )
  }
  const { pieces, merges } = learnMerges(countWords(sample(texts)), vocabulary - 1)
  const added = [{ id: pieces.length, content: END_OF_TEXT }]
  return createByteLevelBpe(merges.length === 0 ? 'bytes' : 'bpe', { pieces, merges, added })
}

/** The tokenizer of bytes: 256 ids and the end of text. */
export function bytesTokenizer(): Tokenizer {
  return trainByteBpe([], { vocabulary: BASE_VOCABULARY })
}

interface Merge {
  left: number
  right: number
  merged: number
}

/** The texts themselves when they are short enough, else evenly spaced pieces of each. */
function* sample(texts: Iterable<string>): Iterable<string> {
  const all = [...texts]
  const characters = all.reduce((sum, text) => sum + text.length, 0)
  if (characters <= BPE_SAMPLE_CHARACTERS) return yield* all
  const stride = Math.ceil(characters / BPE_SAMPLE_PIECES)
  const length = Math.floor(BPE_SAMPLE_CHARACTERS / BPE_SAMPLE_PIECES)
  let before = 0 // characters of the texts already passed
  for (const text of all) {
    for (let at = (stride - (before % stride)) % stride; at < text.length; at += stride) yield text.slice(at, at + length)
    before += text.length
  }
}

function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const text of texts) for (const word of splitWords(text)) counts.set(word, (counts.get(word) ?? 0) + 1)
  return counts
}

function learnMerges(words: Map<string, number>, size: number): { pieces: Uint8Array[]; merges: Merge[] } {
  const pieces: Uint8Array[] = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))
  const merges: Merge[] = []
  if (pieces.length >= size) return { pieces, merges }
  const ids = new Map(pieces.map((piece, id) => [symbolsOf(piece), id]))
  const index = new PairIndex(words, size)
  while (pieces.length < size) {
    const pair = index.mostFrequent()
    if (pair === null) break
    const [left, right] = [pieces[pair.left]!, pieces[pair.right]!]
    const piece = new Uint8Array(left.length + right.length)
    piece.set(left)
    piece.set(right, left.length)
    // Two pairs may spell the same bytes ("ab" + "c", "a" + "bc"): the second then leads to the first one's id.
    const merged = ids.get(symbolsOf(piece)) ?? pieces.push(piece) - 1
    ids.set(symbolsOf(piece), merged)
    merges.push({ ...pair, merged })
    index.merge(pair.left, pair.right, merged)
  }
  return { pieces, merges }
}

/** Words as rows of tokens, with the count and the places of every pair. */
class PairIndex {
  readonly #rows: number[][] = []
  readonly #weights: number[] = []
  readonly #counts = new Map<number, number>()
  readonly #places = new Map<number, Set<number>>()
  readonly #size: number
  readonly #heap: PairHeap

  constructor(words: Map<string, number>, size: number) {
    this.#size = size
    const utf8 = new TextEncoder()
    for (const [word, weight] of words) {
      const row = Array.from(utf8.encode(word.toWellFormed()))
      if (row.length < 2) continue
      const at = this.#rows.push(row) - 1
      this.#weights.push(weight)
      for (let i = 0; i + 1 < row.length; i++) this.#add(this.#key(row[i]!, row[i + 1]!), at, weight)
    }
    this.#heap = new PairHeap()
    for (const [key, count] of this.#counts) this.#heap.push(key, count)
  }

  /** The pair that occurs most, at least twice, or null. */
  mostFrequent(): { left: number; right: number } | null {
    for (let top = this.#heap.pop(); top !== undefined; top = this.#heap.pop()) {
      const count = this.#counts.get(top.key) ?? 0
      if (count < 2) continue
      if (count === top.count) return { left: Math.floor(top.key / this.#size), right: top.key % this.#size }
      if (count < top.count) this.#heap.push(top.key, count) // counted when it was more frequent: in again at its true place
    }
    return null
  }

  merge(left: number, right: number, merged: number): void {
    const key = this.#key(left, right)
    const changed = new Map<number, number>()
    for (const at of this.#places.get(key) ?? []) this.#mergeInRow(at, left, right, merged, changed)
    this.#counts.delete(key)
    this.#places.delete(key)
    for (const [pair, by] of changed) if (by > 0 && pair !== key) this.#heap.push(pair, this.#counts.get(pair)!)
  }

  #mergeInRow(at: number, left: number, right: number, merged: number, changed: Map<number, number>): void {
    const row = this.#rows[at]!
    const weight = this.#weights[at]!
    const after: number[] = []
    for (let i = 0; i < row.length; i++) {
      if (row[i] === left && row[i + 1] === right) {
        after.push(merged)
        i++
      } else after.push(row[i]!)
    }
    if (after.length === row.length) return
    for (let i = 0; i + 1 < row.length; i++) this.#count(this.#key(row[i]!, row[i + 1]!), -weight, changed)
    for (let i = 0; i + 1 < after.length; i++) {
      const pair = this.#key(after[i]!, after[i + 1]!)
      this.#count(pair, weight, changed)
      // Places are never taken back: a row that lost its pair is found unchanged above and costs one look.
      if (after[i] === merged || after[i + 1] === merged) this.#place(pair, at)
    }
    this.#rows[at] = after
  }

  #key(left: number, right: number): number {
    return left * this.#size + right
  }

  #add(key: number, at: number, weight: number): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + weight)
    this.#place(key, at)
  }

  #count(key: number, by: number, changed: Map<number, number>): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + by)
    changed.set(key, (changed.get(key) ?? 0) + by)
  }

  #place(key: number, at: number): void {
    const places = this.#places.get(key)
    if (places === undefined) this.#places.set(key, new Set([at]))
    else places.add(at)
  }
}

/** A binary heap of pairs by count, the lower key first among equals. */
class PairHeap {
  readonly #entries: { key: number; count: number }[] = []

  push(key: number, count: number): void {
    const entries = this.#entries
    let child = entries.push({ key, count }) - 1
    while (child > 0) {
      const parent = (child - 1) >> 1
      if (!before(entries[child]!, entries[parent]!)) return
      ;[entries[parent], entries[child]] = [entries[child]!, entries[parent]!]
      child = parent
    }
  }

  pop(): { key: number; count: number } | undefined {
    const entries = this.#entries
    const top = entries[0]
    const last = entries.pop()
    if (top === undefined || last === undefined || entries.length === 0) return top
    entries[0] = last
    for (let parent = 0; ; ) {
      let least = parent
      for (const child of [2 * parent + 1, 2 * parent + 2])
        if (child < entries.length && before(entries[child]!, entries[least]!)) least = child
      if (least === parent) return top
      ;[entries[parent], entries[least]] = [entries[least]!, entries[parent]!]
      parent = least
    }
  }
}

function before(a: { key: number; count: number }, b: { key: number; count: number }): boolean {
  return a.count > b.count || (a.count === b.count && a.key < b.key)
}
