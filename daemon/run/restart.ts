// What the rules are told of a run's past when the daemon starts: the adopted records with their contributions, from the ledger and the blocks.
import {
  type Contribution,
  FORK_WINDOW_ROUNDS,
  openContribution,
  openRecord,
  RECENT_ROUNDS,
  type RoundRecord,
  type Trunk
} from '../../protocols/rounds/index.ts'
import type { BlockStore } from '../../storage/index.ts'
import { DaemonError } from '../errors.ts'
import type { KeptRound, Ledger } from './ledger.ts'

export interface KeptPast {
  /** The record before the first of `records`, where that is not the genesis. */
  trunk?: Trunk
  /** CIDs of the records before the first of `records`. */
  earlier: string[]
  /** Parents before children, without a gap. */
  records: { cid: string; record: RoundRecord; ready: boolean }[]
  contributions: { cid: string; contribution: Contribution; held: boolean }[]
}

interface Kept {
  ledger: Pick<Ledger, 'roundsFrom'>
  blocks: Pick<BlockStore, 'get'>
}

interface Past extends Kept {
  run: string
  genesisPeers: readonly string[]
  ledger: Pick<Ledger, 'roundsFrom' | 'names' | 'accepted'>
}

/** What is before the rounds whose blocks are opened. */
type Before = Pick<KeptPast, 'trunk' | 'earlier'>

/** A history, as the rules need it that go on from its end: it grows by rows, and keeps none of them. */
export class GrowingTrunk {
  readonly #run: string
  /** Authors accepted so far. */
  readonly known: Set<string>
  #recent: readonly (readonly string[])[]
  #end: Pick<Trunk, 'cid' | 'record' | 'parts'> | null = null

  /** @param known authors accepted in the rounds before the first that it grows by, where that is not round 1 */
  constructor(run: string, genesisPeers: readonly string[], known: Set<string> = new Set()) {
    this.#run = run
    this.known = known
    this.#recent = [genesisPeers]
  }

  get round(): number {
    return this.#end?.record.round ?? 0
  }

  /** CID of its last record; the run's where it has none. */
  get cid(): string {
    return this.#end?.cid ?? this.#run
  }

  /** What the rules begin with; nothing where that is the genesis. */
  get start(): { trunk?: Trunk } {
    return this.#end === null ? {} : { trunk: { ...this.#end, known: this.known, recent: this.#recent } }
  }

  grow(row: KeptRound): void {
    const authors = authorsOf(row)
    this.#recent = [authors, ...this.#recent].slice(0, RECENT_ROUNDS)
    for (const author of authors) this.known.add(author)
    this.#end = { cid: row.record, record: recordOf(this.#run, row), parts: row.contributions.map(partOf) }
  }
}

/**
 * The rounds that the rules remember. Of those before, the ledger's rows say enough: opening every block of a long run would take minutes.
 * None of them where rounds beyond the head were learned, whose anchors are nowhere: the rules go on from the last.
 */
export async function recentPast(past: Past & { ledger: Pick<Ledger, 'head' | 'end'> }): Promise<KeptPast> {
  const [head, end] = [(await past.ledger.head())?.round ?? 0, (await past.ledger.end())?.round ?? 0]
  return pastAfter(past, await pastUpTo(past, end > head ? end : head - FORK_WINDOW_ROUNDS))
}

/** The rounds up to one. */
export async function pastUpTo(past: Omit<Past, 'blocks'>, round: number): Promise<Before> {
  if (round <= 0) return { earlier: [] }
  const { start } = await trunkUpTo(past, round)
  return { earlier: await past.ledger.names(round), ...start }
}

/** Each row is read and let go, since one of a thousand members takes half a megabyte; those of the stretches that are summed up need not be. */
export async function trunkUpTo({ ledger, run, genesisPeers }: Omit<Past, 'blocks'>, round: number): Promise<GrowingTrunk> {
  const { authors, to } = await ledger.accepted(round)
  const trunk = new GrowingTrunk(run, genesisPeers, authors)
  if (round <= 0) return trunk
  for await (const row of ledger.roundsFrom(Math.max(1, Math.min(to, round - RECENT_ROUNDS) + 1))) {
    trunk.grow(row)
    if (row.round >= round) return trunk
  }
  throw new DaemonError('block_unavailable', `The ledger of run ${run} ends at round ${trunk.round}, before round ${round}`)
}

