// How much gossip one peer may bring: the rule. Pure: the time is given.
//
// A *source* is the neighbour that handed a message over; it pays for whatever it brings, its own or others', right or wrong, before anything is looked at.
// An *author* is who signed it; it pays for what proved to be news only, so that nobody empties another's purse by playing old messages again. A source
// that overdraws is not listened to for a while, in which gossipsub drops what it sends unread.
import { type Allowance, Purses } from './purses.ts'
import { RecentMap } from './recent-map.ts'

/** A neighbour's messages, its own and others': presence of a thousand peers, and as much when we were stopped for some seconds. */
export const SOURCE_MESSAGES: Allowance = { perSecond: 500, burst: 4_000 }
/** Bytes: sixteen messages a second of the largest size. */
export const SOURCE_BYTES: Allowance = { perSecond: 1024 * 1024, burst: 16 * 1024 * 1024 }
/** News of one author: presence speaks at most ten times a second; a node may say at once of a thousand contributions that it holds them. */
export const AUTHOR_MESSAGES: Allowance = { perSecond: 20, burst: 200 }
export const AUTHOR_BYTES: Allowance = { perSecond: 256 * 1024, burst: 4 * 1024 * 1024 }
/** Milliseconds for which a source that overdrew is not listened to. */
export const DEAF_MS = 10_000
/** Messages that one of an author's own, beyond what it may say, counts for. */
const OWN_EXCESS_MESSAGES = 10
const MAX_DEAF_TO = 4_096

export interface GossipMessageFacts {
  source: string
  author: string
  bytes: number
}

export class GossipRates {
  readonly #sourceMessages = new Purses(SOURCE_MESSAGES)
  readonly #sourceBytes = new Purses(SOURCE_BYTES)
  readonly #authorMessages = new Purses(AUTHOR_MESSAGES)
  readonly #authorBytes = new Purses(AUTHOR_BYTES)
  readonly #deafUntilMs = new RecentMap<string, number>(MAX_DEAF_TO)

  /** One message, before it is looked at: who brought too much, or null where it may be. */
  take({ source, author, bytes }: GossipMessageFacts, nowMs: number): { excess: string } | null {
    if (this.isDeafTo(source, nowMs)) return { excess: source }
    if (!this.#sourceMessages.has(source, 1, nowMs) || !this.#sourceBytes.has(source, bytes, nowMs)) {
      this.#deafUntilMs.set(source, nowMs + DEAF_MS)
      return { excess: source }
    }
    this.#sourceMessages.pay(source, 1, nowMs)
    this.#sourceBytes.pay(source, bytes, nowMs)
    const affords = this.#authorMessages.has(author, 1, nowMs) && this.#authorBytes.has(author, bytes, nowMs)
    // Its own excess costs a source more: of a flood, little is looked at.
    if (!affords && author === source) this.#sourceMessages.pay(source, OWN_EXCESS_MESSAGES, nowMs)
    return affords ? null : { excess: author }
  }

  /** It was news: its author pays. */
  wasNews({ author, bytes }: GossipMessageFacts, nowMs: number): void {
    this.#authorMessages.pay(author, 1, nowMs)
    this.#authorBytes.pay(author, bytes, nowMs)
  }

  /** Whether a neighbour overdrew a moment ago: nothing of what it sends is read. */
  isDeafTo(source: string, nowMs: number): boolean {
    return (this.#deafUntilMs.get(source) ?? Number.NEGATIVE_INFINITY) > nowMs
  }
}
