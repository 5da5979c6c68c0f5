// When a node asks the DHT for those nearest to it, by which nodes that share only a bootstrap node find each other: the rule. Pure: the time is given.
import { Purses } from '../protocols/purses.ts'

/** Milliseconds after a new connection before we ask; the other side needs a moment to enter us into its table. */
export const LOOKUP_DELAY_MS = 300
/** Milliseconds between such queries at least, and the first wait after one; doubles while nobody new comes. A query costs every node tens of milliseconds of computing. */
export const LOOKUP_FIRST_MS = 2_500
export const LOOKUP_MAX_MS = 5 * 60_000
/** How often somebody whom gossip names, and nobody has seen, makes us ask anew: a mesh that forms names dozens within a minute, and names cost nothing. */
const NAMED = { perSecond: 1_000 / LOOKUP_MAX_MS, burst: 16 }

export class LookupTimes {
  readonly #named = new Purses(NAMED)
  #waitMs = LOOKUP_FIRST_MS
  #lastMs = Number.NEGATIVE_INFINITY

  /** Somebody new is connected: when to ask. */
  afterMeeting(nowMs: number): number {
    this.#waitMs = LOOKUP_FIRST_MS
    return Math.max(nowMs + LOOKUP_DELAY_MS, this.#lastMs + LOOKUP_FIRST_MS)
  }

  /** Somebody was named: when to ask, null where it stays as it is. */
  afterName(nowMs: number): number | null {
    if (!this.#named.has('all', 1, nowMs)) return null
    this.#named.pay('all', 1, nowMs)
    return this.afterMeeting(nowMs)
  }

  /** We ask: when to do so again. */
  afterAsking(nowMs: number): number {
    this.#lastMs = nowMs
    const nextMs = nowMs + this.#waitMs
    this.#waitMs = Math.min(LOOKUP_MAX_MS, this.#waitMs * 2)
    return nextMs
  }
}
