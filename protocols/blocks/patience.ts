// One timer for one peer: how long it may say nothing. Kept by hand because a signal for every frame would cost more than the frame.

export class Patience {
  readonly #limitMs: number
  readonly #aborting = new AbortController()
  readonly #outer: AbortSignal | undefined
  readonly #onOuter = () => this.#aborting.abort(this.#outer?.reason)
  #timer: NodeJS.Timeout | undefined
  #since = 0
  /** When the peer was last heard, ms of performance.now(). */
  heardMs: () => number = () => 0
  /** True when it ran out. */
  lost = false

  constructor(limitMs: number, outer?: AbortSignal) {
    this.#limitMs = limitMs
    this.#outer = outer
    if (outer?.aborted === true) this.#onOuter()
    outer?.addEventListener('abort', this.#onOuter, { once: true })
  }

  /** For calls that wait: their signal fires when patience runs out, and with the outer signal. */
  get options(): { signal: AbortSignal } {
    return { signal: this.#aborting.signal }
  }

  /** Starts counting anew; from whatever is heard meanwhile, too. */
  renew(): void {
    this.#since = performance.now()
    this.#count(this.#limitMs)
  }

  #count(ms: number): void {
    this.rest()
    this.#timer = setTimeout(() => {
      const leftMs = Math.max(this.#since, this.heardMs()) + this.#limitMs - performance.now()
      // Timers may come a little early.
      if (leftMs > 1) {
        this.#count(leftMs)
        return
      }
      this.lost = true
      this.#aborting.abort(new DOMException(`nothing for ${this.#limitMs} ms`, 'TimeoutError'))
    }, ms)
  }

  /** Stops counting: nothing is owed. */
  rest(): void {
    clearTimeout(this.#timer)
  }

  end(): void {
    this.rest()
    this.#outer?.removeEventListener('abort', this.#onOuter)
  }
}
