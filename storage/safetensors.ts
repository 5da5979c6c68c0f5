// safetensors files (github.com/huggingface/safetensors): 8 bytes of length, a JSON header, raw little-endian data. Read whole, tensor by tensor,
// or from memory; written tensor by tensor, so that memory holds one of them.
import { type FileHandle, open } from 'node:fs/promises'
import { RESERVED_BYTES } from './constants.ts'
import { fileFailure, StorageError } from './errors.ts'
import { requireRoom } from './free-bytes.ts'
import {
  encodeHeader,
  headerLength,
  LENGTH_BYTES,
  type PlacedTensor,
  parseHeader,
  type SafetensorsHeader,
  type SafetensorsLimits
} from './safetensors-header.ts'
import { type StoredTensor, type TensorInfo, tensorBytes } from './tensors.ts'
import { replaceFile, type WriteFileOptions, writeAll } from './write-file-atomic.ts'

export interface SafetensorsFile {
  metadata: Record<string, string>
  /** In the order of the file's data. */
  tensors: StoredTensor[]
}

/** A tensor whose bytes are made when it is written, so that only one is in memory at a time. */
export interface TensorSource extends TensorInfo {
  read(): Promise<Uint8Array>
}

/** An open file of which one tensor is read at a time. */
export interface OpenSafetensors {
  metadata: Record<string, string>
  /** In the order of the file's data. */
  tensors: TensorInfo[]
  has(name: string): boolean
  /** @throws StorageError `safetensors_missing`; `safetensors_truncated` when the file has shrunk since it was opened */
  read(name: string, options?: { signal?: AbortSignal }): Promise<StoredTensor>
  close(): Promise<void>
}

/**
 * Reads from memory; the tensors share it.
 *
 * @throws StorageError `safetensors_truncated`, `safetensors_header`, `safetensors_offsets`, `safetensors_dtype`
 */
export function readSafetensors(bytes: Uint8Array, limits: SafetensorsLimits = {}): SafetensorsFile {
  const length = headerLength(bytes, bytes.byteLength, limits)
  const { metadata, tensors, dataOffset } = parseHeader(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length), bytes.byteLength, limits)
  return {
    metadata,
    tensors: tensors.map(({ name, dtype, shape, begin, end }) => ({
      name,
      dtype,
      shape,
      bytes: bytes.subarray(dataOffset + begin, dataOffset + end)
    }))
  }
}

/**
 * Reads a whole file into memory, however large: whoever cannot trust its size reads tensor by tensor. Throws as readSafetensors() does, and
 * `file_missing`, `not_permitted`, `io_error`.
 */
export async function readSafetensorsFile(
  path: string,
  limits: SafetensorsLimits & { signal?: AbortSignal } = {}
): Promise<SafetensorsFile> {
  const file = await openSafetensors(path, limits)
  try {
    const tensors: StoredTensor[] = []
    for (const { name } of file.tensors) tensors.push(await file.read(name, { signal: limits.signal }))
    return { metadata: file.metadata, tensors }
  } finally {
    await file.close()
  }
}

/** Reads and checks the header only; the size of the file is not limited. The caller closes it. */
export async function openSafetensors(path: string, limits: SafetensorsLimits = {}): Promise<OpenSafetensors> {
  let handle: FileHandle | undefined
  try {
    handle = await open(path, 'r')
    return openTensors(path, handle, await readHeader(path, handle, limits))
  } catch (error) {
    await handle?.close()
    throw fileFailure('read safetensors', path, named(path, error))
  }
}

/** The bytes of a file; a pure function of its arguments, in the order given but for wide dtypes first. */
export function encodeSafetensors(tensors: readonly StoredTensor[], metadata?: Record<string, string>): Uint8Array {
  const { bytes: header, ordered } = encodeHeader(tensors, metadata)
  for (const tensor of ordered) checkBytes(tensor, tensor.bytes)
  const file = new Uint8Array(header.byteLength + ordered.reduce((sum, { bytes }) => sum + bytes.byteLength, 0))
  file.set(header)
  let offset = header.byteLength
  for (const { bytes } of ordered) {
    file.set(bytes, offset)
    offset += bytes.byteLength
  }
  return file
}

