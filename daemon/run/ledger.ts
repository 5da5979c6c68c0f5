// What one run keeps on disk between starts: its head, the rounds it adopted, the contributions it holds, and its own with their fates.

import type { RoundRow } from '../../protocols/control/messages.ts'
import type { Contribution, RoundRecord } from '../../protocols/rounds/index.ts'
import { type KeyRange, orderedKey, type RecordOperation, type Store } from '../../storage/index.ts'
import { normScales, type ScreeningSpec } from '../../training/outer/index.ts'
import { DaemonError } from '../errors.ts'

/** How this node takes part in a run. */
export interface Membership {
  run: string
  /** False: follows rounds and holds anchors, trains nothing. */
  train: boolean
  paused: boolean
  data: string[]
  /** What the join asked for; left out: as the daemon's settings say now. */
  engine?: string
  threads?: number
  /** Of others' contributions that are audited; left out: as the daemon's setting says. */
  audit?: number
  joinedAt: string
}

export interface Head {
  record: string
  round: number
  anchor: string
}

/** One of this node's own contributions, from its snapshot to its fate. */
export interface OwnContribution {
  /** The trainer's snapshot it was made of. */
  sequence: number
  round: number
  parent: string
  steps: number
  tokens: number
  loss: number
  /** Null until it is encoded, signed and stored. */
  cid: string | null
  body: string | null
  /** True where a record had taken it that a fork has set aside. */
  isSetAside?: boolean
  /** True where a fork had the trainer keep its parameters with all of this one's change in them: with what was sent, and with what the codec left over from it. */
  isKept?: boolean
  /** True where nobody would take it, since its norm is too large: it is neither offered nor put back. */
  isDiverged?: boolean
  fate: 'made' | 'offered' | 'included' | 'late' | 'lost' | 'restored' | 'dropped'
}

/** An adopted round as the node keeps it: what the API tells, and what a restart needs to go on. */
export interface KeptRound extends RoundRow {
  parent: string
  contributions: {
    cid: string
    body: string
    peer: string
    round: number
    tokens: number
    age: number
    /** What its change was multiplied by where screening cut it and this node followed the round; the arithmetic works it out from the same facts. */
    scale?: number
  }[]
}

/** @param seconds how long the round took here, null where that is not known */
export function keptRoundOf(
  { cid, record }: { cid: string; record: RoundRecord },
  contributions: readonly Contribution[],
  {
    maxTokensPerRound,
    screening = null,
    bytes,
    seconds
  }: { maxTokensPerRound: number; screening?: ScreeningSpec | null; bytes: number; seconds: number | null }
): KeptRound {
  const weighed = contributions.map((contribution, i) => ({
    ...contribution,
    author: contribution.peer,
    cid: record.contributions[i]!,
    age: record.round - contribution.round,
    tokens: Math.min(contribution.tokens, maxTokensPerRound)
  }))
  const scales = normScales(weighed, screening)
  return {
    round: record.round,
    record: cid,
    parent: record.parent,
    anchor: record.anchor,
    closer: record.closer,
    contributors: weighed.map(({ peer, tokens, loss, age }) => ({ peer, tokens, loss, age })),
    contributions: weighed.map(({ cid, body, peer, round, tokens, age }, i) => ({
      ...{ cid, body, peer, round, tokens, age },
      ...(scales[i] === 1 ? {} : { scale: scales[i]! })
    })),
    seconds,
    bytes,
    adoptedAt: new Date().toISOString(),
    loss: medianLoss(weighed)
  }
}

/** Of what the contributors say, by their tokens; between two halves, the middle of them. Each may say any number, and a mean would be what one liar wants it to be. */
function medianLoss(parts: readonly { loss: number; tokens: number }[]): number | null {
  if (parts.length === 0) return null
  const all = parts.reduce((sum, { tokens }) => sum + tokens, 0)
  const middles: number[] = []
  let below = 0
  for (const { loss, tokens } of parts.toSorted((a, b) => a.loss - b.loss)) {
    if (2 * below <= all && 2 * (below + tokens) >= all) middles.push(loss)
    below += tokens
  }
  return middles[0]! / 2 + middles.at(-1)! / 2
}

/** Rounds, and authors accepted in them, after which a stretch ends: 60 bytes an author, in a row of at most a MiB. */
const STRETCH_ROUNDS = 1_024
const STRETCH_AUTHORS = 8_192
/** Names written at once. */
const NAMED_AT_ONCE = 1_024

/** Typed access to the store's tables for one run. */
export class Ledger {
  readonly #store: Store
  readonly #run: string
  /** The end of the last stretch, once it was read: it is asked for with each round, and its row is large. */
  #summedTo: number | null = null

