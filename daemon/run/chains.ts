// Others' chains of records, brought to this node's disk: one by one where it is a little behind, a thousand at a time where it is far behind.
// What a peer says of its chain only tells what to fetch; the way from a record to its parents is read from the signed records themselves.
import { openRecord, type RoundRecord } from '../../protocols/rounds/index.ts'
import type { BlockStore } from '../../storage/index.ts'
import { DaemonError } from '../errors.ts'
import type { Fetcher, FetchOptions } from './fetching.ts'

/** Records that are fetched one after the other before a peer is asked for the names of all that follow. */
const FEW_RECORDS = 4
/** Names of records asked for at once. */
const PAGE_RECORDS = 1_024
/** Peers asked for one page: the first that answers will do. */
const PAGE_TRIES = 3

export interface ChainRecord {
  cid: string
  record: RoundRecord
}

export interface ChainComponents {
  run: string
  blocks: BlockStore
  fetcher: Fetcher
  /** CIDs of a peer's chain from a round on, oldest first; null where it is not in the run. */
  chain(peer: string, fromRound: number, limit: number, signal: AbortSignal): Promise<string[] | null>
}

/**
 * A record and those before it, oldest first: back to the first that is known, which is left out, or to the first of the run.
 *
 * @throws DaemonError `block_unavailable`; `bad_chain` where a record names a parent that is of another run or not of the round before
 */
export async function fetchChain(
  tip: string,
  isKnown: (cid: string) => boolean,
  { run, blocks, fetcher, chain }: ChainComponents,
  options: FetchOptions
): Promise<ChainRecord[]> {
  const found: ChainRecord[] = []
  let pagedFrom = Number.POSITIVE_INFINITY
  for (let next = tip; next !== run && !isKnown(next); ) {
    const child = found.at(-1)
    if (child !== undefined && found.length >= FEW_RECORDS && child.record.round <= pagedFrom && !(await blocks.has(next))) {
      pagedFrom = Math.max(1, child.record.round - PAGE_RECORDS)
      await fetchPage(pagedFrom, child.record.round - pagedFrom)
    }
    const { record } = await openRecord(await fetcher.block(next, options))
    // A chain gets to round 0 in as many steps as its tip's round says, or is refused on the way: nobody leads us on for ever.
    if (record.run !== run || record.round < 1 || (child !== undefined && record.round !== child.record.round - 1)) {
      throw new DaemonError(
        'bad_chain',
        `The chain of record ${tip} goes wrong at record ${next}: run ${record.run}, round ${record.round}`
      )
    }
    found.push({ cid: next, record })
    next = record.parent
  }
  // Envelopes are small: with them here, the rules need nobody to look at the chain.
  if (found.length > FEW_RECORDS) {
    await fetcher.blocks(
      found.flatMap(({ record }) => record.contributions),
      options
    )
  }
  return found.reverse()

  async function fetchPage(fromRound: number, limit: number): Promise<void> {
    for (const peer of options.from().slice(0, PAGE_TRIES)) {
      const cids = await chain(peer, fromRound, limit, options.signal).catch(() => null)
      if (cids === null || cids.length === 0) continue
      await fetcher.blocks(cids, options)
      return
    }
  }
}
