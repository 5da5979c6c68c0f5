// What each peer may cost: an amount that grows by the second up to a limit, and is paid from. Pure: the time is given.

export interface Allowance {
  perSecond: number
  /** The most that a peer that was silent for a while can spend at once. */
  burst: number
}

/** Peers whose purses are remembered; one forgotten begins with a full one, which says nothing about the mesh: ids cost nothing. */
const MAX_PURSES = 4_096

/** One purse a peer. */
export class Purses {
  readonly #allowance: Allowance
  readonly #purses = new Map<string, { amount: number; atMs: number }>()

  constructor(allowance: Allowance) {
    this.#allowance = allowance
  }

  has(peer: string, amount: number, nowMs: number): boolean {
    return this.#at(peer, nowMs).amount >= amount
  }

  /** Takes it out, also where there is not as much. */
  pay(peer: string, amount: number, nowMs: number): void {
    const purse = this.#at(peer, nowMs)
    purse.amount -= amount
    // The one that was silent longest goes first.
    this.#purses.delete(peer)
    if (this.#purses.size >= MAX_PURSES) this.#purses.delete(this.#purses.keys().next().value!)
    this.#purses.set(peer, purse)
  }

  /** Milliseconds until what was taken out beyond what there was has grown again. */
  debtMs(peer: string, nowMs: number): number {
    return (Math.max(0, -this.#at(peer, nowMs).amount) * 1000) / this.#allowance.perSecond
  }

  #at(peer: string, nowMs: number): { amount: number; atMs: number } {
    const { perSecond, burst } = this.#allowance
    const purse = this.#purses.get(peer) ?? { amount: burst, atMs: nowMs }
    purse.amount = Math.min(burst, purse.amount + (Math.max(0, nowMs - purse.atMs) / 1000) * perSecond)
    purse.atMs = nowMs
    return purse
  }
}
