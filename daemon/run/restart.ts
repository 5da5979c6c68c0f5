// What the rules are told of a run's past when the daemon starts: the adopted records with their contributions, from the ledger and the blocks.
import { type Contribution, openContribution, openRecord, type RoundRecord } from '../../protocols/rounds/index.ts'
import type { BlockStore } from '../../storage/index.ts'
import type { KeptRound, Ledger } from './ledger.ts'

export interface KeptPast {
  /** Parents before children, from the first round on without a gap. */
  records: { cid: string; record: RoundRecord; ready: boolean }[]
  contributions: { cid: string; contribution: Contribution; held: boolean }[]
}

/** Reads it up to the first record that the disk has lost: what follows is fetched from others again. */
export async function keptRecords({ ledger, blocks }: { ledger: Ledger; blocks: BlockStore }): Promise<KeptPast> {
  const past: KeptPast = { records: [], contributions: [] }
  const rounds: KeptRound[] = (await ledger.rounds(Number.MAX_SAFE_INTEGER)).reverse()
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
