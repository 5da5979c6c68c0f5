// Who is asked for which block: the rule of a fetch, without streams, clocks or waiting.
import { FIRST_WANTS, MAX_OWED_WANTS, WINDOW_BYTES } from './constants.ts'

/** The blocks of one fetch that are not here yet, and where each one is asked for. */
export class Wants {
  /** Free to be asked for, in order. */
  readonly #free: Set<string>
  /** Asked for, by holder; a block asked of two holders stands in both. */
  readonly #owed = new Map<string, Set<string>>()
  /** Open blocks that a holder said it does not have. */
  readonly #absent = new Map<string, Set<string>>()
  readonly #open: Set<string>
  #receivedBlocks = 0
  #receivedBytes = 0

  constructor(cids: Iterable<string>) {
    this.#free = new Set(cids)
    this.#open = new Set(this.#free)
  }

  /** Blocks not here yet. */
  get open(): ReadonlySet<string> {
    return this.#open
  }

  /** How many blocks a holder should owe us: about a window's worth, and no more than its share while several are asked. */
  allowance(holders: number): number {
    const share = Math.max(1, Math.ceil(this.#free.size / Math.max(1, holders)))
    if (this.#receivedBlocks === 0) return Math.min(FIRST_WANTS, share)
    const meanBytes = Math.max(1, this.#receivedBytes / this.#receivedBlocks)
    // One more than fits: while the window's last block arrives, the next is already being read on the other side.
    return Math.min(MAX_OWED_WANTS, Math.ceil(WINDOW_BYTES / meanBytes) + 1, Math.max(4, share))
  }

  /** Takes up to `count` blocks to ask `holder` for. */
  take(holder: string, count: number): string[] {
    const absent = this.#absent.get(holder)
    const taken: string[] = []
    for (const cid of this.#free) {
      if (taken.length >= count) break
      if (!absent?.has(cid)) taken.push(cid)
    }
    for (const cid of taken) this.#free.delete(cid)
    this.#owe(holder, taken)
    return taken
  }

  /** Takes up to `count` blocks that others who lag owe and `holder` does not, the last ones asked for first; they arrive twice at worst. */
  takeOwedByOthers(holder: string, count: number, lags: (other: string) => boolean): string[] {
    const mine = this.#owed.get(holder)
    const absent = this.#absent.get(holder)
    const taken = new Set<string>()
    for (const [other, owed] of this.#owed) {
      if (other === holder || owed.size === 0 || !lags(other)) continue
      for (const cid of [...owed].reverse()) {
        if (taken.size >= count) break
        if (!mine?.has(cid) && !absent?.has(cid)) taken.add(cid)
      }
    }
    this.#owe(holder, taken)
    return [...taken]
  }

  /** A block came whole and right. False when it was here already. */
  received(cid: string, bytes: number): boolean {
    for (const owed of this.#owed.values()) owed.delete(cid)
    for (const absent of this.#absent.values()) absent.delete(cid)
    this.#free.delete(cid)
    this.#receivedBlocks += 1
    this.#receivedBytes += bytes
    return this.#open.delete(cid)
  }

  absent(holder: string, cid: string): void {
    if (!this.#open.has(cid)) return
    const absent = this.#absent.get(holder) ?? new Set()
    this.#absent.set(holder, absent.add(cid))
    this.#giveBack(holder, [cid])
  }

  /** The holder is out: what it owed is free again. */
  release(holder: string): void {
    this.#giveBack(holder, [...(this.#owed.get(holder) ?? [])])
    this.#owed.delete(holder)
  }

  /** True while the holder could still give a block that is not here. */
  mayHelp(holder: string): boolean {
    return this.#open.size > (this.#absent.get(holder)?.size ?? 0)
  }

  #owe(holder: string, cids: Iterable<string>): void {
    const owed = this.#owed.get(holder) ?? new Set()
    for (const cid of cids) owed.add(cid)
    this.#owed.set(holder, owed)
  }

  #giveBack(holder: string, cids: string[]): void {
    for (const cid of cids) {
      this.#owed.get(holder)?.delete(cid)
      const elsewhere = [...this.#owed.values()].some(owed => owed.has(cid))
      if (!elsewhere && this.#open.has(cid)) this.#free.add(cid)
    }
  }
}
