// Lets a bounded number of operations run at once; the others wait in order. Closing waits for those inside and refuses those that come later.

export class Gate {
  readonly #places: number
  readonly #waiting: (() => void)[] = []
  #inside = 0
  #closed: (() => Error) | null = null
  #whenEmpty: (() => void)[] = []

  constructor(places: number) {
    this.#places = places
  }

  async run<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#closed !== null) throw this.#closed()
    if (this.#inside >= this.#places) await new Promise<void>(enter => this.#waiting.push(enter))
    else this.#inside += 1
    try {
      return await operation()
    } finally {
      const next = this.#waiting.shift()
      if (next !== undefined)
        next() // The place is handed over, so that nobody slips in between.
      else {
        this.#inside -= 1
        if (this.#inside === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve()
      }
    }
  }

  /** Refuses newcomers with the given error and resolves when those inside or waiting are done. */
  async close(reason: () => Error): Promise<void> {
    this.#closed = reason
    if (this.#inside > 0) await new Promise<void>(resolve => this.#whenEmpty.push(resolve))
  }
}