/**
 * Writes encodeSafetensors() to a file in one step (write beside it, fsync, rename), one tensor in memory at a time.
 *
 * @throws StorageError `disk_full` and the others of writeFileAtomic(); `safetensors_header`, `safetensors_offsets` for tensors that cannot be written
 */
export async function writeSafetensorsFile(
  path: string,
  tensors: readonly (StoredTensor | TensorSource)[],
  metadata?: Record<string, string>,
  options: WriteFileOptions = {}
): Promise<void> {
  const bytes = safetensorsBytes(tensors, metadata)
  await requireRoom('write safetensors', path, bytes, RESERVED_BYTES)
  await replaceFile(path, handle => writeTensors(handle, tensors, metadata, options.signal), options)
}

/** How large the file will be. */
export function safetensorsBytes(tensors: readonly TensorInfo[], metadata?: Record<string, string>): number {
  const { bytes, ordered } = encodeHeader(tensors, metadata)
  return ordered.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, shape)!, bytes.byteLength)
}

/** Writes the parts of a file, in order, to an open one. */
export async function writeTensors(
  handle: FileHandle,
  tensors: readonly (StoredTensor | TensorSource)[],
  metadata?: Record<string, string>,
  signal?: AbortSignal
): Promise<void> {
  const { bytes: header, ordered } = encodeHeader(tensors, metadata)
  await writeAll(handle, header, signal)
  for (const tensor of ordered) {
    const bytes = 'bytes' in tensor ? tensor.bytes : await tensor.read()
    checkBytes(tensor, bytes)
    await writeAll(handle, bytes, signal)
  }
}

async function readHeader(path: string, handle: FileHandle, limits: SafetensorsLimits): Promise<SafetensorsHeader> {
  const found = await handle.stat()
  if (!found.isFile()) throw new StorageError('io_error', `could not read safetensors: ${path} is not a file`)
  const length = headerLength(await readExactly(handle, 0, Math.min(LENGTH_BYTES, found.size)), found.size, limits)
  return parseHeader(await readExactly(handle, LENGTH_BYTES, length), found.size, limits)
}

function openTensors(path: string, handle: FileHandle, { metadata, tensors, dataOffset }: SafetensorsHeader): OpenSafetensors {
  const places = new Map<string, PlacedTensor>(tensors.map(tensor => [tensor.name, tensor]))
  return {
    metadata,
    tensors: tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
    has: name => places.has(name),
    read: async (name, options = {}) => {
      options.signal?.throwIfAborted()
      const place = places.get(name)
      if (place === undefined) throw new StorageError('safetensors_missing', `${path} holds no tensor ${JSON.stringify(name)}`)
      const { dtype, shape, begin, end } = place
      try {
        return { name, dtype, shape, bytes: await readExactly(handle, dataOffset + begin, end - begin, options.signal) }
      } catch (error) {
        throw fileFailure(`read tensor ${name}`, path, named(path, error))
      }
    },
    close: () => handle.close()
  }
}

async function readExactly(handle: FileHandle, position: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let offset = 0; offset < length; ) {
    signal?.throwIfAborted()
    const { bytesRead } = await handle.read(bytes, offset, Math.min(length - offset, 64 * 1024 * 1024), position + offset)
    if (bytesRead === 0) {
      throw new StorageError(
        'safetensors_truncated',
        `could not use safetensors: the file ends at byte ${position + offset}, before ${position + length}`
      )
    }
    offset += bytesRead
  }
  return bytes
}

/** Says in which file a header was refused. */
function named(path: string, error: unknown): unknown {
  if (!(error instanceof StorageError) || error.message.includes(path)) return error
  return new StorageError(error.code, `${error.message} (${path})`, {
    hint: error.hint,
    details: { ...error.details, path },
    cause: error.cause
  })
}

function checkBytes({ name, dtype, shape }: TensorInfo, bytes: Uint8Array): void {
  if (bytes.byteLength !== tensorBytes(dtype, shape)) {
    throw new StorageError(
      'safetensors_offsets',
      `could not write ${name}: it has ${bytes.byteLength} bytes; ${dtype} [${shape}] needs ${tensorBytes(dtype, shape)}`
    )
  }
}
