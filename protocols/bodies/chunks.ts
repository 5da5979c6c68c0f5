// Cuts tensors' bytes into chunks and puts whole bodies into blocks.
import { cidOf, RAW } from '../cids.ts'
import { CHUNK_BYTES } from './constants.ts'
import { type BodyTensor, type EncodedBlock, encodeBodyRoot, encodeStageIndex } from './messages.ts'

export interface TensorBytes {
  name: string
  shape: number[]
  bytes: Uint8Array
}

/** One tensor's chunks (views of `bytes`, not copies) and its line for the stage index. */
export function chunkTensor({ name, shape, bytes }: TensorBytes): { tensor: BodyTensor; blocks: EncodedBlock[] } {
  const blocks: EncodedBlock[] = []
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
    const chunk = bytes.subarray(start, start + CHUNK_BYTES)
    blocks.push({ cid: cidOf(chunk, RAW), bytes: chunk })
  }
  return { tensor: { name, shape, size: bytes.length, chunks: blocks.map(block => block.cid) }, blocks }
}

/** A whole body at once, for bodies that fit in memory: all its blocks, the root's last. */
export function encodeBody(stages: { name: string; tensors: TensorBytes[] }[]): { root: string; blocks: EncodedBlock[] } {
  const blocks: EncodedBlock[] = []
  const entries = stages.map(({ name, tensors }) => {
    const cut = tensors.map(chunkTensor)
    const index = encodeStageIndex({ tensors: cut.map(({ tensor }) => tensor) })
    for (const { blocks: chunks } of cut) blocks.push(...chunks)
    blocks.push(index)
    return { name, index: index.cid }
  })
  const root = encodeBodyRoot({ stages: entries })
  blocks.push(root)
  return { root: root.cid, blocks }
}
