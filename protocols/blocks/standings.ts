// How peers behaved as holders of late: whom to ask first, and whom last. Kept between fetches, so that one who cost time once does not each time.
import { RecentMap } from '../recent-map.ts'
import { GOOD_MS, LIAR_MS, MAX_STANDINGS, SLOW_MS } from './constants.ts'

/** In the order in which they are asked; liars only where nobody else is left. */
export const RANKS = ['good', 'unknown', 'slow', 'liar'] as const
export type Rank = (typeof RANKS)[number]

interface Standing {
  rank: Rank
  untilMs: number
}

const LASTS_MS: Record<Exclude<Rank, 'unknown'>, number> = { good: GOOD_MS, slow: SLOW_MS, liar: LIAR_MS }

export class Standings {
  readonly #standings = new RecentMap<string, Standing>(MAX_STANDINGS)

  /** Remembers it for a while. What is worse stands until its time is over: one block given does not make good for a slot held up. */
  note(peer: string, rank: keyof typeof LASTS_MS): void {
    const known = this.of(peer)
    if (known !== 'unknown' && RANKS.indexOf(known) > RANKS.indexOf(rank)) return
    this.#standings.set(peer, { rank, untilMs: performance.now() + LASTS_MS[rank] })
  }

  of(peer: string): Rank {
    const standing = this.#standings.get(peer)
    return standing === undefined || standing.untilMs <= performance.now() ? 'unknown' : standing.rank
  }

  /**
   * Best first, and in an order of chance among equals: whoever announces first, or most often, gains nothing.
   * @param holders said that they have it: before the others, but after those where they held a place up or lied
   */
  sorted(peers: Iterable<string>, holders: readonly string[] = []): string[] {
    const named = new Set(holders)
    const drawn = [...peers].map(peer => {
      const known = RANKS.indexOf(this.of(peer))
      const rank = named.has(peer) && known <= RANKS.indexOf('unknown') ? -1 : known
      return { peer, rank, lot: Math.random() }
    })
    return drawn.sort((a, b) => a.rank - b.rank || a.lot - b.lot).map(({ peer }) => peer)
  }
}
