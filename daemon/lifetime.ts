// What was started, in order, so that it can be stopped in reverse: after a full life and after a start that failed half-way alike.
import { DaemonError } from './errors.ts'

export interface LifetimeOptions {
  /** Milliseconds that a part may take to stop before the next is stopped anyway, where it has no limit of its own. @default 10000 */
  stopTimeoutMs?: number
  /** Told of a part that failed to stop or took too long. */
  onTrouble?: (part: string, error: unknown) => void
}

interface Part {
  name: string
  stop: () => void | Promise<void>
  timeoutMs: number
}

/** The parts of a daemon while it lives. */
export class Lifetime {
  readonly #parts: Part[] = []
  readonly #stopTimeoutMs: number
  readonly #onTrouble: (part: string, error: unknown) => void
  #stopping: Promise<void> | undefined

  constructor(options: LifetimeOptions = {}) {
    this.#stopTimeoutMs = options.stopTimeoutMs ?? 10_000
    this.#onTrouble = options.onTrouble ?? (() => {})
  }

  /**
   * Notes how a part that has just started is stopped, and how many ms that may take where it has more to do than others.
   *
   * @throws {DaemonError} `stopping`: it came too late, and is stopped at once
   */
  onStop(name: string, stop: () => void | Promise<void>, { timeoutMs = this.#stopTimeoutMs }: { timeoutMs?: number } = {}): void {
    const part = { name, stop, timeoutMs }
    if (this.#stopping === undefined) {
      this.#parts.push(part)
      return
    }
    void this.#stopOne(part)
    throw new DaemonError('stopping', `the daemon is stopping, ${name} comes too late`)
  }

  /** Stops every part, the last one first; a part that fails or hangs does not keep the others alive. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    for (const part of this.#parts.reverse()) await this.#stopOne(part)
  }

  async #stopOne({ name, stop, timeoutMs }: Part): Promise<void> {
    try {
      await within(timeoutMs, stop)
    } catch (error) {
      this.#onTrouble(name, error)
    }
  }
}

async function within(limitMs: number, work: () => void | Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DaemonError('timeout', `not stopped after ${limitMs} ms`)), limitMs)
  })
  try {
    await Promise.race([work(), late])
  } finally {
    clearTimeout(timer)
  }
}
