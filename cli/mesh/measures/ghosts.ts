// Peers that are dead and still listed by nodes that live: who listed whom, and how long after the death.

/** The longest time for which one node listed one dead one. */
export interface Ghost {
  /** The dead node. */
  of: number
  /** The one that lists it. */
  on: number
  seconds: number
  /** It was listed still when the other was last looked at: for how much longer nobody knows. */
  isListed: boolean
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
  /** How often somebody died. */
  deaths = 0

  died(index: number, peer: string, nowMs: number): void {
    this.deaths++
    this.#dead.set(peer, { index, sinceMs: nowMs })
    this.#forget(({ on }) => on === index)
  }

  /** It is starting again: from now on whoever lists it may be right. */
  returned(peer: string): void {
    const death = this.#dead.get(peer)
    this.#dead.delete(peer)
    this.#forget(({ of }) => of === death?.index)
  }

  /** @param askedMs when the node was asked: what died after that it could not know. */
  saw({ index, lists }: Sight, askedMs: number): void {
    this.#forget(({ on }) => on === index)
    for (const peer of lists) {
      const death = this.#dead.get(peer)
      if (death === undefined || askedMs <= death.sinceMs) continue
      const key = `${death.index} ${index}`
      const seconds = (askedMs - death.sinceMs) / 1000
      const longest = Math.max(seconds, this.#seen.get(key)?.seconds ?? 0)
      this.#seen.set(key, { of: death.index, on: index, seconds: longest, isListed: true })
    }
  }

  /** That it is still listed: it is not, or it may be, or whoever listed it is gone. */
  #forget(which: (ghost: Ghost) => boolean): void {
    for (const ghost of this.#seen.values()) if (which(ghost)) ghost.isListed = false
  }

  /** The longest first. */
  list(): Ghost[] {
    return [...this.#seen.values()].sort((a, b) => b.seconds - a.seconds)
  }
}
