// Small files as a body, so that they travel by blocks like everything else: one stage named `files`, one tensor of bytes for each file.
import { type BodyTensor, decodeBodyRoot, decodeStageIndex, encodeBody } from '../../protocols/bodies/index.ts'
import type { BlockStore } from '../../storage/index.ts'
import { DaemonError } from '../errors.ts'

const STAGE = 'files'

/** Stores files durably and gives the CID that names them together. */
export async function storeFiles(blocks: BlockStore, files: Record<string, Uint8Array>): Promise<string> {
  const tensors = Object.entries(files).map(([name, bytes]) => ({ name, shape: [bytes.length], bytes }))
  const body = encodeBody([{ name: STAGE, tensors }])
  for (const { cid, bytes } of body.blocks) await blocks.put(cid, bytes, { durable: true })
  return body.root
}

/** Reads files whose blocks are all here. @throws DaemonError `block_unavailable`; ProtocolError where the root names no files */
export async function readFiles(blocks: BlockStore, root: string): Promise<Record<string, Uint8Array>> {
  const stage = decodeBodyRoot(await block(blocks, root)).stages.find(({ name }) => name === STAGE)
  if (stage === undefined) throw new DaemonError('manifest_damaged', `${root} names no files`)
  const files: Record<string, Uint8Array> = {}
  for (const tensor of decodeStageIndex(await block(blocks, stage.index)).tensors) files[tensor.name] = await bytesOf(blocks, tensor)
  return files
}

async function bytesOf(blocks: BlockStore, tensor: BodyTensor): Promise<Uint8Array> {
  return Buffer.concat(await Promise.all(tensor.chunks.map(chunk => block(blocks, chunk))))
}

async function block(blocks: BlockStore, cid: string): Promise<Uint8Array> {
  const bytes = await blocks.get(cid)
  if (bytes === undefined) throw new DaemonError('block_unavailable', `Block ${cid} is not here`)
  return bytes
}
