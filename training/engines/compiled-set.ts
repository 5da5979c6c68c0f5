// What an engine has compiled and not yet disposed, so that disposing the engine disposes it, and nothing is held on to longer.

export interface Disposable {
  dispose(): Promise<void>
}

export class CompiledSet {
  readonly #open = new Set<Disposable>()

  /** Remembers it until its own dispose is called. */
  track<T extends Disposable>(one: T): T {
    const dispose = one.dispose.bind(one)
    one.dispose = () => {
      this.#open.delete(one)
      return dispose()
    }
    this.#open.add(one)
    return one
  }

  async dispose(): Promise<void> {
    for (const one of [...this.#open]) await one.dispose()
  }
}
