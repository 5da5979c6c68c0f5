// The way to a head that is further on than the rules can hold in memory at once: others' chain, taken from where ours ends, leg by leg, each checked by the rules as a whole and then let go.
// Anchors and bodies of so long ago nobody has. What is learned so rests on its signers, as what any node does that jumps ahead.
import { setTimeout as delay } from 'node:timers/promises'
import { MAX_GOSSIP_BYTES } from '../../protocols/frame-stream.ts'
import {
  type Contribution,
  createRounds,
  FORK_WINDOW_ROUNDS,
  openContribution,
  openRecord,
  type RunRules,
  viewOf
} from '../../protocols/rounds/index.ts'
import { DaemonError, reasonOf } from '../errors.ts'
import type { ChainComponents, ChainRecord } from './chains.ts'
import { type Fetcher, type FetchOptions, MAX_PAGE_BYTES, pagesOf } from './fetching.ts'
import { type KeptRound, keptRoundOf, type Ledger } from './ledger.ts'
import { type GrowingTrunk, trunkUpTo, weightIn } from './restart.ts'

/** Rounds of a leg, and contributions after which it ends earlier: some 16 MB. */
const LEG_ROUNDS = 256
const LEG_CONTRIBUTIONS = 16_384
/** Records fetched at once: were all of them as large as one may be, they would still be one page. */
const RECORDS_AT_ONCE = MAX_PAGE_BYTES / MAX_GOSSIP_BYTES
/** Peers asked for a leg, one after the other. */
const PEERS_ASKED = 3
/** Times that all of them are asked for it, and between those, in ms: who told strangers of many chains tells no more for some seconds. */
const TRIES = 6
const TRY_AGAIN_MS = 5_000
/** Rounds beyond the head that are learned: their names are 100 MB of memory, and nobody who signs rounds without end fills the disk. */
const LEARNED_MAX = 2 ** 20
/** Contributions in them: some 500 bytes each on disk, and as much in the ledger. */
const LEARNED_CONTRIBUTIONS_MAX = 2 ** 23

/** Some rounds of a chain, checked, with the signed blocks that say so. */
export interface Leg {
  rounds: KeptRound[]
  blocks: { cid: string; bytes: Uint8Array }[]
}

export interface LongWayComponents extends Pick<ChainComponents, 'run' | 'chain'> {
  rules: RunRules
  ledger: Pick<Ledger, 'head' | 'end' | 'round' | 'roundsFrom' | 'names' | 'accepted'>
  fetcher: Pick<Fetcher, 'signedBlocks'>
}

export interface LongWayOptions extends FetchOptions {
  /** Round of the head that others told. Learned is what no split is likely to change any more: the rules choose among the rest. */
  headRound: number
  /** @default TRY_AGAIN_MS */
  tryAgainMs?: number
}

export class LongWay {
  readonly #c: LongWayComponents
  readonly #most: number

  /** @param most rounds beyond the head that are learned */
  constructor(components: LongWayComponents, most = LEARNED_MAX) {
    this.#c = components
    this.#most = most
  }

  /** The last round that our history and a peer's chain share, as far as the peer tells: that of our newest where its chain goes on from there. */
  async sharedWith(peer: string, signal: AbortSignal): Promise<number> {
    const { ledger, chain } = this.#c
    const isShared = async (round: number): Promise<boolean> => {
      const theirs = await chain(peer, round, 1, signal)
      // It may be on its way into the run, and says nothing of its chain.
      if (theirs === null) throw new DaemonError('block_unavailable', `Peer ${peer} does not say where its chain parted from ours`)
      return theirs[0] !== undefined && theirs[0] === (await ledger.round(round))?.record
    }
    let [shared, parted] = [0, ((await ledger.end())?.round ?? 0) + 1]
    if (parted > 1 && (await isShared(parted - 1))) return parted - 1
    while (parted - shared > 1) {
      const between = Math.floor((shared + parted) / 2)
      if (await isShared(between)) shared = between
      else parted = between
    }
    return shared
  }

