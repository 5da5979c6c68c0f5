// Peers that are dead and still listed by nodes that live: who listed whom, and how long after the death.

/** The longest time for which one node listed one dead one. */
export interface Ghost {
  /** The dead node. */
  of: number
  /** The one that lists it. */
  on: number
  seconds: number
}

interface Sight {
  index: number
  /** Peer ids that it lists, as peers or as members of a run. */
  lists: Iterable<string>
}

/** Told who died and came back, and what each living node lists. */
export class Ghosts {
  readonly #dead = new Map<string, { index: number; sinceMs: number }>()
  readonly #seen = new Map<string, Ghost>()

  died(index: number, peer: string, nowMs: number): void {
    this.#dead.set(peer, { index, sinceMs: nowMs })
  }

  /** It is starting again: from now on whoever lists it may be right. */
  returned(peer: string): void {
    this.#dead.delete(peer)
  }

  /** @param askedMs when the node was asked: what died after that it could not know. */
  saw({ index, lists }: Sight, askedMs: number): void {
    for (const peer of lists) {
      const death = this.#dead.get(peer)
      if (death === undefined || askedMs <= death.sinceMs) continue
      const key = `${death.index} ${index}`
      const seconds = (askedMs - death.sinceMs) / 1000
      if (seconds > (this.#seen.get(key)?.seconds ?? 0)) this.#seen.set(key, { of: death.index, on: index, seconds })
    }
  }

  /** The longest first. */
  list(): Ghost[] {
    return [...this.#seen.values()].sort((a, b) => b.seconds - a.seconds)
  }
}
