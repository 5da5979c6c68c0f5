// Notices that this process stood still: it was stopped, the machine slept, or the event loop was blocked.
import { performance } from 'node:perf_hooks'

export interface ClockWatchOptions {
  /** Told how long nothing ran, in milliseconds. */
  onGap(gapMs: number): void
  /** Milliseconds that count as a gap: three times what a busy machine takes for a round's arithmetic on the main thread. @default 3000 */
  gapMs?: number
  /** @default 500 */
  intervalMs?: number
}

/** Owns one timer. */
export class ClockWatch {
  readonly #options: ClockWatchOptions
  #timer: NodeJS.Timeout | undefined
  #lastMonotonic = 0
  #lastWall = 0

  constructor(options: ClockWatchOptions) {
    this.#options = options
  }

  start(): void {
    this.#note()
    this.#timer = setInterval(() => this.#look(), this.#options.intervalMs ?? 500)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const monotonic = performance.now() - this.#lastMonotonic
    // While the machine sleeps the monotonic clock may stand still; a wall clock that is set forward looks the same and costs one sync.
    const wall = Date.now() - this.#lastWall
    this.#note()
    const gap = Math.max(monotonic, wall) - (this.#options.intervalMs ?? 500)
    if (gap >= (this.#options.gapMs ?? 3000)) this.#options.onGap(Math.round(gap))
  }

  #note(): void {
    this.#lastMonotonic = performance.now()
    this.#lastWall = Date.now()
  }
}
