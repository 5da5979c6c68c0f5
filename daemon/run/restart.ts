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
}

/** What is before the rounds whose blocks are opened. */
type Before = Pick<KeptPast, 'trunk' | 'earlier'>

/** The rounds that the rules remember. Of those before, the ledger's rows say enough: opening every block of a long run would take minutes. */
export async function recentPast(past: Past & { ledger: Pick<Ledger, 'head'> }): Promise<KeptPast> {
  const round = ((await past.ledger.head())?.round ?? 0) - FORK_WINDOW_ROUNDS
  return pastAfter(past, await pastUpTo(past, round))
}

/** The rounds up to one, each row read and let go: a row of a thousand members takes half a megabyte. */
export async function pastUpTo({ ledger, run, genesisPeers }: Omit<Past, 'blocks'>, round: number): Promise<Before> {
  const earlier: string[] = []
  const known = new Set<string>()
  let recent: (readonly string[])[] = [genesisPeers]
  if (round <= 0) return { earlier }
  for await (const row of ledger.roundsFrom(1)) {
    earlier.push(row.record)
    const authors = authorsOf(row)
    recent = [authors, ...recent].slice(0, RECENT_ROUNDS)
    for (const author of authors) known.add(author)
    if (row.round < round) continue
    const trunk: Trunk = { cid: row.record, record: recordOf(run, row), parts: row.contributions.map(partOf), known, recent }
    return { earlier, trunk }
  }
  throw new DaemonError('block_unavailable', `The ledger of run ${run} ends at round ${earlier.length}, before round ${round}`)
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
  for await (const { contributions } of ledger.roundsFrom(roundAfter(before))) {
    for (const { peer, tokens } of contributions) if (known.has(peer)) more += tokens
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
