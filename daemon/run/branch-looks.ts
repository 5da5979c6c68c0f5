// When a branch that parted from ours before all that the rules remember is looked at: it is fetched, and our own past is read, which may take minutes.

/** Between two looks, in ms. */
export const LOOK_MS = 60_000
/** Of the time since the last look began: what strangers' branches may take of this node, whoever shows them. */
const STRANGERS_SHARE = 1 / 20
/** What our own past lacks on this disk is not there a minute later: the wait doubles to this, in ms. */
export const LOOK_MAX_MS = 60 * 60_000

export class BranchLooks {
  #beganAtMs = Number.NEGATIVE_INFINITY
  #tookMs = 0
  /** Looks in a row that found our own past not whole. */
  #failures = 0

  /** @param isStrangers no author names the branch */
  waitMs(isStrangers: boolean, nowMs: number): number {
    const betweenMs = Math.min(LOOK_MAX_MS, LOOK_MS * 2 ** this.#failures)
    return this.#beganAtMs + (isStrangers ? Math.max(betweenMs, this.#tookMs / STRANGERS_SHARE) : betweenMs) - nowMs
  }

  began(nowMs: number): void {
    this.#beganAtMs = nowMs
  }

  ended(tookMs: number): void {
    this.#tookMs = tookMs
  }

  sawPast(isWhole: boolean): void {
    this.#failures = isWhole ? 0 : this.#failures + 1
  }
}