  /**
   * Whether a peer's chain outweighs our history for certain: by what it has after the round that they share, checked as far as that takes. Nothing of it is kept.
   *
   * @throws DaemonError `bad_chain` where it parts later than that: who shows us our own chain, and what came to it since ours was weighed, would outweigh it
   */
  async outweighs(peer: string, shared: number, options: LongWayOptions): Promise<boolean> {
    const past = this.#past()
    const trunk = await trunkUpTo(past, shared)
    const known = new Set([...past.genesisPeers, ...trunk.known])
    let more = 0
    for await (const round of this.#c.ledger.roundsFrom(shared + 1)) more += weightIn(round, known)
    const ours = (await this.#c.ledger.round(shared + 1))?.record
    const last = Math.min(settledBefore(options), shared + this.#most)
    for await (const { rounds } of this.#legs(trunk, last, () => [peer], options)) {
      if (rounds[0]!.record === ours)
        throw new DaemonError('bad_chain', `Peer ${peer} says that its chain parted from ours after round ${shared}`)
      for (const round of rounds) more -= weightIn(round, known)
      if (more < 0) return true
    }
    return false
  }

  /**
   * The rounds after ours that others have, a leg at a time.
   *
   * @throws DaemonError `bad_chain` where nobody's chain goes on from ours by the run's rules, `block_unavailable` where nobody gives what it names, `history_too_long` where it is
   */
  async *ahead(options: LongWayOptions): AsyncGenerator<Leg> {
    const { ledger, run } = this.#c
    const end = (await ledger.end())?.round ?? 0
    const head = (await ledger.head())?.round ?? 0
    const most = head + this.#most
    const last = settledBefore(options)
    let listed = 0
    for await (const { contributions } of ledger.roundsFrom(head + 1)) listed += contributions.length
    if (listed < LEARNED_CONTRIBUTIONS_MAX) {
      for await (const leg of this.#legs(await trunkUpTo(this.#past(), end), Math.min(last, most), options.from, options)) {
        yield leg
        for (const { contributions } of leg.rounds) listed += contributions.length
        if (listed >= LEARNED_CONTRIBUTIONS_MAX) break
      }
    }
    if (last > most || listed >= LEARNED_CONTRIBUTIONS_MAX)
      throw new DaemonError(
        'history_too_long',
        `Round ${last} of run ${run} is further on than a node can learn: ${this.#most} rounds, or ${LEARNED_CONTRIBUTIONS_MAX} contributions in them`
      )
  }

  #past() {
    const { run, ledger, rules } = this.#c
    return { run, ledger, genesisPeers: rules.genesisPeers }
  }

  /** @param namers who is asked what follows; the blocks themselves anybody may give */
  async *#legs(trunk: GrowingTrunk, last: number, namers: () => string[], options: LongWayOptions): AsyncGenerator<Leg> {
    while (trunk.round < last) {
      const leg = await this.#legOfAny(trunk, last, namers, options)
      yield leg
      for (const round of leg.rounds) trunk.grow(round)
    }
  }

  async #legOfAny(
    trunk: GrowingTrunk,
    last: number,
    namers: () => string[],
    { tryAgainMs = TRY_AGAIN_MS, ...options }: LongWayOptions
  ): Promise<Leg> {
    let failure: unknown = new DaemonError(
      'block_unavailable',
      `Nobody is here who could tell round ${trunk.round + 1} of run ${this.#c.run}`
    )
    for (let tries = 0; tries < TRIES; tries++) {
      if (tries > 0) await delay(tryAgainMs, undefined, { signal: options.signal })
      for (const peer of namers().slice(0, PEERS_ASKED)) {
        try {
          return await this.#leg(trunk, last, peer, options)
        } catch (error) {
          options.signal.throwIfAborted()
          failure = error
        }
      }
    }
    throw failure
  }

  async #leg(trunk: GrowingTrunk, last: number, peer: string, options: FetchOptions): Promise<Leg> {
    const { run, rules, chain } = this.#c
    const first = trunk.round + 1
    const names = await chain(peer, first, Math.min(LEG_ROUNDS, last - trunk.round), options.signal)
    if (names === null || names.length === 0)
      throw new DaemonError('block_unavailable', `Peer ${peer} tells no round ${first} of run ${run}`)
    const blocks: Leg['blocks'] = []
    const records: ChainRecord[] = []
    let listed = 0
    for (let from = 0; from < names.length && listed < LEG_CONTRIBUTIONS; from += RECORDS_AT_ONCE) {
      for (const { cid, bytes } of await this.#signed(names.slice(from, from + RECORDS_AT_ONCE), options)) {
        const { record } = await openRecord(bytes)
        const [parent, round] = [records.at(-1)?.cid ?? trunk.cid, first + records.length]
        if (record.run !== run || record.parent !== parent || record.round !== round)
          throw new DaemonError('bad_chain', `The chain of peer ${peer} goes wrong at record ${cid}: it does not follow on ${parent}`)
        blocks.push({ cid, bytes })
        records.push({ cid, record })
        listed += record.contributions.length
        if (listed >= LEG_CONTRIBUTIONS) break
      }
    }
    const contributions = new Map<string, Contribution>()
    for (const cids of pagesOf([...new Set(records.flatMap(({ record }) => record.contributions))])) {
      for (const { cid, bytes } of await this.#signed(cids, options)) {
        const { contribution } = await openContribution(bytes).catch(error => {
          throw new DaemonError('bad_chain', `The chain of peer ${peer} lists ${cid}, which is no contribution: ${reasonOf(error)}`)
        })
        blocks.push({ cid, bytes })
        contributions.set(cid, contribution)
      }
    }
    const state = createRounds(rules, null, {
      now: 0,
      ...trunk.start,
      records: records.map(chained => ({ ...chained, ready: true })),
      contributions: [...contributions].map(([cid, contribution]) => ({ cid, contribution, held: false }))
    })
    const { cid, record } = records.at(-1)!
    if (viewOf(state).head !== cid)
      throw new DaemonError(
        'bad_chain',
        `The chain of peer ${peer} has what the rules of the run do not allow in rounds ${first} to ${record.round}`
      )
    const facts = { maxTokensPerRound: rules.maxTokensPerRound, bytes: 0, seconds: null }
    const partsOf = ({ record }: ChainRecord) => record.contributions.map(cid => contributions.get(cid)!)
    return { blocks, rounds: records.map(chained => keptRoundOf(chained, partsOf(chained), facts)) }
  }

  /** All of them, in that order. @throws DaemonError `block_unavailable` */
  async #signed(cids: readonly string[], options: FetchOptions): Promise<Leg['blocks']> {
    const found = await this.#c.fetcher.signedBlocks(cids, options)
    return cids.map(cid => {
      const bytes = found.get(cid)
      if (bytes === undefined) throw new DaemonError('block_unavailable', `Nobody reachable gave block ${cid}`)
      return { cid, bytes }
    })
  }
}

/** What the rules need not choose among any more. */
function settledBefore({ headRound }: LongWayOptions): number {
  return headRound - FORK_WINDOW_ROUNDS
}
