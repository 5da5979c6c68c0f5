// When a node announces in the DHT what it has, by which newcomers near those keys learn of it: the rule. Pure: the time is given.
import { LOOKUP_DELAY_MS } from './node-lookups.ts'

/** Milliseconds from the end of one announcement to the next, as between look-ups: it is a query for each run, and anybody who connects wants one. */
export const ANNOUNCE_PAUSE_MS = 2_500

export class AnnounceTimes {
  /** When the one begins that is set or under way. */
  #dueMs: number | null = null
  #endedMs = Number.NEGATIVE_INFINITY
  #isWantedAgain = false

  /** Somebody new is connected, or there is something new to announce: when to begin; null where it stays as it is. */
  wanted(nowMs: number): number | null {
    const readyMs = nowMs + LOOKUP_DELAY_MS
    if (this.#dueMs === null) {
      this.#dueMs = Math.max(readyMs, this.#endedMs + ANNOUNCE_PAUSE_MS)
      return this.#dueMs
    }
    // What is set or under way is too early for it, and is not put off: whoever came again and again would put it off for ever.
    if (readyMs > this.#dueMs) this.#isWantedAgain = true
    return null
  }

  /** One is over: when to begin the next; null where nobody wants one. */
  ended(nowMs: number): number | null {
    this.#endedMs = nowMs
    this.#dueMs = null
    const isWanted = this.#isWantedAgain
    this.#isWantedAgain = false
    return isWanted ? this.wanted(nowMs) : null
  }
}
