// Codec `topk`: of each block of values in flat order, the k of largest magnitude; the rest is left to the residual. After SparseLoCo (2508.15706), whose
// 2-D tensors are cut into 64 x 64 tiles instead, whose values take 2 bits and whose carried error decays; here the error is carried whole.
// Bytes of a block of n values: k = max(1, ceil(density x n)) indices, 2 bytes little-endian, strictly increasing, below n; then their k values as
// f32 (4 bytes), f16 (2 bytes) or int8 (one scale, then k codes). Of equal magnitudes the lower index is kept. The last block may be short.
import { TrainingError } from '../errors.ts'
import type { Codec } from './codec.ts'
import { TOPK_BLOCK_VALUES, TOPK_DENSITY, TOPK_VALUE } from './constants.ts'
import { checkCount, nonFinite, valuesFor } from './counting.ts'
import { float16Codec } from './float16.ts'
import { float32Codec } from './float32.ts'
import { createInt8Codec } from './int8.ts'

const INDEX_BYTES = 2
/** Magnitudes as 31-bit integers are sorted by their top 11 bits first. */
const BIN_SHIFT = 20
const BINS = 2048

export function createTopKCodec(density: number, blockValues: number, value: 'f32' | 'f16' | 'int8'): Codec {
  const usual = density === TOPK_DENSITY && blockValues === TOPK_BLOCK_VALUES && value === TOPK_VALUE
  const name = usual ? 'topk' : `topk/${density}/${blockValues}/${value}`
  const kept = (count: number): number => (count === 0 ? 0 : Math.max(1, Math.ceil(density * count)))
  // A whole block's k values share one scale under int8.
  const valueCodec = value === 'f32' ? float32Codec : value === 'f16' ? float16Codec : createInt8Codec(blockValues)
  const blockBytes = (count: number): number => INDEX_BYTES * kept(count) + valueCodec.maxBytes(kept(count))
  const maxBytes = (count: number): number => Math.floor(count / blockValues) * blockBytes(blockValues) + blockBytes(count % blockValues)
  return {
    name,
    lossless: false,
    blockValues,
    maxBytes,
    encode(values, shape) {
      checkCount(values, shape)
      const bytes = new Uint8Array(maxBytes(values.length))
      const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
      const search = createSearch(blockValues)
      const chosen = new Float32Array(kept(blockValues))
      for (let start = 0, at = 0; start < values.length; start += blockValues) {
        const end = Math.min(start + blockValues, values.length)
        const k = kept(end - start)
        const threshold = findThreshold(bits, start, end, k, search)
        if (threshold >= 0x7f800000) throw nonFinite('encode as topk', start)
        writeIndices(bits, start, end, threshold, search.ties, bytes, at)
        gather(values, start, bytes, at, chosen, k)
        at += INDEX_BYTES * k
        const coded = valueCodec.encode(chosen.subarray(0, k), [k])
        bytes.set(coded, at)
        at += coded.byteLength
      }
      return bytes
    },
    decode(bytes, shape) {
      const values = valuesFor(name, bytes, shape, maxBytes)
      for (let start = 0, at = 0; start < values.length; start += blockValues) {
        const count = Math.min(blockValues, values.length - start)
        const k = kept(count)
        const indexAt = at
        at += INDEX_BYTES * k
        const size = valueCodec.maxBytes(k)
        const chosen = valueCodec.decode(bytes.subarray(at, at + size), [k])
        at += size
        if (!scatter(bytes, indexAt, chosen, values, start, count))
          throw new TrainingError(
            'bad_codec_bytes',
            `cannot decode ${name}: indices in the block at value ${start} do not increase below ${count}`
          )
      }
      return values
    }
  }
}

interface Search {
  bins: Uint32Array
  candidates: Uint32Array
  /** How many values of exactly the threshold are kept. */
  ties: number
}

function createSearch(blockValues: number): Search {
  return { bins: new Uint32Array(BINS), candidates: new Uint32Array(blockValues), ties: 0 }
}

/**
 * The k-th largest magnitude of bits[start, end) as a 31-bit integer (for finite f32 the integer order is the order of magnitudes).
 * Where a value is not finite, that value's bits: it is larger than all the others and must not be lost among those left out.
 */
function findThreshold(bits: Uint32Array, start: number, end: number, k: number, search: Search): number {
  const { bins, candidates } = search
  bins.fill(0)
  let largest = 0
  for (let i = start; i < end; i++) {
    const magnitude = bits[i]! & 0x7fffffff
    if (magnitude > largest) largest = magnitude
    bins[magnitude >>> BIN_SHIFT]!++
  }
  if (largest >= 0x7f800000) return largest
  let bin = largest >>> BIN_SHIFT
  let above = 0
  while (above + bins[bin]! < k) above += bins[bin--]!
  let length = 0
  for (let i = start; i < end; i++) {
    const magnitude = bits[i]! & 0x7fffffff
    if (magnitude >>> BIN_SHIFT === bin) candidates[length++] = magnitude
  }
  const sorted = candidates.subarray(0, length).sort()
  const place = length - (k - above)
  const threshold = sorted[place]!
  search.ties = 1
  while (place + search.ties < length && sorted[place + search.ties] === threshold) search.ties++
  return threshold
}

function writeIndices(bits: Uint32Array, start: number, end: number, threshold: number, ties: number, bytes: Uint8Array, at: number): void {
  let left = ties
  for (let i = start; i < end; i++) {
    const magnitude = bits[i]! & 0x7fffffff
    if (magnitude < threshold || (magnitude === threshold && left-- <= 0)) continue
    const index = i - start
    bytes[at++] = index & 0xff
    bytes[at++] = index >>> 8
  }
}

function gather(values: Float32Array, start: number, bytes: Uint8Array, at: number, chosen: Float32Array, k: number): void {
  for (let i = 0; i < k; i++) chosen[i] = values[start + (bytes[at + 2 * i]! | (bytes[at + 2 * i + 1]! << 8))]!
}

/** False where an index does not increase or is out of range. */
function scatter(bytes: Uint8Array, at: number, chosen: Float32Array, values: Float32Array, start: number, count: number): boolean {
  let last = -1
  for (let i = 0; i < chosen.length; i++) {
    const index = bytes[at + 2 * i]! | (bytes[at + 2 * i + 1]! << 8)
    if (index <= last || index >= count) return false
    values[start + index] = chosen[i]!
    last = index
  }
  return true
}
