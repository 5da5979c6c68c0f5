// Joins a run that nobody in sight may know yet: tries again, ever more seldom, until it is joined or refused for a reason that time does not mend.
import { codeOf, reasonOf } from '../errors.ts'

/** Milliseconds before the second try; doubles with each failure. */
export const SEEK_FIRST_MS = 1_000
/** Milliseconds between tries at most: what a run that appears on a quiet mesh waits for us. */
export const SEEK_MAX_MS = 60_000

/** Failures that lie in who is here now and what the machine has to spare now. All others stay: a manifest that is wrong, text that was not named. */
const PASSING: ReadonlySet<string> = new Set([
  'unknown_run',
  'no_peers',
  'block_unavailable',
  'peer_unreachable',
  'peer_stalled',
  'timeout',
  'not_enough_memory',
  'disk_full'
])

export interface SeekOptions {
  /** One try. */
  join: (options: { signal: AbortSignal }) => Promise<void>
  /** Whether a failure of this code may pass. @default those that lie in who is here now and what the machine has to spare */
  passes?: (code: string) => boolean
  /** Peers that are in the run by now. @default none */
  members?: Iterable<string>
  /** Why a try before the first failed: that waits its turn then. */
  failed?: { code: string; message: string }
  /** Milliseconds between tries at most, for a failure of this code. @default SEEK_MAX_MS */
  maxMs?: (code: string) => number
  /** Told of a failure that may pass, once for each code in a row. */
  onWaiting: (reason: { code: string; message: string }) => void
  /** @default SEEK_FIRST_MS */
  firstMs?: number
}

/** Milliseconds to wait after `failures` failed tries, from 1. */
export function seekDelayMs(failures: number, firstMs = SEEK_FIRST_MS, maxMs = SEEK_MAX_MS): number {
  return Math.min(maxMs, firstMs * 2 ** (failures - 1))
}

/** One run that is looked for. */
export class Seek {
  readonly #options: SeekOptions
  readonly #stopping = new AbortController()
  /** Peers that are in the run, as they say. */
  readonly #members: Set<string>
  #reason: { code: string; message: string } | null = null
  /** Somebody came into the run since the last try began: that may not have asked him. */
  #isNews = false
  #wake: () => void = () => {}

  constructor(options: SeekOptions) {
    this.#options = options
    this.#members = new Set(options.members)
  }

  /** Why the last try failed; null before the first has. */
  get reason(): string | null {
    return this.#reason?.message ?? null
  }

  /** Resolves when the run is joined, by this or otherwise, or the search was stopped; rejects when it is refused for good. */
  async run(): Promise<void> {
    const { signal } = this.#stopping
    this.#reason = this.#options.failed ?? null
    if (this.#reason !== null) await this.#wait(seekDelayMs(1, this.#options.firstMs))
    for (let failures = 1; !signal.aborted; failures++) {
      this.#isNews = false
      try {
        return await this.#options.join({ signal })
      } catch (error) {
        if (signal.aborted) return
        const code = codeOf(error)
        if (code === 'already_joined') return
        if (!(this.#options.passes?.(code) ?? PASSING.has(code))) throw error
        const isNews = this.#reason?.code !== code
        this.#reason = { code, message: reasonOf(error) }
        if (isNews) this.#options.onWaiting(this.#reason)
      }
      await this.#wait(seekDelayMs(this.#isNews ? 1 : failures, this.#options.firstMs, this.#options.maxMs?.(this.#reason!.code)))
      if (signal.aborted) return
    }
  }

  /** What a peer says every two seconds: tries at once where it was not in the run until now, or soon after the try that is under way. Who has been in it all along had nothing for us at the last try. */
  heard(peer: string, isInRun: boolean): void {
    if (!isInRun) this.#members.delete(peer)
    else if (!this.#members.has(peer)) {
      this.#members.add(peer)
      this.#isNews = true
      this.#wake()
    }
  }

  stop(): void {
    this.#stopping.abort()
    this.#wake()
  }

  #wait(ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
