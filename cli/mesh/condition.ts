// Waiting for a fact about changing state without polling: whoever changes the state says so, whoever waits looks again.

export class Condition {
  #waiters = new Set<() => void>()

  /** To be called after every change that somebody may wait for. */
  changed(): void {
    const waiters = this.#waiters
    this.#waiters = new Set()
    for (const wake of waiters) wake()
  }

  /** Settles once `holds` returns a value other than undefined and false, with that value. @throws the signal's reason. */
  async until<Value>(holds: () => Value | undefined | false, { signal }: { signal: AbortSignal }): Promise<Value> {
    for (;;) {
      signal.throwIfAborted()
      const value = holds()
      if (value !== undefined && value !== false) return value
      await this.#next(signal)
    }
  }

  #next(signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake)
        this.#waiters.delete(wake)
        resolve()
      }
      this.#waiters.add(wake)
      signal.addEventListener('abort', wake, { once: true })
    })
  }
}
