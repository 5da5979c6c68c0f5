// What each peer may cost: an amount that grows by the second up to a limit, and is paid from. Pure: the time is given.

export interface Allowance {
  perSecond: number
  /** The most that a peer that was silent for a while can spend at once. */
  burst: number
}

/** Peers whose purses are remembered; one forgotten begins with a full one, which says nothing about the mesh: ids cost nothing. */
const MAX_PURSES = 4_096

/** One of the purses. */
export interface Purse {
  has(amount: number, nowMs: number): boolean
  /** Takes it out, also where there is not as much. */
  pay(amount: number, nowMs: number): void
  /** Milliseconds until what was taken out beyond what there was has grown again. */
  debtMs(nowMs: number): number
}

/** One purse a peer. */
export class Purses {
  readonly #allowance: Allowance
  readonly #purses = new Map<string, { amount: number; atMs: number }>()

  constructor(allowance: Allowance) {
    this.#allowance = allowance
  }

  of(peer: string): Purse {
    return {
      has: (amount, nowMs) => this.has(peer, amount, nowMs),
      pay: (amount, nowMs) => this.pay(peer, amount, nowMs),
      debtMs: nowMs => this.debtMs(peer, nowMs)
    }
  }

  has(peer: string, amount: number, nowMs: number): boolean {
    return this.#at(peer, nowMs).amount >= amount
  }

  pay(peer: string, amount: number, nowMs: number): void {
    const purse = this.#at(peer, nowMs)
    purse.amount -= amount
    // The one that was silent longest goes first.
    this.#purses.delete(peer)
    if (this.#purses.size >= MAX_PURSES) this.#purses.delete(this.#purses.keys().next().value!)
    this.#purses.set(peer, purse)
  }

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

/** Which addresses are one machine's for all that we know; null for one that does not say: it stands for itself, as each does where no rule is given. */
export type OriginOf = (address: string) => string | null

/** Who pays for what a peer costs: one that is accepted for itself, a stranger together with all others of its origin. Ids cost nothing, addresses do. */
export function payerOf(
  { peer, address, isAccepted }: { peer: string; address: string; isAccepted: boolean },
  originOf?: OriginOf
): string {
  return isAccepted ? peer : originAt(address, originOf)
}

function originAt(address: string, originOf: OriginOf = () => null): string {
  return originOf(address) ?? address
}

/** Whose purse it is that they share. */
const STRANGERS = 'strangers'

/** What strangers may cost, all together and those of each origin: ids cost nothing, so that none has a purse of its own. */
export class StrangersPurses {
  readonly #all: Purses
  readonly #origins: Purses
  readonly #originOf: OriginOf | undefined

  constructor({ all, origin }: { all: Allowance; origin: Allowance }, originOf?: OriginOf) {
    this.#all = new Purses(all)
    this.#origins = new Purses(origin)
    this.#originOf = originOf
  }

  /** Those that a stranger at this address pays from, its origin's first: while it waits for that it has taken nothing of the others'. */
  of(address: string): readonly [Purse, Purse] {
    return [this.#origins.of(originAt(address, this.#originOf)), this.#all.of(STRANGERS)]
  }
}
