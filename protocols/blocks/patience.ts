// One timer for one peer: how long it may say nothing, or next to nothing. Kept by hand because a signal for every frame would cost more than the frame.

/** Looks in one limit; it is they that are counted. */
const LOOKS = 20

export interface Hearing {
  /** Bytes heard from the peer so far. */
  heardBytes: () => number
  /** Bytes that start the count anew when they came within it. */
  enoughBytes: number
}

export class Patience {
  readonly #limitMs: number
  readonly #lookMs: number
  readonly #aborting = new AbortController()
  readonly #outer: AbortSignal | undefined
  readonly #onOuter = () => this.#aborting.abort(this.#outer?.reason)
  #timer: NodeJS.Timeout | undefined
  #looks = 0
  #bytesBefore = 0
  #hearing: Hearing | undefined
  /** True when it ran out. */
  lost = false

  constructor(limitMs: number, outer?: AbortSignal) {
    this.#limitMs = limitMs
    this.#lookMs = limitMs / LOOKS
    this.#outer = outer
    if (outer?.aborted === true) this.#onOuter()
    outer?.addEventListener('abort', this.#onOuter, { once: true })
  }

  /** For calls that wait: their signal fires when patience runs out, and with the outer signal. */
  get options(): { signal: AbortSignal } {
    return { signal: this.#aborting.signal }
  }

  /** From now on bytes count, where enough of them come: a slow peer is not a silent one, and one byte now and then is no progress. */
  listen(hearing: Hearing): void {
    this.#hearing = hearing
    this.#bytesBefore = hearing.heardBytes()
  }

  /** Starts counting anew. */
  renew(): void {
    this.#looks = 0
    this.#bytesBefore = this.#hearing?.heardBytes() ?? 0
    this.resume()
  }

  /** Goes on counting where it rested. */
  resume(): void {
    this.rest()
    this.#timer = setTimeout(() => this.#look(), this.#lookMs)
  }

  /**
   * A look that comes late says that this process stood still, or hardly gets its turn: what the peer sent lies unread, and on a machine that busy the peer
   * may wait for its turn as well. So a late look counts no more than another.
   */
  #look(): void {
    this.#looks += 1
    const heardBytes = this.#hearing?.heardBytes() ?? 0
    if (this.#hearing !== undefined && heardBytes - this.#bytesBefore >= this.#hearing.enoughBytes) {
      this.#looks = 0
      this.#bytesBefore = heardBytes
    }
    if (this.#looks < LOOKS) {
      this.resume()
      return
    }
    this.lost = true
    this.#aborting.abort(new DOMException(`nothing for ${this.#limitMs} ms`, 'TimeoutError'))
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
