// One timer for one peer: how long it may say nothing. Kept by hand because a signal for every frame would cost more than the frame.

export class Patience {
  readonly #limitMs: number
  readonly #aborting = new AbortController()
  readonly #outer: AbortSignal | undefined
  readonly #onOuter = () => this.#aborting.abort(this.#outer?.reason)
  #timer: NodeJS.Timeout | undefined
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

  /** Starts counting anew. */
  renew(): void {
    this.rest()
    this.#timer = setTimeout(() => {
      this.lost = true
      this.#aborting.abort(new DOMException(`nothing for ${this.#limitMs} ms`, 'TimeoutError'))
    }, this.#limitMs)
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
