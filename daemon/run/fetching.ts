// Gets what a round needs from whoever has it: signed blocks, whole bodies, anchors. Everything is named by its hash, so anybody may send it.

import { INDEX_ALLOWANCE_BYTES } from '../../protocols/bodies/constants.ts'
import { decodeBodyRoot, decodeStageIndex, fetchBody, listBodyBlocks } from '../../protocols/bodies/index.ts'
import { ProtocolError } from '../../protocols/errors.ts'
import { MAX_GOSSIP_BYTES } from '../../protocols/frame-stream.ts'
import { type BlockStore, checkHash } from '../../storage/index.ts'
import { DaemonError } from '../errors.ts'

/** What this needs of the block exchange. */
export interface Exchange {
  fetch(
    cids: string[],
    from: () => string[],
    options: {
      signal: AbortSignal
      timeoutMs?: number
      holders?: readonly string[]
      put?: (cid: string, bytes: Uint8Array) => Promise<void>
    }
  ): Promise<{ missing: string[] }>
}

export interface FetchOptions {
  /** Peers that may have it, asked for anew whenever one fails. */
  from: () => string[]
  /** Those of them that said that they have it. */
  holders?: readonly string[]
  signal: AbortSignal
  timeoutMs: number
  /** What a body may weigh, so that a lying index cannot fill the disk; chunks are held to the lengths by which it was weighed. */
  totalBytesMax?: number
  /** Told which blocks of a body are looked for next, and resolves when none of them is about to be deleted. */
  onNamed?: (cids: readonly string[]) => Promise<void>
  /** Told which of those are not here, before they are asked for, and again when nothing more of them comes. */
  onAbsent?: (cids: readonly string[]) => void
}

/** Time limits for one list of blocks: a peer that gives one block in each holds nobody up for ever. */
const MAX_TURNS = 20

/** Indexes of a body of which nothing is known that are fetched at once: 16 MiB of the largest. */
const INDEXES_AT_ONCE = 16
/** Signed blocks that are fetched at once. */
const PAGE_BLOCKS = 1_024
/** Bytes of those: a contribution has some 500, and nobody fills memory with pages of the largest. */
export const MAX_PAGE_BYTES = 4 * 1024 ** 2

/** Fetches blocks and bodies into this node's store. */
export class Fetcher {
  readonly #exchange: Exchange
  readonly #blocks: BlockStore

  constructor(exchange: Exchange, blocks: BlockStore) {
    this.#exchange = exchange
    this.#blocks = blocks
  }

  /** @throws DaemonError `block_unavailable` where nobody reachable had it in time */
  async block(cid: string, options: FetchOptions): Promise<Uint8Array> {
    const held = await this.#blocks.get(cid)
    if (held !== undefined) return held
    const startedMs = performance.now()
    await this.blocks([cid], options)
    const bytes = await this.#blocks.get(cid)
    return hadIn(cid, bytes, startedMs)
  }

  /**
   * Makes as many of these blocks be here as anybody has; which are missing is seen where they are opened.
   * Goes on as long as each time limit brings some: hundreds of envelopes from a busy peer take many, and one by one they would take more.
   */
  async blocks(cids: string[], options: FetchOptions): Promise<void> {
    await options.onNamed?.(cids)
    const absent = await this.#absent(cids)
    options.onAbsent?.(absent)
    try {
      await this.#inTurns(absent, options)
    } finally {
      options.onAbsent?.(absent)
    }
  }

  /** The bytes of a signed block, from here or from others; see `signedBlocks`. @throws DaemonError `block_unavailable`; ProtocolError message_too_large */
  async signed(cid: string, options: FetchOptions): Promise<Uint8Array> {
    const startedMs = performance.now()
    const bytes = (await this.signedBlocks([cid], options)).get(cid)
    return hadIn(cid, bytes, startedMs)
  }

