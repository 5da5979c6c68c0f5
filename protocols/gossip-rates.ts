// How much gossip one peer may bring: the rule. Pure: the time is given.
//
// A *source* is the neighbour that handed a message over; it pays for whatever it brings, its own or others', right or wrong, before anything is looked at.
// An *author* is who signed it; it pays for what proved to be news only, so that nobody empties another's purse by playing old messages again. A source
// that overdraws is not listened to for a while, in which gossipsub drops what it sends unread. Sources that no run has accepted pay from the purse of where
// they are, and from one of all of them: ids cost nothing.
import { type Allowance, type OriginOf, type Purse, Purses, StrangersPurses } from './purses.ts'
import { RecentMap } from './recent-map.ts'

/** A neighbour's messages, its own and others': presence of a thousand peers, and as much when we were stopped for some seconds. */
export const SOURCE_MESSAGES: Allowance = { perSecond: 500, burst: 4_000 }
/** Bytes: sixteen messages a second of the largest size. */
export const SOURCE_BYTES: Allowance = { perSecond: 1024 * 1024, burst: 16 * 1024 * 1024 }
/** News of one author: presence speaks at most ten times a second; a node may say at once of a thousand contributions that it holds them. */
export const AUTHOR_MESSAGES: Allowance = { perSecond: 20, burst: 200 }
export const AUTHOR_BYTES: Allowance = { perSecond: 256 * 1024, burst: 4 * 1024 * 1024 }
/** How many times what one source may bring all together may that no run has accepted: of an empty mesh everybody is a stranger, and hears each message once. */
const ALL_STRANGERS = 4
/** Milliseconds for which a source that overdrew is not listened to. */
export const DEAF_MS = 10_000
/** Messages that one of an author's own, beyond what it may say, counts for. */
const OWN_EXCESS_MESSAGES = 10
const MAX_DEAF_TO = 4_096

/** A neighbour that hands messages over. */
export interface GossipSource {
  peer: string
  /** Where it is, if no run has accepted it: it pays with all others there. */
  strangerAt: string | null
}

/** Who wants to bring more than it may: this neighbour, or all strangers together, which is not this one's fault. */
export type GossipExcess = 'source' | 'strangers'

interface SourcePurses {
  messages: Purse
  bytes: Purse
}

export class GossipRates {
  readonly #sourceMessages = new Purses(SOURCE_MESSAGES)
  readonly #sourceBytes = new Purses(SOURCE_BYTES)
  readonly #strangersMessages: StrangersPurses
  readonly #strangersBytes: StrangersPurses
  readonly #authorMessages = new Purses(AUTHOR_MESSAGES)
  readonly #authorBytes = new Purses(AUTHOR_BYTES)
  readonly #deafUntilMs = new RecentMap<string, number>(MAX_DEAF_TO)

  constructor(originOf: OriginOf) {
    this.#strangersMessages = new StrangersPurses({ all: times(ALL_STRANGERS, SOURCE_MESSAGES), origin: SOURCE_MESSAGES }, originOf)
    this.#strangersBytes = new StrangersPurses({ all: times(ALL_STRANGERS, SOURCE_BYTES), origin: SOURCE_BYTES }, originOf)
  }

  /** A source brings a message of so many bytes, all of it, before anything of it is looked at: null where it may. */
  bring(source: GossipSource, bytes: number, nowMs: number): GossipExcess | null {
    if (this.isDeafTo(source.peer, nowMs)) return 'source'
    const paid = this.#pursesOf(source)
    const short = paid.find(purses => !purses.messages.has(1, nowMs) || !purses.bytes.has(bytes, nowMs))
    if (short === paid[0]) {
      this.#deafUntilMs.set(source.peer, nowMs + DEAF_MS)
      return 'source'
    }
    if (short !== undefined) return 'strangers'
    for (const purses of paid) {
      purses.messages.pay(1, nowMs)
      purses.bytes.pay(bytes, nowMs)
    }
    return null
  }

  /** Whether an author may say something of so many bytes. */
  mayBeSaid(author: string, bytes: number, nowMs: number): boolean {
    return this.#authorMessages.has(author, 1, nowMs) && this.#authorBytes.has(author, bytes, nowMs)
  }

  /** A source that says more itself than an author may pays for it: of a flood, little is looked at. */
  saidTooMuch(source: GossipSource, nowMs: number): void {
    this.#pursesOf(source)[0].messages.pay(OWN_EXCESS_MESSAGES, nowMs)
  }

  /** It was news: its author pays. */
  wasNews(author: string, bytes: number, nowMs: number): void {
    this.#authorMessages.pay(author, 1, nowMs)
    this.#authorBytes.pay(author, bytes, nowMs)
  }

  /** Whether a neighbour overdrew a moment ago: nothing of what it sends is read. */
  isDeafTo(source: string, nowMs: number): boolean {
    return (this.#deafUntilMs.get(source) ?? Number.NEGATIVE_INFINITY) > nowMs
  }

  /** Its own first, then, of a stranger, those that it shares with all strangers. */
  #pursesOf({ peer, strangerAt }: GossipSource): readonly [SourcePurses, ...SourcePurses[]] {
    if (strangerAt === null) return [{ messages: this.#sourceMessages.of(peer), bytes: this.#sourceBytes.of(peer) }]
    const [messages, allMessages] = this.#strangersMessages.of(strangerAt)
    const [bytes, allBytes] = this.#strangersBytes.of(strangerAt)
    return [
      { messages, bytes },
      { messages: allMessages, bytes: allBytes }
    ]
  }
}

function times(n: number, { perSecond, burst }: Allowance): Allowance {
  return { perSecond: n * perSecond, burst: n * burst }
}