  constructor(store: Store, run: string) {
    this.#store = store
    this.#run = run
  }

  head(): Promise<Head | undefined> {
    return this.#store.records.table<Head>('heads').get(this.#run)
  }

  /** The newest round that is known: that of the head, or one beyond it that was learned. */
  async end(): Promise<KeptRound | undefined> {
    for await (const [, row] of this.#rounds().entries({ prefix: `${this.#run}/`, reverse: true, limit: 1 })) return row
    return undefined
  }

  /**
   * One durable write for the head and the rounds that led to it: after it, they are adopted whatever happens.
   * @param after the round on which they follow, and the last of what was known that stays
   * @returns the records of the branch that is left, by their rounds
   */
  async adopt(head: Head, rounds: KeptRound[], after: number): Promise<Map<number, string>> {
    const operations: RecordOperation[] = []
    const left = new Map<number, string>()
    const adopted = new Set(rounds.map(({ record }) => record))
    for await (const [key, record] of this.#names().entries({ gt: this.#roundKey(after), prefix: `${this.#run}/` })) {
      // Ours again, where the disk had lost a part of it.
      if (adopted.has(record)) continue
      operations.push({ type: 'delete', table: 'rounds', key }, { type: 'delete', table: 'names', key })
      left.set(roundOf(key), record)
    }
    for await (const [key] of this.#stretches().entries({ gt: this.#roundKey(after), prefix: `${this.#run}/` })) {
      operations.push({ type: 'delete', table: 'stretches', key })
      this.#summedTo = null
    }
    operations.push(...rounds.flatMap(round => this.#put(round)))
    operations.push({ type: 'put', table: 'heads', key: this.#run, value: head })
    await this.#store.records.batch(operations, { sync: true })
    return left
  }

  /**
   * Rounds beyond the head: their records were checked, their anchors nobody has any more. They are history from here on, and a start goes on from the last of them.
   *
   * @throws DaemonError `bad_chain` where they do not follow on the newest that is known: another was adopted meanwhile
   */
  async learned(rounds: readonly KeptRound[]): Promise<void> {
    const end = (await this.end())?.record ?? this.#run
    const { parent, round } = rounds[0]!
    if (parent !== end)
      throw new DaemonError('bad_chain', `Round ${round} follows on record ${parent}, and what is known here ends with ${end}`)
    await this.#store.records.batch(
      rounds.flatMap(row => this.#put(row)),
      { sync: true }
    )
  }

  /** Forgets what was learned after a round, and nothing that was adopted. */
  async *forgetLearned(after: number): AsyncGenerator<KeptRound> {
    const round = Math.max(after, (await this.head())?.round ?? 0)
    // The newest first: whatever is left when the process dies is a history without a gap.
    const range = { gt: this.#roundKey(round), prefix: `${this.#run}/`, reverse: true }
    this.#summedTo = null
    for await (const [key] of this.#stretches().entries(range)) await this.#stretches().delete(key)
    for await (const [key, row] of this.#rounds().entries(range)) {
      await this.#store.records.batch([
        { type: 'delete', table: 'rounds', key },
        { type: 'delete', table: 'names', key }
      ])
      yield row
    }
  }

  round(round: number): Promise<KeptRound | undefined> {
    return this.#rounds().get(this.#roundKey(round))
  }

  /** Adopted rounds, newest first. */
  async rounds(limit: number): Promise<KeptRound[]> {
    const rows: KeptRound[] = []
    const range = { lte: await this.#headKey(), prefix: `${this.#run}/`, reverse: true, limit }
    for await (const [, row] of this.#rounds().entries(range)) rows.push(row)
    return rows
  }

  /** All rounds that are known from one on, oldest first, one at a time: a long run's are more than memory holds. */
  async *roundsFrom(fromRound: number): AsyncGenerator<KeptRound> {
    for await (const [, row] of this.#rounds().entries({ gte: this.#roundKey(fromRound), prefix: `${this.#run}/` })) yield row
  }

  /** CIDs of adopted records from a round on, oldest first. */
  async chain(fromRound: number, limit: number): Promise<string[]> {
    const records: string[] = []
    const range = { gte: this.#roundKey(fromRound), lte: await this.#headKey(), prefix: `${this.#run}/`, limit }
    for await (const [, record] of this.#names().entries(range)) records.push(record)
    return records
  }

  /** CIDs of all records that are known up to a round, oldest first. */
  async names(upTo: number): Promise<string[]> {
    const records: string[] = []
    for await (const [, record] of this.#names().entries({ lte: this.#roundKey(upTo), prefix: `${this.#run}/` })) records.push(record)
    return records
  }

  /** Who was accepted in the rounds up to `to`, which is not beyond `upTo`: whose rows of those need not be read. */
  async accepted(upTo: number): Promise<{ authors: Set<string>; to: number }> {
    const accepted = { authors: new Set<string>(), to: 0 }
    for await (const [key, authors] of this.#stretches().entries({ lte: this.#roundKey(upTo), prefix: `${this.#run}/` })) {
      for (const author of authors) accepted.authors.add(author)
      accepted.to = roundOf(key)
    }
    return accepted
  }

  /**
   * Notes what a start would else read all rows for: the names of records that have none, in homes of before there were any, and who was accepted in the stretches that have ended.
   *
   * @param upTo the last round that no fork is likely to change
   */
  async sumUp(upTo: number): Promise<void> {
    if (this.#summedTo === null) {
      await this.#nameAll()
      this.#summedTo = await this.#newest(this.#stretches())
    }
    let stretch = { from: this.#summedTo, authors: new Set<string>() }
    if (upTo < stretch.from + STRETCH_ROUNDS) return
    for await (const { round, contributions } of this.roundsFrom(stretch.from + 1)) {
      if (round > upTo) return
      for (const { peer } of contributions) stretch.authors.add(peer)
      if (round < stretch.from + STRETCH_ROUNDS && stretch.authors.size < STRETCH_AUTHORS) continue
      await this.#stretches().put(this.#roundKey(round), [...stretch.authors])
      this.#summedTo = round
      stretch = { from: round, authors: new Set() }
    }
  }

  async #nameAll(): Promise<void> {
    const named = await this.#newest(this.#names())
    if (named === (await this.#newest(this.#rounds()))) return
    let operations: RecordOperation[] = []
    for await (const { round, record } of this.roundsFrom(named + 1)) {
      operations.push({ type: 'put', table: 'names', key: this.#roundKey(round), value: record })
      if (operations.length < NAMED_AT_ONCE) continue
      await this.#store.records.batch(operations)
      operations = []
    }
    await this.#store.records.batch(operations)
  }

  /** The newest round that a table has; 0 where it has none. */
  async #newest(table: { entries(range: KeyRange): AsyncIterable<[string, unknown]> }): Promise<number> {
    for await (const [key] of table.entries({ prefix: `${this.#run}/`, reverse: true, limit: 1 })) return roundOf(key)
    return 0
  }

  /** Anchors of rounds that were fetched on purpose and are to stay. */
  async fetchedAnchors(): Promise<string[]> {
    const anchors: string[] = []
    for await (const [, { anchor }] of this.#store.records.table<Head>('heads').entries({ prefix: `${this.#run}/` })) anchors.push(anchor)
    return anchors
  }

  async putOwn(own: OwnContribution): Promise<void> {
    await this.#own().put(`${this.#run}/${orderedKey(own.sequence)}`, own, { sync: true })
  }

  /** This node's newest contributions, newest first. */
  async own(limit: number): Promise<OwnContribution[]> {
    const rows: OwnContribution[] = []
    for await (const row of this.allOwn(limit)) rows.push(row)
    return rows
  }

  /** The same one at a time. @param limit @default all */
  async *allOwn(limit?: number): AsyncGenerator<OwnContribution> {
    const range = { prefix: `${this.#run}/`, reverse: true, ...(limit === undefined ? {} : { limit }) }
    for await (const [, row] of this.#own().entries(range)) yield row
  }

  /** The oldest round of which bodies and anchors may be here: those of all before it are forgotten. Undefined where nothing is yet. */
  keptFrom(): Promise<number | undefined> {
    return this.#store.records.table<number>('kept').get(this.#run)
  }

  async keepFrom(round: number): Promise<void> {
    await this.#store.records.table<number>('kept').put(this.#run, round)
  }

  #rounds() {
    return this.#store.records.table<KeptRound>('rounds')
  }

  #own() {
    return this.#store.records.table<OwnContribution>('own')
  }

  #names() {
    return this.#store.records.table<string>('names')
  }

  #stretches() {
    return this.#store.records.table<string[]>('stretches')
  }

  #put(row: KeptRound): RecordOperation[] {
    const key = this.#roundKey(row.round)
    return [
      { type: 'put', table: 'rounds', key, value: row },
      { type: 'put', table: 'names', key, value: row.record }
    ]
  }

  async #headKey(): Promise<string> {
    return this.#roundKey((await this.head())?.round ?? 0)
  }

  #roundKey(round: number): string {
    return `${this.#run}/${orderedKey(round)}`
  }
}

function roundOf(key: string): number {
  return Number(key.slice(key.lastIndexOf('/') + 1))
}