/** The rounds after those, with their blocks. */
export async function pastAfter(past: Kept, before: Before = { earlier: [] }): Promise<KeptPast> {
  return { ...before, ...(await opened(past, roundAfter(before))) }
}

/** The same with what was adopted since it was read. */
export async function continuedPast(past: Kept, read: KeptPast): Promise<KeptPast> {
  const last = read.records.at(-1)
  const before: Before = { earlier: read.earlier, ...(read.trunk === undefined ? {} : { trunk: read.trunk }) }
  if (last === undefined) return pastAfter(past, before)
  for await (const { record } of past.ledger.roundsFrom(last.record.round)) {
    if (record !== last.cid) break
    const { records, contributions } = await opened(past, last.record.round + 1)
    return { ...read, records: [...read.records, ...records], contributions: [...read.contributions, ...contributions] }
  }
  return pastAfter(past, before)
}

/** Tokens of known authors in a round. */
export function weightIn({ contributions }: Pick<KeptRound, 'contributions'>, known: ReadonlySet<string>): number {
  return contributions.reduce((sum, { peer, tokens }) => sum + (known.has(peer) ? tokens : 0), 0)
}

/**
 * Whether our own chain outweighs for certain one that parted from it, whatever the rules would make of that: then they need see neither. Anybody may sign a record that parts from ours at the genesis.
 *
 * @param before our chain up to where they parted
 * @param theirs contributions that the other chain lists, and how many it lists that are not here: each may weigh as much as one can
 */
export async function outweighs(
  { ledger, genesisPeers }: Pick<Past, 'ledger' | 'genesisPeers'>,
  before: Before,
  theirs: { contributions: readonly Contribution[]; unseen: number },
  maxTokensPerRound: number
): Promise<boolean> {
  const known = new Set([...genesisPeers, ...(before.trunk?.known ?? []), ...(before.trunk?.parts ?? []).map(({ peer }) => peer)])
  let more = -theirs.unseen * maxTokensPerRound
  for (const { peer, tokens } of theirs.contributions) if (known.has(peer)) more -= Math.min(tokens, maxTokensPerRound)
  for await (const row of ledger.roundsFrom(roundAfter(before))) {
    more += weightIn(row, known)
    if (more > 0) return true
  }
  return false
}

function roundAfter({ trunk }: Before): number {
  return (trunk?.record.round ?? 0) + 1
}

/** Reads up to the first record that the disk has lost: what follows is fetched from others again. */
async function opened({ ledger, blocks }: Kept, fromRound: number): Promise<Pick<KeptPast, 'records' | 'contributions'>> {
  const past: Pick<KeptPast, 'records' | 'contributions'> = { records: [], contributions: [] }
  for await (const kept of ledger.roundsFrom(fromRound)) {
    const bytes = await blocks.get(kept.record)
    if (bytes === undefined) break
    const { cid, record } = await openRecord(bytes)
    for (const { cid } of kept.contributions) {
      const envelope = await blocks.get(cid)
      if (envelope !== undefined)
        past.contributions.push({ cid, contribution: (await openContribution(envelope)).contribution, held: true })
    }
    past.records.push({ cid, record, ready: true })
  }
  return past
}

function recordOf(run: string, { round, parent, contributions, anchor, closer }: KeptRound): RoundRecord {
  return { run, round, parent, contributions: contributions.map(({ cid }) => cid), anchor, closer }
}

function partOf({ cid, age, peer, tokens }: KeptRound['contributions'][number]): Trunk['parts'][number] {
  return { cid, age: age as 0 | 1, peer, tokens }
}

function authorsOf({ contributions }: KeptRound): string[] {
  return [...new Set(contributions.map(({ peer }) => peer))]
}
