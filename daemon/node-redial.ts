// Keeps calling peers that should be connected and are not: bootstrap addresses for ever, peers that were lost for a while.

/** Milliseconds before the first new attempt; doubles with each failure. */
export const REDIAL_FIRST_MS = 500
/** Milliseconds between attempts at most. */
export const REDIAL_MAX_MS = 15_000
/** Targets that are given up in time: peers that were lost. Whoever connects under ever new ids pushes out the oldest of them, no more. */
const MAX_PASSING_TARGETS = 256
/** Milliseconds between looks at who is due. */
const TICK_MS = 250

export interface RedialTarget {
  connected(): boolean
  /** Rejects when the peer cannot be reached. */
  dial(signal: AbortSignal): Promise<void>
  /** Milliseconds after which the target is given up. @default never */
  forMs?: number
}

/** Milliseconds to wait after `failures` failed attempts in a row. */
export function redialDelayMs(failures: number): number {
  return failures === 0 ? 0 : Math.min(REDIAL_MAX_MS, REDIAL_FIRST_MS * 2 ** (failures - 1))
}

interface Entry {
  target: RedialTarget
  sinceMs: number
  failures: number
  dueMs: number
  dialling: boolean
}

export class Redial {
  readonly #entries = new Map<string, Entry>()
  readonly #stopping = new AbortController()
  #timer: NodeJS.Timeout | undefined

  start(): void {
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
    this.#tick()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#stopping.abort(new Error('the node is stopping'))
    this.#entries.clear()
  }

  add(name: string, target: RedialTarget): void {
    const nowMs = performance.now()
    this.#entries.delete(name)
    const passing = [...this.#entries].filter(([, entry]) => entry.target.forMs !== undefined)
    if (target.forMs !== undefined && passing.length >= MAX_PASSING_TARGETS) this.#entries.delete(passing[0]![0])
    this.#entries.set(name, { target, sinceMs: nowMs, failures: 0, dueMs: nowMs, dialling: false })
  }

  remove(name: string): void {
    this.#entries.delete(name)
  }

  #tick(): void {
    const nowMs = performance.now()
    for (const [name, entry] of this.#entries) {
      const { target } = entry
      if (target.connected()) {
        entry.failures = 0
        entry.dueMs = nowMs
        if (target.forMs !== undefined) this.#entries.delete(name)
      } else if (target.forMs !== undefined && nowMs - entry.sinceMs > target.forMs) {
        this.#entries.delete(name)
      } else if (!entry.dialling && nowMs >= entry.dueMs) {
        void this.#dial(entry)
      }
    }
  }

  async #dial(entry: Entry): Promise<void> {
    entry.dialling = true
    try {
      await entry.target.dial(this.#stopping.signal)
      entry.failures = 0
    } catch {
      // Whoever is asked for may come back at any time: nothing to report, the node's peers say who is there.
      entry.failures += 1
    } finally {
      entry.dialling = false
      entry.dueMs = performance.now() + redialDelayMs(Math.max(1, entry.failures))
    }
  }
}
