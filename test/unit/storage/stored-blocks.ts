// Blocks for tests: put under the CIDs that the network gives them, and counted.
import * as dagCbor from '@ipld/dag-cbor'
import { cidOf, DAG_CBOR, RAW } from '../../../protocols/cids.ts'
import type { BlockStore, PutOptions } from '../../../storage/index.ts'

/** @returns their CID */
export async function putRaw(blocks: BlockStore, bytes: Uint8Array, options?: PutOptions): Promise<string> {
  const cid = cidOf(bytes, RAW)
  await blocks.put(cid, bytes, options)
  return cid
}

/** @returns its CID */
export async function putCbor(blocks: BlockStore, value: unknown): Promise<string> {
  const bytes = dagCbor.encode(value)
  const cid = cidOf(bytes, DAG_CBOR)
  await blocks.put(cid, bytes)
  return cid
}

export async function countBlocks(blocks: BlockStore): Promise<number> {
  let count = 0
  for await (const _ of blocks.list()) count += 1
  return count
}
