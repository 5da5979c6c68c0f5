// Others' chains of records, brought to this node's disk: one by one where it is a little behind, a thousand at a time where it is far behind.
// What a peer says of its chain only tells what to fetch; the way from a record to its parents is read from the signed records themselves.
import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  MAX_LISTED_OFF_CHAIN,
  MAX_RECORDS_OFF_CHAIN,
  openContribution,
  openRecord,
  type RoundRecord
} from '../../protocols/rounds/index.ts'
import type { BlockStore } from '../../storage/index.ts'
import { DaemonError, reasonOf } from '../errors.ts'
import { type Fetcher, type FetchOptions, MAX_PAGE_BYTES, pagesOf } from './fetching.ts'
import type { Hold, LooseBlocks } from './loose-blocks.ts'

/** Records that are fetched one after the other before a peer is asked for the names of all that follow. */
const FEW_RECORDS = 4
/** Names of records asked for at once. */
const PAGE_RECORDS = 1_024
/** Peers asked for one page: the first whose page is of this chain will do. */
const PAGE_TRIES = 3
/** How long the whole chain that one head stands on may take to fetch, in ms: an hour's rounds take seconds, and nobody who drags his out keeps us longer. */
const CHAIN_TIMEOUT_MS = 10 * 60_000
/** Records, and what they list, that all fetches under way may hold in memory together: that of four of the longest chains, some hundred bytes each. */
export const MAX_UNDERWAY = 4 * (MAX_RECORDS_OFF_CHAIN + MAX_LISTED_OFF_CHAIN)
/** What a page on its way counts for, since it may be 4 MiB of anything. */
const PAGE_WEIGHT = MAX_PAGE_BYTES / 128
/** Blocks that are written at once: one after the other, each waits for the disk, and on a busy machine for its turn. */
export const WRITTEN_AT_ONCE = 256

/** Of a lot, for each record or contribution held: enough to be shared among all who tell of it. */
const TICKETS = 1_024

export interface ChainRecord {
  cid: string
  record: RoundRecord
}

export interface ChainOptions extends FetchOptions {
  /** Only strangers name it: where too much is being fetched, it gives way before those that authors name. */
  isStrangers: boolean
  /** Peers that tell of it: what many tell is that much less likely to give way. @default 1 */
  tellers?: number
}

export interface ChainComponents {
  run: string
  blocks: Pick<BlockStore, 'has'>
  /** Where what is fetched is kept. */
  loose: LooseBlocks
  fetcher: Fetcher
  /** CIDs of a peer's chain from a round on, oldest first; null where it is not in the run. */
  chain(peer: string, fromRound: number, limit: number, signal: AbortSignal): Promise<string[] | null>
}

/** All fetches of chains of one run: whoever is new hears of the same chain from every peer, and of its next records while it learns it. */
export class Chains {
  readonly #components: ChainComponents
  /** Records that a fetch under way has come to, and when what it found has been told. */
  readonly #underway = new Map<string, Promise<void>>()
  /** What the fetches under way have found: those that only strangers name, and those that authors name. */
  readonly #strangers = new Load<AbortController>()
  readonly #authors = new Load<AbortController>()
  readonly #most: number
  readonly #listedMax: number

  /**
   * @param most records, with what they list, of all fetches under way
   * @param listedMax contributions that the records of one may list
   */
  constructor(components: ChainComponents, most = MAX_UNDERWAY, listedMax = MAX_LISTED_OFF_CHAIN) {
    this.#components = components
    this.#most = most
    this.#listedMax = listedMax
  }

