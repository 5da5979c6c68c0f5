// Walks a body from its root: which blocks it consists of, and fetching them level by level (root, stage indexes, chunks).
import { ProtocolError } from '../errors.ts'
import { INDEX_ALLOWANCE_BYTES, MAX_BODY_INDEX_BYTES, MAX_BODY_TENSORS, MAX_INDEX_BYTES } from './constants.ts'
import { type BodyTensor, chunkLength, decodeBodyRoot, decodeStageIndex } from './messages.ts'

/** Answers undefined for a block that is not here. */
export type GetBlock = (cid: string) => Promise<Uint8Array | undefined>

/** Makes blocks be here, from whoever has them; gives those that could not be had. Where `lengths` says how long each is to be, no other length may be stored. */
export type FetchBlocks = (cids: string[], lengths?: ReadonlyMap<string, number>) => Promise<{ missing: string[] }>

export interface WalkOptions {
  /** Only these stages. @default all */
  stages?: string[]
}

/**
 * Every block of a body, each once: the root, its stage indexes, their chunks. Blocks that are not here end the walk at that branch and are
 * named in `missing`; chunks are listed, not looked for.
 *
 * @throws ProtocolError bad_message: an index block is not what it must be; message_too_large: nobody would fetch it
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
  const weight = new Weight(root, Number.POSITIVE_INFINITY)
  // A root of 240 KB can name one index as each of its 4,096 stages; to read a large one takes a fifth of a second.
  for (const index of new Set(wanted(rootBytes, options).map(stage => stage.index))) {
    blocks.add(index)
    const bytes = await get(index)
    if (bytes === undefined) {
      missing.push(index)
      continue
    }
    weight.addIndex(bytes.length)
    for (const tensor of decodeStageIndex(bytes).tensors) {
      weight.addTensor(tensor.size)
      for (const chunk of tensor.chunks) blocks.add(chunk)
    }
  }
  return { blocks: [...blocks], missing }
}

/**
 * Fetches a body in three round trips, each of all its blocks at once; more where its stages are so many that their indexes may not be asked for in one.
 * Blocks that are here already cost nothing (fetch skips them), so a fetch that broke off goes on where it stood.
 *
 * @param totalBytesMax what the body may weigh; a larger one is refused before its chunks are asked for, and before indexes are that go beyond it
 * @throws ProtocolError bad_message | message_too_large, and what `fetch` throws
 */
export async function fetchBody(
  root: string,
  { get, fetch }: { get: GetBlock; fetch: FetchBlocks },
  options: WalkOptions & { totalBytesMax?: number } = {}
): Promise<{ missing: string[] }> {
  const first = await fetch([root])
  if (first.missing.length > 0) return first
  const stages = wanted(await here(root, get), options)
  const weight = new Weight(root, options.totalBytesMax ?? Number.POSITIVE_INFINITY)
  const lengths = new Map<string, number>()
  for (let from = 0; from < stages.length; ) {
    const some = stages.slice(from, from + weight.indexesLeft)
    from += some.length
    const { missing } = await fetch(some.map(stage => stage.index))
    if (missing.length > 0) return { missing }
    for (const stage of some) {
      const bytes = await here(stage.index, get)
      weight.addIndex(bytes.length)
      for (const tensor of decodeStageIndex(bytes).tensors) {
        weight.addTensor(tensor.size)
        addLengths(lengths, tensor)
      }
    }
  }
  // What a body was weighed by is what it says of itself: its chunks are held to it as they come.
  return await fetch([...lengths.keys()], lengths)
}

function addLengths(lengths: Map<string, number>, tensor: BodyTensor): void {
  for (const [index, chunk] of tensor.chunks.entries()) {
    const length = chunkLength(tensor.size, index)
    if ((lengths.get(chunk) ?? length) !== length) {
      throw new ProtocolError(
        'bad_message',
        `cannot take a body that says of chunk ${chunk} that it has ${lengths.get(chunk)} bytes, and ${length}`
      )
    }
    lengths.set(chunk, length)
  }
}

/** What a body has turned out to weigh so far. Its methods throw ProtocolError message_too_large as soon as that is too much. */
class Weight {
  readonly #root: string
  readonly #totalBytesMax: number
  readonly #indexBytesMax: number
  #indexBytes = 0
  #bytes = 0
  #tensors = 0

  constructor(root: string, totalBytesMax: number) {
    this.#root = root
    this.#totalBytesMax = totalBytesMax
    this.#indexBytesMax = Math.min(MAX_BODY_INDEX_BYTES, INDEX_ALLOWANCE_BYTES + totalBytesMax)
  }

  /** How many more indexes may be asked for, were each as large as may be; always one. */
  get indexesLeft(): number {
    return Math.max(1, Math.floor((this.#indexBytesMax - this.#indexBytes) / MAX_INDEX_BYTES))
  }

  /** An index that many stages share counts for each: it is read as often. */
  addIndex(bytes: number): void {
    this.#indexBytes += bytes
    this.#check(this.#indexBytes, this.#indexBytesMax, 'bytes of indexes')
  }

  addTensor(bytes: number): void {
    this.#tensors += 1
    this.#bytes += bytes
    this.#check(this.#tensors, MAX_BODY_TENSORS, 'tensors')
    this.#check(this.#bytes, this.#totalBytesMax, 'bytes')
  }

  #check(count: number, limit: number, what: string): void {
    if (count <= limit) return
    throw new ProtocolError('message_too_large', `cannot take body ${this.#root} of ${count} ${what} or more: at most ${limit} are allowed`)
  }
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
