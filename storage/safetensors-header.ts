// The header of a safetensors file: JSON that names each tensor's dtype, shape and place. Nothing in it is believed before it is checked:
// a file may come from anywhere, and the sizes it claims become allocations.
import {
  SAFETENSORS_DIMENSIONS_MAX,
  SAFETENSORS_HEADER_BYTES_MAX,
  SAFETENSORS_NAME_BYTES_MAX,
  SAFETENSORS_TENSORS_MAX,
  TENSOR_BYTES_MAX
} from './constants.ts'
import { quoted, StorageError, type StorageErrorCode } from './errors.ts'
import { DTYPE_BYTES, type Dtype, type TensorInfo, tensorBytes } from './tensors.ts'

/** Bytes of the little-endian length in front of the header. */
export const LENGTH_BYTES = 8
const METADATA = '__metadata__'

export interface SafetensorsLimits {
  /** @default SAFETENSORS_HEADER_BYTES_MAX (16 MiB) */
  headerBytesMax?: number
  /** @default SAFETENSORS_TENSORS_MAX (200,000) */
  tensorsMax?: number
}

/** A tensor and its place, counted from the end of the header. */
export interface PlacedTensor extends TensorInfo {
  begin: number
  end: number
}

export interface SafetensorsHeader {
  metadata: Record<string, string>
  /** In the order of their places, without holes. */
  tensors: PlacedTensor[]
  /** Where the data begins in the file. */
  dataOffset: number
}

/** How many bytes the header has, from the file's first eight and its size. */
export function headerLength(prefix: Uint8Array, fileBytes: number, limits: SafetensorsLimits = {}): number {
  if (fileBytes < LENGTH_BYTES || prefix.byteLength < LENGTH_BYTES) {
    throw new StorageError(
      'safetensors_truncated',
      `a safetensors file begins with ${LENGTH_BYTES} bytes of length; this one has ${fileBytes}`
    )
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES)
  const length = view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true)
  const limit = limits.headerBytesMax ?? SAFETENSORS_HEADER_BYTES_MAX
  if (length > limit) refuse('safetensors_header', `the header says that it has ${length} bytes; the limit is ${limit}`)
  if (length < 2) refuse('safetensors_header', `the header says that it has ${length} bytes; an empty one has 2`)
  if (LENGTH_BYTES + length > fileBytes) {
    refuse('safetensors_truncated', `the header ends at byte ${LENGTH_BYTES + length}; the file has ${fileBytes}`)
  }
  return length
}

/** Checks a header against the size of its file. */
export function parseHeader(header: Uint8Array, fileBytes: number, limits: SafetensorsLimits = {}): SafetensorsHeader {
  const entries = Object.entries(parseJson(header))
  const tensorsMax = limits.tensorsMax ?? SAFETENSORS_TENSORS_MAX
  if (entries.length > tensorsMax + 1)
    refuse('safetensors_header', `the header names ${entries.length} tensors; the limit is ${tensorsMax}`)
  let metadata: Record<string, string> = {}
  const tensors: PlacedTensor[] = []
  for (const [name, value] of entries) {
    if (name === METADATA) metadata = checkMetadata(value)
    else tensors.push(checkTensor(name, value))
  }
  // A key said twice is silently dropped by JSON.parse, so that two readers could see two files.
  const keys = entries.length + Object.keys(metadata).length + 3 * tensors.length
  if (countKeys(header) !== keys) refuse('safetensors_header', 'the header says a key twice')
  const dataOffset = LENGTH_BYTES + header.byteLength
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end)
  checkPlaces(tensors, fileBytes - dataOffset)
  return { metadata, tensors, dataOffset }
}

