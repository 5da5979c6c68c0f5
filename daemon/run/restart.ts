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
  ledger: Pick<Ledger, 'rounds'>
  blocks: Pick<BlockStore, 'get'>
}

interface Past extends Kept {
  run: string
  genesisPeers: readonly string[]
}

/** The rounds that the rules remember. Of those before, the ledger's rows say enough: opening every block of a long run would take minutes. */
export async function recentPast(past: Past): Promise<KeptPast> {
  const rounds = await allRounds(past)
  const before = rounds.slice(0, -FORK_WINDOW_ROUNDS)
  const last = before.at(-1)
  if (last === undefined) return wholePast(past)
  const recent = [...before.slice(-RECENT_ROUNDS).reverse().map(authorsOf), past.genesisPeers].slice(0, RECENT_ROUNDS)
  const known = new Set(before.flatMap(authorsOf))
  const trunk: Trunk = { cid: last.record, record: recordOf(past.run, last), parts: last.contributions.map(partOf), known, recent }
  return { ...(await opened(past, rounds.slice(before.length))), trunk, earlier: before.map(({ record }) => record) }
}

/** Every round, for when a branch parted before all that the rules remember. */
export async function wholePast(past: Kept): Promise<KeptPast> {
  return opened(past, await allRounds(past))
}

/** The same with what was adopted since it was read. */
export async function continuedPast(past: Kept, read: KeptPast): Promise<KeptPast> {
  const rounds = await allRounds(past)
  const { records, contributions } = read
  if (records.length > 0 && rounds[records.length - 1]?.record !== records.at(-1)!.cid) return opened(past, rounds)
  const more = await opened(past, rounds.slice(records.length))
  return { earlier: [], records: [...records, ...more.records], contributions: [...contributions, ...more.contributions] }
}

async function allRounds({ ledger }: Kept): Promise<KeptRound[]> {
  return (await ledger.rounds(Number.MAX_SAFE_INTEGER)).reverse()
}

/** Reads up to the first record that the disk has lost: what follows is fetched from others again. */
async function opened({ blocks }: Kept, rounds: readonly KeptRound[]): Promise<KeptPast> {
  const past: KeptPast = { earlier: [], records: [], contributions: [] }
  for (const kept of rounds) {
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
