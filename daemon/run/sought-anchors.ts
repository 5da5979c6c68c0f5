// Anchors that are fetched to get to where the others are. Each is as large as the model; a node that is slower than the rounds seeks one after the other and may adopt none.
import { DaemonError } from '../errors.ts'

/** Anchors sought at once: rules that waver between two branches need not fetch either twice. */
const SOUGHT_MAX = 2

/** Lets the oldest go when another is sought. */
export class SoughtAnchors {
  readonly #abandon: (anchor: string) => void
  readonly #sought = new Map<string, { stop: AbortController; ended: Promise<unknown> }>()

  /** @param abandon told of one that is not sought any more, when nothing more of it comes */
  constructor(abandon: (anchor: string) => void) {
    this.#abandon = abandon
  }

  /** @param fetch gets it; ends at the signal */
  async fetch(anchor: string, fetch: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const stop = new AbortController()
    const fetching = fetch(stop.signal)
    const ended = Promise.allSettled([fetching, this.#sought.get(anchor)?.ended])
    this.#sought.delete(anchor)
    this.#sought.set(anchor, { stop, ended })
    if (this.#sought.size > SOUGHT_MAX) this.#letGo(this.#sought.keys().next().value!)
    await fetching
  }

  #letGo(anchor: string): void {
    const { stop, ended } = this.#sought.get(anchor)!
    this.#sought.delete(anchor)
    stop.abort(new DaemonError('block_unavailable', `Anchor ${anchor} is not sought any more: the others are further on`))
    void ended.then(() => {
      if (!this.#sought.has(anchor)) this.#abandon(anchor)
    })
  }
}