  /**
   * Gets a record and those before it: back to the first that is known, which is left out, or to the first of the run.
   * Where it comes to a record that another fetch came to before, it waits for that one, as what that tells is known then: for one fetch timeout in all, so that who drags his chain out holds up
   * nobody else's. Of what a fetch found that stays which is needed when it has told it, or has failed.
   *
   * @param tell what was found, oldest first; what it gives is what this gives
   * @throws DaemonError `block_unavailable`, also after ten minutes, and where too much is being fetched; `bad_chain` where a record names a parent that is of another run or not of the round before, or lists what is no contribution;
   * `history_too_long` where there are more than any node remembers
   */
  async fetch<T>(
    tip: string,
    isKnown: (cid: string) => boolean,
    options: ChainOptions,
    tell: (found: ChainRecord[]) => T | Promise<T>
  ): Promise<T> {
    const hold = this.#components.loose.hold()
    const load = options.isStrangers ? this.#strangers : this.#authors
    const limit = new AbortController()
    const timer = setTimeout(
      () =>
        limit.abort(new DaemonError('block_unavailable', `The chain of record ${tip} did not come within ${CHAIN_TIMEOUT_MS / 1000} s`)),
      CHAIN_TIMEOUT_MS
    )
    const signal = AbortSignal.any([options.signal, limit.signal])
    const told = Promise.withResolvers<void>()
    const mine: string[] = []
    let waitsUntilMs: number | null = null
    const isMine = async (cid: string): Promise<boolean> => {
      const before = this.#underway.get(cid)
      if (before === undefined) {
        this.#underway.set(cid, told.promise)
        mine.push(cid)
        return true
      }
      waitsUntilMs ??= performance.now() + options.timeoutMs
      const waitsMs = waitsUntilMs - performance.now()
      return waitsMs <= 0 || !(await settlesWithin(before, waitsMs, signal))
    }
    const found: ChainRecord[] = []
    try {
      const weigh = (weight: number): void => this.#weigh(limit, load, weight, options.tellers)
      await fetchChain(
        tip,
        found,
        isKnown,
        isMine,
        weigh,
        hold,
        { ...this.#components, listedMax: this.#listedMax },
        { ...options, signal }
      )
      return await tell(found.reverse())
    } catch (error) {
      throw limit.signal.aborted && !options.signal.aborted ? limit.signal.reason : error
    } finally {
      clearTimeout(timer)
      load.delete(limit)
      for (const cid of mine) this.#underway.delete(cid)
      told.resolve()
      hold.release()
      await this.#components.loose.sweep()
    }
  }

  /**
   * Where all together hold too much one gives way, by lot: what is drawn is something held, so that whoever shows many long chains loses most, and nobody can choose whose goes.
   * Of what many tell each holds a part only.
   * A stranger's; where authors alone name too much, one of theirs, which leaves the strangers' alone.
   */
  #weigh(limit: AbortController, load: Load<AbortController>, weight: number, tellers?: number): void {
    if (limit.signal.aborted) return
    load.set(limit, weight, tellers)
    if (this.#strangers.sum + this.#authors.sum <= this.#most) return
    const tooMuch = this.#authors.sum > this.#most ? this.#authors : this.#strangers
    tooMuch.draw().abort(tooManyChains(this.#most))
  }
}

export function tooManyChains(most: number): DaemonError {
  return new DaemonError('block_unavailable', `Too many chains are being fetched: more than ${most} records and contributions`)
}

/** Chains, or fetches of some, and what each holds. */
export class Load<T> {
  readonly #held = new Map<T, { weight: number; tellers: number }>()
  sum = 0

  set(chain: T, weight: number, tellers = 1): void {
    this.sum += weight - (this.#held.get(chain)?.weight ?? 0)
    this.#held.set(chain, { weight, tellers })
  }

  delete(chain: T): void {
    this.sum -= this.#held.get(chain)?.weight ?? 0
    this.#held.delete(chain)
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#held.keys()
  }

  /** Takes one of them out, each as likely as what it holds for each of its tellers; only where there is one that holds something. */
  draw(): T {
    const tickets = [...this.#held].map(([chain, { weight, tellers }]) => ({ chain, count: Math.ceil((TICKETS * weight) / tellers) }))
    let at = randomInt(tickets.reduce((sum, { count }) => sum + count, 0))
    for (const { chain, count } of tickets) {
      at -= count
      if (at >= 0) continue
      this.delete(chain)
      return chain
    }
    throw new Error('unreachable: the tickets are counted')
  }
}

async function settlesWithin(promise: Promise<void>, ms: number, signal: AbortSignal): Promise<boolean> {
  const settled = new AbortController()
  const late = delay(ms, false, { signal: AbortSignal.any([signal, settled.signal]) }).catch(() => false)
  try {
    return await Promise.race([promise.then(() => true), late])
  } finally {
    settled.abort()
  }
}

/**
 * @param found takes what was found, newest first: where this fails, what it has come to
 * @param weigh told how many records and contributions it has come to, whenever that is more
 * @param isMine asked before each record: false, after a while, where another fetch had it and has told it, or has failed
 */
async function fetchChain(
  tip: string,
  found: ChainRecord[],
  isKnown: (cid: string) => boolean,
  isMine: (cid: string) => Promise<boolean>,
  weigh: (weight: number) => void,
  hold: Hold,
  { run, blocks, fetcher, chain, listedMax }: ChainComponents & { listedMax: number },
  options: FetchOptions
): Promise<void> {
  const unwritten: { cid: string; bytes: Uint8Array }[] = []
  let listed = 0
  let pagedFrom = Number.POSITIVE_INFINITY
  let page = new Map<string, Opened>()
  /** Peers whose pages brought nothing, were not all of this chain, or did not come whole: asked last. */
  const lame = new Set<string>()
  let lastBytes = 0
  for (let next = tip; next !== run && !isKnown(next); ) {
    // Where all of it lies on disk nothing else asks.
    options.signal.throwIfAborted()
    if (!(await isMine(next))) continue
    const child = found.at(-1)
    if (
      child !== undefined &&
      found.length >= FEW_RECORDS &&
      child.record.round <= pagedFrom &&
      !page.has(next) &&
      !(await blocks.has(next))
    ) {
      // As many as fit, were they all twice as large as the last.
      const { round } = child.record
      const fromRound = Math.max(1, round - Math.min(PAGE_RECORDS, Math.floor(MAX_PAGE_BYTES / 2 / lastBytes)))
      page = await fetchPage(next, fromRound, round - fromRound)
      pagedFrom = page.size === 0 ? fromRound : round - page.size
    }
    const { bytes, record } = page.get(next) ?? (await opened(await fetcher.signed(next, options)))
    page.delete(next)
    lastBytes = bytes.length
    const refuse = (why: string): DaemonError =>
      new DaemonError('bad_chain', `The chain of record ${tip} goes wrong at record ${next}: ${why}`)
    // A chain gets to round 0 in as many steps as its tip's round says, or is refused on the way: nobody leads us on for ever.
    if (record.run !== run || record.round < 1 || (child !== undefined && record.round !== child.record.round - 1))
      throw refuse(`run ${record.run}, round ${record.round}`)
    listed += record.contributions.length
    // The rules would take no more of it, and with a part they would seek anchors that nobody keeps.
    if (found.length >= MAX_RECORDS_OFF_CHAIN || listed > listedMax) {
      throw new DaemonError(
        'history_too_long',
        `The way from here to record ${tip} is longer than a node can learn: more than ${MAX_RECORDS_OFF_CHAIN} rounds, or ${listedMax} contributions in them`,
        { details: { records: found.length + 1, contributions: listed, headRound: found[0]?.record.round ?? record.round } }
      )
    }
    found.push({ cid: next, record })
    weigh(found.length + listed)
    unwritten.push({ cid: next, bytes })
    if (unwritten.length >= WRITTEN_AT_ONCE) await write()
    next = record.parent
  }
  await write()
  // Envelopes are small: with them here, the rules need nobody to look at the chain.
  if (found.length > FEW_RECORDS) await fetchContributions()

  async function fetchContributions(): Promise<void> {
    const listedBy = new Map(found.flatMap(chained => chained.record.contributions.map(cid => [cid, chained.cid] as const)))
    for (const cids of pagesOf([...listedBy.keys()])) {
      options.signal.throwIfAborted()
      for (const [cid, bytes] of await weighed(() => fetcher.signedBlocks(cids, options))) {
        const record = listedBy.get(cid)
        // Anything may be named in a record, an anchor's index too: what is stored here may go again, and is nothing else's.
        const { contribution } = await openContribution(bytes).catch(error => {
          throw new DaemonError('bad_chain', `Record ${record} lists ${cid}, which is no contribution: ${reasonOf(error)}`)
        })
        if (contribution.run !== run)
          throw new DaemonError('bad_chain', `Record ${record} lists ${cid}, which is of run ${contribution.run}`)
        unwritten.push({ cid, bytes })
      }
      await write()
    }
  }

  async function write(): Promise<void> {
    const writing = unwritten.splice(0).map(({ cid, bytes }) => hold.put(cid, bytes))
    // All of them, also where one fails: none may be held when this is over.
    const failed = (await Promise.allSettled(writing)).find(result => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  async function weighed<T>(fetchPage: () => Promise<T>): Promise<T> {
    weigh(found.length + listed + PAGE_WEIGHT)
    try {
      return await fetchPage()
    } finally {
      weigh(found.length + listed)
    }
  }

  async function fetchPage(next: string, fromRound: number, limit: number): Promise<Map<string, Opened>> {
    const peers = options.from()
    const lastLame = [...peers.filter(peer => !lame.has(peer)), ...peers.filter(peer => lame.has(peer))]
    for (const peer of lastLame.slice(0, PAGE_TRIES)) {
      const cids = (await chain(peer, fromRound, limit, options.signal).catch(() => null)) ?? []
      // What it names need not be records: those stay that the way down leads over. Where there is none, or what it names is no signed block, the next is asked.
      const unknown = cids.slice(0, limit).filter(cid => !isKnown(cid))
      const page = await weighed(() => wayDown(next, unknown)).catch(() => new Map<string, Opened>())
      options.signal.throwIfAborted()
      if (page.size === 0 || page.size < unknown.length) lame.add(peer)
      if (page.size > 0) return page
    }
    return new Map()
  }

  async function wayDown(next: string, cids: string[]): Promise<Map<string, Opened>> {
    const blocks = await fetcher.signedBlocks(cids, options)
    const way = new Map<string, Opened>()
    for (let at = next, bytes = blocks.get(at); bytes !== undefined && !way.has(at); bytes = blocks.get(at)) {
      const record = await opened(bytes)
      way.set(at, record)
      at = record.record.parent
    }
    return way
  }
}

interface Opened {
  bytes: Uint8Array
  record: RoundRecord
}

async function opened(bytes: Uint8Array): Promise<Opened> {
  const { record } = await openRecord(bytes)
  return { bytes, record }
}
