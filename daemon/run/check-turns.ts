// Whose contribution is checked next. Identities cost nothing, so there may be any number of contributions: few are checked at a time, and what is not
// checked yet is simply not held yet.
import { isAuthor, type RoundsState } from '../../protocols/rounds/index.ts'

/** Contributions that are checked and made durable at a time: those of a small mesh all at once, so that the disk commits them together. */
export const CHECKS_AT_ONCE = 8
/** With so many under way, no stranger's is begun: the arithmetic thread has enough to do, and an author's finds a place. */
export const STRANGERS_CHECKED_AT_ONCE = 4
/** The last records on the way to the next head, whose contributions are wanted here: of a longer way an anchor is taken over. */
const RECORDS_AHEAD = 4

/** What those records list comes first, then what authors sent, then the rest. */
const LISTED = 0
const AUTHORS = 1
const STRANGERS = 2

interface Waiting {
  peer: string
  /** @param isWanted whether the rules still ask for it */
  enter(isWanted: boolean): void
}

export class CheckTurns {
  readonly #rounds: () => RoundsState
  readonly #stopping: AbortSignal
  readonly #waiting = new Map<string, Waiting>()
  #inside = 0

  /** @param stopping fires when the run is left: the rules stand still then, and forget nothing more */
  constructor(rounds: () => RoundsState, stopping: AbortSignal) {
    this.#rounds = rounds
    this.#stopping = stopping
    stopping.addEventListener('abort', () => this.#admit(), { once: true })
  }

  /** Checks a contribution when its turn comes; not at all where the rules have forgotten it by then, or the run is being left. */
  async run(cid: string, peer: string, check: (isStrangers: boolean) => Promise<void>): Promise<void> {
    if (this.#stopping.aborted) return
    if (this.#inside < placesOf(rankIn(this.#rounds())(cid, peer))) this.#inside++
    else if (!(await new Promise<boolean>(enter => this.#waiting.set(cid, { peer, enter })))) return
    try {
      await check(rankIn(this.#rounds())(cid, peer) === STRANGERS)
    } finally {
      this.#inside--
      this.#admit()
    }
  }

  /** Lets in whoever comes next, if there is a place for it, and sends away those that nobody wants any more. */
  #admit(): void {
    const rounds = this.#rounds()
    const rankOf = rankIn(rounds)
    let next: { cid: string; rank: number } | null = null
    for (const [cid, { peer, enter }] of this.#waiting) {
      if (this.#stopping.aborted || !rounds.toFetch.has(cid)) {
        this.#waiting.delete(cid)
        enter(false)
        continue
      }
      const rank = rankOf(cid, peer)
      if (next === null || rank < next.rank) next = { cid, rank }
    }
    if (next === null || this.#inside >= placesOf(next.rank)) return
    this.#inside++
    const { enter } = this.#waiting.get(next.cid)!
    this.#waiting.delete(next.cid)
    enter(true)
  }
}

function placesOf(rank: number): number {
  return rank === STRANGERS ? STRANGERS_CHECKED_AT_ONCE : CHECKS_AT_ONCE
}

function rankIn(rounds: RoundsState): (cid: string, peer: string) => number {
  const listed = new Set<string>()
  let record = rounds.target
  for (let ahead = 0; ahead < RECORDS_AHEAD && !record.ready && record.parent !== null; ahead++) {
    for (const { cid } of record.parts) listed.add(cid)
    record = record.parent
  }
  return (cid, peer) => (listed.has(cid) ? LISTED : isAuthor(rounds, peer) ? AUTHORS : STRANGERS)
}
