// Anchors to safetensors files and back: for trainers, checkpoints and a run's genesis.
import { floatsOf, openSafetensors, type StoredTensor, storedTensor, type TensorSource } from '../../storage/index.ts'
import { createCodec } from '../../training/compression/index.ts'
import { createOuterStrategy } from '../../training/outer/index.ts'
import { DaemonError } from '../errors.ts'
import { anchorCodec, anchorLayout, stateTensorName, valuesIn } from './anchor-layout.ts'
import { type BlockSource, openBody, TensorReader } from './body-reader.ts'
import { type BlockSink, BodyWriter } from './body-writer.ts'
import type { AnchorToSafetensorsRequest, BodyToSafetensorsRequest, SafetensorsToAnchorRequest, WrittenAnchor } from './calls.ts'
import { sliceLengths } from './slices.ts'
import { writeTensors } from './write-tensors.ts'

/** @throws ProtocolError block_missing, bad_message; DaemonError bad_anchor; StorageError disk_full ... */
export async function anchorToSafetensors(
  { blocks }: { blocks: BlockSource },
  { anchor, file, outerState, metadata }: AnchorToSafetensorsRequest,
  signal?: AbortSignal
): Promise<{ bytes: number }> {
  let bytes = 0
  const sources: TensorSource[] = []
  for (const { tensors } of anchorLayout(await openBody(blocks, anchor))) {
    const state = tensors.flatMap(tensor => (outerState === true ? Object.values(tensor.state) : []))
    for (const tensor of [...tensors.map(({ trainable }) => trainable), ...state]) {
      bytes += tensor.size
      const read = () => new TensorReader(blocks, tensor).take(tensor.size)
      sources.push({ name: tensor.name, shape: tensor.shape, dtype: 'F32', read })
    }
  }
  await writeTensors(file, sources, metadata, signal)
  return { bytes }
}

/**
 * What a contribution changed, as everybody decodes it.
 * @throws ProtocolError block_missing, bad_message; TrainingError bad_codec_bytes; StorageError disk_full ...
 */
export async function bodyToSafetensors(
  { blocks }: { blocks: BlockSource },
  { body, codec: spec, file }: BodyToSafetensorsRequest,
  signal?: AbortSignal
): Promise<{ bytes: number }> {
  const codec = createCodec(spec)
  const tensors = (await openBody(blocks, body)).flatMap(stage => stage.tensors)
  const sources = tensors.map((tensor): TensorSource => {
    const read = async () => {
      const values = codec.decode(await new TensorReader(blocks, tensor).take(tensor.size), tensor.shape)
      return storedTensor(tensor.name, tensor.shape, values).bytes
    }
    return { name: tensor.name, shape: tensor.shape, dtype: 'F32', read }
  })
  await writeTensors(file, sources, undefined, signal)
  return { bytes: tensors.reduce((sum, { shape }) => sum + anchorCodec.maxBytes(valuesIn(shape)), 0) }
}

/** Where a genesis comes from: a file or memory. */
interface TensorStore {
  has(name: string): boolean
  read(name: string): Promise<StoredTensor>
}

/**
 * The same tensors give the same CID, whether they come from a file or from memory.
 * @throws StorageError safetensors_missing ...; TrainingError non_finite; DaemonError genesis_unusable (no tensors given)
 */
export async function safetensorsToAnchor(
  { blocks }: { blocks: BlockSink },
  { file, tensors, stages, strategy: spec }: SafetensorsToAnchorRequest,
  signal?: AbortSignal
): Promise<WrittenAnchor> {
  const { stateNames } = createOuterStrategy(spec)
  const writer = new BodyWriter(blocks)
  const opened = file === undefined ? null : await openSafetensors(file)
  const source: TensorStore = opened ?? tensorsInMemory(tensors ?? [])
  try {
    for (const stage of stages) {
      const trainable = []
      const state = []
      for (const name of stage.tensors) {
        const tensor = await source.read(name)
        trainable.push(await writeTensor(writer, name, tensor.shape, floatsOf(tensor), signal))
        for (const stateName of stateNames) {
          const stateTensor = stateTensorName(stateName, name)
          const values = source.has(stateTensor) ? floatsOf(await source.read(stateTensor)) : new Float32Array(valuesIn(tensor.shape))
          state.push(await writeTensor(writer, stateTensor, tensor.shape, values, signal))
        }
      }
      await writer.stage(stage.name, [...trainable, ...state])
    }
    const { root, ...written } = await writer.finish()
    return { anchor: root, ...written }
  } catch (error) {
    await writer.abandon()
    throw error
  } finally {
    await opened?.close()
  }
}

async function writeTensor(writer: BodyWriter, name: string, shape: readonly number[], values: Float32Array, signal?: AbortSignal) {
  if (values.length !== valuesIn(shape))
    throw new DaemonError('genesis_unusable', `cannot use ${name} of ${values.length} values: its tensor is [${shape}]`)
  const tensor = writer.tensor(name, shape, anchorCodec.maxBytes(values.length))
  let start = 0
  for (const count of sliceLengths(values.length)) {
    signal?.throwIfAborted()
    await tensor.write(anchorCodec.encode(values.subarray(start, start + count), [count]))
    start += count
  }
  return tensor.finish()
}

function tensorsInMemory(tensors: readonly { name: string; shape: number[]; values: Float32Array }[]): TensorStore {
  const byName = new Map(tensors.map(tensor => [tensor.name, tensor]))
  return {
    has: name => byName.has(name),
    read: async name => {
      const tensor = byName.get(name)
      if (tensor === undefined)
        throw new DaemonError('genesis_unusable', `cannot make an anchor: no tensor ${JSON.stringify(name)} was given`)
      return storedTensor(name, tensor.shape, tensor.values)
    }
  }
}