  /**
   * As many of these as anybody has, by their CIDs. Nothing is stored: anybody may name anything as a record or a contribution, and what is no such thing is to leave no trace.
   *
   * @throws ProtocolError message_too_large where one is larger than what is signed may be, or all are: those that lie here too, since a thousand chunks of an anchor may be named
   */
  async signedBlocks(cids: readonly string[], options: FetchOptions): Promise<Map<string, Uint8Array>> {
    const found = new Map<string, Uint8Array>()
    let total = 0
    const take = (cid: string, bytes: Uint8Array): void => {
      if (bytes.length > MAX_GOSSIP_BYTES) throw tooLarge(`${cid} of ${bytes.length} bytes as a signed block`, MAX_GOSSIP_BYTES)
      total += bytes.length
      if (total > MAX_PAGE_BYTES) throw tooLarge(`${cids.length} signed blocks of ${total} bytes`, MAX_PAGE_BYTES)
      found.set(cid, bytes)
    }
    const look = async (cid: string): Promise<void> => {
      const held = await this.#blocks.get(cid)
      if (held !== undefined) take(cid, held)
    }
    await Promise.all(cids.map(look))
    const absent = [...new Set(cids)].filter(cid => !found.has(cid))
    await this.#inTurns(absent, options, async (cid, bytes) => {
      checkHash(cid, bytes)
      take(cid, bytes)
    })
    // What came by another way meanwhile was not asked for.
    await Promise.all(absent.filter(cid => !found.has(cid)).map(look))
    return found
  }

  async #inTurns(
    cids: string[],
    { from, holders, signal, timeoutMs }: FetchOptions,
    put?: (cid: string, bytes: Uint8Array) => Promise<void>
  ): Promise<void> {
    for (let wanted = cids, turn = 0; turn < MAX_TURNS && wanted.length > 0; turn++) {
      const { missing } = await this.#exchange.fetch(wanted, from, { holders, signal, timeoutMs, ...(put === undefined ? {} : { put }) })
      if (missing.length === 0 || missing.length === wanted.length) return
      wanted = missing
    }
  }

  /** Makes every block of a body be here. @throws DaemonError `block_unavailable`; ProtocolError for an index that is not one */
  async body(root: string, options: FetchOptions): Promise<void> {
    const startedMs = performance.now()
    const untilMs = startedMs + options.timeoutMs
    // Its index first, then what that names: together they have the time of one.
    const fetchBlocks = async (cids: string[], lengths?: ReadonlyMap<string, number>) => {
      await options.onNamed?.(cids)
      const absent = options.onAbsent === undefined ? [] : await this.#absent(cids)
      options.onAbsent?.(absent)
      const timeoutMs = Math.max(1, Math.ceil(untilMs - performance.now()))
      try {
        return await this.#exchange.fetch(cids, options.from, {
          holders: options.holders,
          signal: options.signal,
          timeoutMs,
          ...(lengths === undefined ? {} : { put: (cid, bytes) => this.#putOfLength(cid, bytes, lengths.get(cid)!) })
        })
      } finally {
        options.onAbsent?.(absent)
      }
    }
    const { missing } = await fetchBody(
      root,
      { get: cid => this.#blocks.get(cid), fetch: fetchBlocks },
      { totalBytesMax: options.totalBytesMax }
    )
    if (missing.length > 0) {
      throw new DaemonError(
        'block_unavailable',
        `Nobody reachable gave ${missing.length} blocks of body ${root} in ${msSince(startedMs)} ms`
      )
    }
  }

  /** Who sends what the name names is no liar, whoever says that it has another length. */
  async #putOfLength(cid: string, bytes: Uint8Array, length: number): Promise<void> {
    if (bytes.length !== length) {
      checkHash(cid, bytes)
      throw new ProtocolError('bad_message', `cannot take chunk ${cid} of ${bytes.length} bytes: its body says that it has ${length}`)
    }
    await this.#blocks.put(cid, bytes)
  }

  /** The same for as long as each time limit brings some of it: what is large need not come in one. */
  async largeBody(root: string, options: FetchOptions): Promise<void> {
    for (let turn = 1; ; turn++) {
      let absent: readonly string[] = []
      const onAbsent = (cids: readonly string[]): void => {
        absent = cids
        options.onAbsent?.(cids)
      }
      try {
        return await this.body(root, { ...options, onAbsent })
      } catch (error) {
        options.signal.throwIfAborted()
        if (!(error instanceof DaemonError) || turn === MAX_TURNS || (await this.#absent(absent)).length === absent.length) throw error
      }
    }
  }

  /** Makes a body that is here survive a power cut, and the blocks that tell of it. @throws DaemonError `block_unavailable` where one is not here after all */
  async keep(root: string, beside: string[] = []): Promise<void> {
    const { blocks } = await listBodyBlocks(root, cid => this.#blocks.get(cid))
    const absent = await this.#blocks.sync([...blocks, ...beside])
    if (absent.length > 0) throw new DaemonError('block_unavailable', `${absent.length} blocks of body ${root} are not here any more`)
  }

  /** Whether every block of a body is here. */
  async isWhole(root: string): Promise<boolean> {
    const { blocks, missing } = await listBodyBlocks(root, cid => this.#blocks.get(cid))
    return missing.length === 0 && (await this.#absent(blocks)).length === 0
  }

  /** The stages of a body that is here, with their tensors and sizes. @throws DaemonError `block_unavailable` */
  async stages(root: string): Promise<{ name: string; tensors: { name: string; shape: number[]; size: number }[] }[]> {
    const { stages } = decodeBodyRoot(await this.#here(root))
    return Promise.all(stages.map(async ({ name, index }) => ({ name, tensors: decodeStageIndex(await this.#here(index)).tensors })))
  }

  /** The same after its indexes were fetched; its chunks are not. @throws DaemonError `block_unavailable`; ProtocolError for an index that is not one */
  async layout(
    root: string,
    options: FetchOptions
  ): Promise<{ name: string; tensors: { name: string; shape: number[]; size: number }[] }[]> {
    const { stages } = decodeBodyRoot(await this.block(root, options))
    const bytesMax = INDEX_ALLOWANCE_BYTES + (options.totalBytesMax ?? Number.POSITIVE_INFINITY)
    let bytes = 0
    for (let from = 0; from < stages.length; from += INDEXES_AT_ONCE) {
      const indexes = stages.slice(from, from + INDEXES_AT_ONCE).map(({ index }) => index)
      await this.blocks(indexes, options)
      for (const index of indexes) bytes += (await this.#here(index)).length
      if (bytes > bytesMax) throw tooLarge(`body ${root} of ${bytes} bytes of indexes or more`, bytesMax)
    }
    const layout = await this.stages(root)
    return layout.map(({ name, tensors }) => ({ name, tensors: tensors.map(({ name, shape, size }) => ({ name, shape, size })) }))
  }

  /** Bytes of a body's tensors, 0 where its indexes are not here any more. */
  async bodyBytes(root: string): Promise<number> {
    const stages = await this.stages(root).catch(() => [])
    return stages.flatMap(({ tensors }) => tensors).reduce((sum, { size }) => sum + size, 0)
  }

  async #absent(cids: readonly string[]): Promise<string[]> {
    return (await Promise.all(cids.map(async cid => ((await this.#blocks.has(cid)) ? [] : [cid])))).flat()
  }

  async #here(cid: string): Promise<Uint8Array> {
    const bytes = await this.#blocks.get(cid)
    if (bytes === undefined) throw new DaemonError('block_unavailable', `Block ${cid} is not here`)
    return bytes
  }
}

/** Signed blocks page by page: they are small, and a page of them may be in memory. */
export function* pagesOf(cids: readonly string[]): Generator<string[]> {
  for (let from = 0; from < cids.length; from += PAGE_BLOCKS) yield cids.slice(from, from + PAGE_BLOCKS)
}

function tooLarge(what: string, limit: number): ProtocolError {
  return new ProtocolError('message_too_large', `cannot take ${what}: at most ${limit} are allowed`)
}

/** @throws DaemonError `block_unavailable` where it was not had */
function hadIn(cid: string, bytes: Uint8Array | undefined, startedMs: number): Uint8Array {
  if (bytes !== undefined) return bytes
  throw new DaemonError('block_unavailable', `Nobody reachable gave block ${cid} in ${msSince(startedMs)} ms`)
}

/** What it really took: a fetch ends before its time when everybody asked has failed. */
function msSince(startedMs: number): number {
  return Math.round(performance.now() - startedMs)
}