/** The first bytes of a file (length and header, padded to 8) and the tensors in the order in which their data must follow. */
export function encodeHeader<T extends TensorInfo>(
  tensors: readonly T[],
  metadata: Record<string, string> = {}
): { bytes: Uint8Array; ordered: T[] } {
  // Wide values first, as the reference implementation does: then every tensor is aligned to its own dtype.
  const ordered = [...tensors].sort((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype])
  const parts = Object.keys(checkMetadata(metadata)).length === 0 ? [] : [`"${METADATA}":${JSON.stringify(metadata)}`]
  let begin = 0
  for (const { name, dtype, shape } of ordered) {
    checkName(name)
    const end = begin + checkSize(name, dtype, shape)
    parts.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`)
    begin = end
  }
  const names = new Set(ordered.map(({ name }) => name))
  if (names.size !== ordered.length) refuse('safetensors_header', 'two tensors have the same name')
  if (ordered.length > SAFETENSORS_TENSORS_MAX) {
    refuse('safetensors_header', `a file holds at most ${SAFETENSORS_TENSORS_MAX} tensors; these are ${ordered.length}`)
  }
  const json = Buffer.from(`{${parts.join(',')}}`)
  const length = Math.ceil(json.byteLength / 8) * 8
  if (length > SAFETENSORS_HEADER_BYTES_MAX) {
    refuse('safetensors_header', `the header would have ${length} bytes; the limit is ${SAFETENSORS_HEADER_BYTES_MAX}`)
  }
  const bytes = new Uint8Array(LENGTH_BYTES + length).fill(0x20)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true)
  bytes.set(json, LENGTH_BYTES)
  return { bytes, ordered }
}

function parseJson(header: Uint8Array): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header))
  } catch (error) {
    throw new StorageError('safetensors_header', 'the header is not JSON in UTF-8', { cause: error })
  }
  return isObject(value) ? value : refuse('safetensors_header', 'the header is not a JSON object')
}

function checkMetadata(value: unknown): Record<string, string> {
  if (!isObject(value) || !Object.values(value).every(text => typeof text === 'string')) {
    refuse('safetensors_header', `${METADATA} must be an object of strings`)
  }
  return value as Record<string, string>
}

function checkTensor(name: string, value: unknown): PlacedTensor {
  checkName(name)
  if (!isObject(value) || Object.keys(value).length !== 3) {
    return refuse('safetensors_header', `${quoted(name)} must have dtype, shape and data_offsets, and no more`)
  }
  const { dtype, shape, data_offsets: offsets } = value
  if (!isCounts(offsets) || offsets.length !== 2) {
    return refuse('safetensors_header', `the data_offsets of ${quoted(name)} must be two whole numbers`)
  }
  const [begin, end] = offsets as [number, number]
  const bytes = checkSize(name, dtype, shape)
  if (end - begin !== bytes) {
    refuse('safetensors_offsets', `${quoted(name)} lies in ${end - begin} bytes; ${dtype} [${shape}] needs ${bytes}`)
  }
  return { name, dtype: dtype as Dtype, shape: shape as number[], begin, end }
}

function checkName(name: string): void {
  const bytes = Buffer.byteLength(name)
  if (bytes === 0 || bytes > SAFETENSORS_NAME_BYTES_MAX || name === METADATA || !name.isWellFormed()) {
    refuse('safetensors_header', `not a tensor's name (1 to ${SAFETENSORS_NAME_BYTES_MAX} bytes of UTF-8): ${quoted(name)}`)
  }
}

/** The bytes that a dtype and a shape need, once both are known to be what they claim. */
function checkSize(name: string, dtype: unknown, shape: unknown): number {
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BYTES, dtype)) {
    return refuse('safetensors_dtype', `${quoted(name)} has an unknown dtype: ${quoted(dtype)}`)
  }
  if (!isCounts(shape) || shape.length > SAFETENSORS_DIMENSIONS_MAX) {
    return refuse('safetensors_header', `the shape of ${quoted(name)} must be at most ${SAFETENSORS_DIMENSIONS_MAX} whole numbers`)
  }
  const bytes = tensorBytes(dtype as Dtype, shape)
  if (bytes === null || bytes > TENSOR_BYTES_MAX) {
    return refuse(
      'safetensors_offsets',
      `${quoted(name)} as ${dtype} [${shape}] is larger than a tensor may be (${TENSOR_BYTES_MAX} bytes)`
    )
  }
  return bytes
}

/** Tensors must lie one behind the other and fill the file: no holes for hidden bytes, no overlap, nothing outside. */
function checkPlaces(tensors: readonly PlacedTensor[], dataBytes: number): void {
  let at = 0
  for (const { name, begin, end } of tensors) {
    if (begin !== at)
      refuse('safetensors_offsets', `${quoted(name)} begins at byte ${begin} of the data; the tensor before it ends at ${at}`)
    at = end
  }
  if (at > dataBytes) refuse('safetensors_truncated', `the tensors need ${at} bytes of data; the file has ${dataBytes}`)
  if (at < dataBytes) refuse('safetensors_offsets', `${dataBytes - at} bytes lie behind the last tensor`)
}

/** Colons outside of strings: one for each key that valid JSON says. */
function countKeys(json: Uint8Array): number {
  let keys = 0
  let inString = false
  for (let i = 0; i < json.length; i++) {
    const byte = json[i]
    if (byte === 0x22) inString = !inString
    else if (byte === 0x5c) i += 1
    else if (byte === 0x3a && !inString) keys += 1
  }
  return keys
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(item => Number.isSafeInteger(item) && item >= 0)
}

function refuse(code: StorageErrorCode, message: string): never {
  throw new StorageError(code, `could not use safetensors: ${message}`)
}
