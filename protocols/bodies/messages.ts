// The two index blocks of a body as bytes: the root names the stages, a stage block names its tensors' chunks.
import * as dagCbor from '@ipld/dag-cbor'
import { cidOf, cidText, DAG_CBOR, parseCid, RAW } from '../cids.ts'
import { decodeCbor } from '../decode-cbor.ts'
import { ProtocolError } from '../errors.ts'
import { versionText } from '../versions.ts'
import {
  BODY_VERSION,
  CHUNK_BYTES,
  MAX_DIMENSIONS,
  MAX_INDEX_BYTES,
  MAX_NAME_LENGTH,
  MAX_STAGES,
  MAX_TENSOR_BYTES,
  MAX_TENSORS
} from './constants.ts'

/** A block as made here: its name and its bytes. */
export interface EncodedBlock {
  cid: string
  bytes: Uint8Array
}

/** "My body has these stages; each one's index block is named here." */
export interface BodyRoot {
  stages: { name: string; index: string }[]
}

/** "This stage has these tensors; their bytes are these chunks, in order." `size` counts bytes. */
export interface StageIndex {
  tensors: BodyTensor[]
}

export interface BodyTensor {
  name: string
  shape: number[]
  size: number
  chunks: string[]
}

export function encodeBodyRoot(root: BodyRoot): EncodedBlock {
  return indexBlock({ v: BODY_VERSION, stages: root.stages.map(({ name, index }) => ({ name, index: parseCid(index) })) })
}

/** @throws ProtocolError bad_message | message_too_large */
export function decodeBodyRoot(bytes: Uint8Array): BodyRoot {
  const stages = listOf(decodeIndex(bytes, 'a body root').stages, 'stages', MAX_STAGES).map(entry => ({
    name: nameOf(entry.name),
    index: cidText(entry.index, DAG_CBOR)
  }))
  distinct(stages.map(stage => stage.name))
  return { stages }
}

export function encodeStageIndex(index: StageIndex): EncodedBlock {
  return indexBlock({
    v: BODY_VERSION,
    tensors: index.tensors.map(({ name, shape, size, chunks }) => ({ name, shape, size, chunks: chunks.map(parseCid) }))
  })
}

/** @throws ProtocolError bad_message | message_too_large */
export function decodeStageIndex(bytes: Uint8Array): StageIndex {
  const tensors = listOf(decodeIndex(bytes, 'a stage index').tensors, 'tensors', MAX_TENSORS).map(tensorOf)
  distinct(tensors.map(tensor => tensor.name))
  return { tensors }
}

function tensorOf(entry: Record<string, unknown>): BodyTensor {
  const name = nameOf(entry.name)
  const size = integerOf(entry.size, `size of ${name}`, MAX_TENSOR_BYTES)
  if (!Array.isArray(entry.shape) || entry.shape.length > MAX_DIMENSIONS) throw wrong(`shape of ${name} is not a list of at most 8 numbers`)
  const shape = entry.shape.map(dimension => integerOf(dimension, `a dimension of ${name}`, MAX_TENSOR_BYTES))
  if (!Array.isArray(entry.chunks) || entry.chunks.length !== chunkCount(size)) {
    throw wrong(`${name} of ${size} bytes must have ${chunkCount(size)} chunks`)
  }
  return { name, shape, size, chunks: entry.chunks.map(chunk => cidText(chunk, RAW)) }
}

/** How many chunks `size` bytes are cut into. */
export function chunkCount(size: number): number {
  return Math.ceil(size / CHUNK_BYTES)
}

/** Bytes of the chunk at `index` of a tensor of `size` bytes. */
export function chunkLength(size: number, index: number): number {
  return Math.min(CHUNK_BYTES, size - index * CHUNK_BYTES)
}

function indexBlock(value: unknown): EncodedBlock {
  const bytes = dagCbor.encode(value)
  if (bytes.length > MAX_INDEX_BYTES) {
    throw new ProtocolError('message_too_large', `cannot encode an index of ${bytes.length} bytes: at most ${MAX_INDEX_BYTES} are allowed`)
  }
  return { cid: cidOf(bytes, DAG_CBOR), bytes }
}

function decodeIndex(bytes: Uint8Array, what: string): Record<string, unknown> {
  if (bytes.length > MAX_INDEX_BYTES) {
    throw new ProtocolError('message_too_large', `cannot decode ${what} of ${bytes.length} bytes: at most ${MAX_INDEX_BYTES} are allowed`)
  }
  const record = recordOf(decodeCbor(what, bytes), what)
  if (record.v !== BODY_VERSION) throw wrong(`${what} has version ${versionText(record.v)}, this node reads ${BODY_VERSION}`)
  return record
}

function listOf(value: unknown, what: string, limit: number): Record<string, unknown>[] {
  if (!Array.isArray(value) || value.length > limit) throw wrong(`${what} is not a list of at most ${limit}`)
  return value.map(entry => recordOf(entry, what))
}

function recordOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(`${what} is not a map`)
  return value as Record<string, unknown>
}

function nameOf(value: unknown): string {
  if (typeof value !== 'string' || value.length === 0 || value.length > MAX_NAME_LENGTH) {
    throw wrong(`a name is not text of 1 to ${MAX_NAME_LENGTH} characters`)
  }
  return value
}

function integerOf(value: unknown, what: string, limit: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > limit) {
    throw wrong(`${what} is not a whole number from 0 to ${limit}`)
  }
  return value
}

function distinct(names: string[]): void {
  if (new Set(names).size !== names.length) throw wrong('a name stands twice')
}

function wrong(why: string): ProtocolError {
  return new ProtocolError('bad_message', `cannot take a body index: ${why}`)
}
