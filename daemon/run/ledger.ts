// What one run keeps on disk between starts: its head, the rounds it adopted, the contributions it holds, and its own with their fates.

import type { RoundRow } from '../../protocols/control/messages.ts'
import { orderedKey, type RecordOperation, type Store } from '../../storage/index.ts'

/** How this node takes part in a run. */
export interface Membership {
  run: string
  /** False: follows rounds and holds anchors, trains nothing. */
  train: boolean
  paused: boolean
  data: string[]
  engine: string
  threads: number
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
  fate: 'made' | 'offered' | 'included' | 'late' | 'lost' | 'restored' | 'dropped'
}

/** An adopted round as the node keeps it: what the API tells, and what a restart needs to go on. */
export interface KeptRound extends RoundRow {
  parent: string
  contributions: { cid: string; body: string; peer: string; round: number; tokens: number; age: number }[]
}

/** Typed access to the store's tables for one run. */
export class Ledger {
  readonly #store: Store
  readonly #run: string

  constructor(store: Store, run: string) {
    this.#store = store
    this.#run = run
  }

  head(): Promise<Head | undefined> {
    return this.#store.records.table<Head>('heads').get(this.#run)
  }

  /**
   * One durable write for the head and the rounds that led to it: after it, they are adopted whatever happens.
   * @param forkedAfter the last round that the old head and the new one share, where they are on different branches
   * @returns the records of the branch that is left, oldest first
   */
  async adopt(head: Head, rounds: KeptRound[], forkedAfter: number | null): Promise<string[]> {
    const operations: RecordOperation[] = []
    const left: string[] = []
    if (forkedAfter !== null) {
      const abandoned = this.#rounds().entries({ gt: this.#roundKey(forkedAfter), prefix: `${this.#run}/` })
      for await (const [key, { record }] of abandoned) {
        operations.push({ type: 'delete', table: 'rounds', key })
        left.push(record)
      }
    }
    for (const round of rounds) operations.push({ type: 'put', table: 'rounds', key: this.#roundKey(round.round), value: round })
    operations.push({ type: 'put', table: 'heads', key: this.#run, value: head })
    await this.#store.records.batch(operations, { sync: true })
    return left
  }

  round(round: number): Promise<KeptRound | undefined> {
    return this.#rounds().get(this.#roundKey(round))
  }

  /** Adopted rounds, newest first. */
  async rounds(limit: number): Promise<KeptRound[]> {
    const rows: KeptRound[] = []
    for await (const [, row] of this.#rounds().entries({ prefix: `${this.#run}/`, reverse: true, limit })) rows.push(row)
    return rows
  }

  /** Adopted rounds from one on, oldest first, one at a time: a long run's are more than memory holds. */
  async *roundsFrom(fromRound: number): AsyncGenerator<KeptRound> {
    for await (const [, row] of this.#rounds().entries({ gte: this.#roundKey(fromRound), prefix: `${this.#run}/` })) yield row
  }

  /** CIDs of adopted records from a round on, oldest first. */
  async chain(fromRound: number, limit: number): Promise<string[]> {
    const records: string[] = []
    const range = { gte: this.#roundKey(fromRound), prefix: `${this.#run}/`, limit }
    for await (const [, { record }] of this.#rounds().entries(range)) records.push(record)
    return records
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

  #roundKey(round: number): string {
    return `${this.#run}/${orderedKey(round)}`
  }
}
