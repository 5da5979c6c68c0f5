// Walks a body from its root: which blocks it consists of, and fetching them level by level (root, stage indexes, chunks).
import { ProtocolError } from '../errors.ts'
import { decodeBodyRoot, decodeStageIndex } from './messages.ts'

/** Answers undefined for a block that is not here. */
export type GetBlock = (cid: string) => Promise<Uint8Array | undefined>

/** Makes blocks be here, from whoever has them; gives those that could not be had. */
export type FetchBlocks = (cids: string[]) => Promise<{ missing: string[] }>

export interface WalkOptions {
  /** Only these stages. @default all */
  stages?: string[]
}

/**
 * Every block of a body, each once: the root, its stage indexes, their chunks. Blocks that are not here end the walk at that branch and are
 * named in `missing`; chunks are listed, not looked for.
 *
 * @throws ProtocolError bad_message: an index block is not what it must be
 */
export async function listBodyBlocks(
  root: string,
  get: GetBlock,
  options: WalkOptions = {}
): Promise<{ blocks: string[]; missing: string[] }> {
  const rootBytes = await get(root)
  if (rootBytes === undefined) return { blocks: [root], missing: [root] }
  const blocks = new Set([root])
  const missing: string[] = []
  for (const stage of wanted(rootBytes, options)) {
    blocks.add(stage.index)
    const bytes = await get(stage.index)
    if (bytes === undefined) {
      missing.push(stage.index)
      continue
    }
    for (const tensor of decodeStageIndex(bytes).tensors) for (const chunk of tensor.chunks) blocks.add(chunk)
  }
  return { blocks: [...blocks], missing }
}

/**
 * Fetches a body in three round trips, each of all its blocks at once. Blocks that are here already cost nothing (fetch skips them), so a
 * fetch that broke off goes on where it stood.
 *
 * @param totalBytesMax what the body may weigh, chunks only; a larger one is refused before its chunks are asked for
 * @throws ProtocolError bad_message | message_too_large
 */
export async function fetchBody(
  root: string,
  { get, fetch }: { get: GetBlock; fetch: FetchBlocks },
  options: WalkOptions & { totalBytesMax?: number } = {}
): Promise<{ missing: string[] }> {
  const first = await fetch([root])
  if (first.missing.length > 0) return first
  const stages = wanted(await here(root, get), options)
  const second = await fetch(stages.map(stage => stage.index))
  if (second.missing.length > 0) return second
  const chunks = new Set<string>()
  let bytes = 0
  for (const stage of stages) {
    for (const tensor of decodeStageIndex(await here(stage.index, get)).tensors) {
      bytes += tensor.size
      for (const chunk of tensor.chunks) chunks.add(chunk)
    }
  }
  if (bytes > (options.totalBytesMax ?? Number.POSITIVE_INFINITY)) {
    throw new ProtocolError(
      'message_too_large',
      `cannot fetch body ${root} of ${bytes} bytes: at most ${options.totalBytesMax} are allowed`
    )
  }
  return await fetch([...chunks])
}

function wanted(rootBytes: Uint8Array, { stages }: WalkOptions) {
  const all = decodeBodyRoot(rootBytes).stages
  return stages === undefined ? all : all.filter(stage => stages.includes(stage.name))
}

async function here(cid: string, get: GetBlock): Promise<Uint8Array> {
  const bytes = await get(cid)
  if (bytes === undefined) throw new ProtocolError('block_missing', `cannot read block ${cid}: it was fetched, but is not in the store`)
  return bytes
}
