// What is wrong with this node now, each with the way out: the lines under `# Health:` in status. A line that comes or goes is an event.
import { performance } from 'node:perf_hooks'
import type { HealthLevel, HealthRow } from '../protocols/control/messages.ts'
import { type Allowance, Purses } from '../protocols/purses.ts'
import type { EventLog } from './events.ts'

/** Events about one line: that it comes and goes is told at once. One that flickers, as a stranger may have it, is told of once a minute, and pushes nothing else out of the log for days. */
export const LINE_TOLD: Allowance = { perSecond: 1 / 60, burst: 2 }

/** What a line says; the level is null where it went away. */
interface Word extends Omit<HealthRow, 'level'> {
  level: HealthLevel | null
}

/** The health lines of one node, by code. */
export class HealthBoard {
  readonly #rows = new Map<string, HealthRow>()
  readonly #events: Pick<EventLog, 'emit'>
  readonly #now: () => number
  readonly #purses = new Purses(LINE_TOLD)
  /** The level that each line had when an event told of it last. */
  readonly #told = new Map<string, HealthLevel | null>()
  /** What is to be told of a line as soon as it may be, if it is news by then. */
  readonly #waiting = new Map<string, Word>()

  /** @param now monotonic milliseconds */
  constructor({ events }: { events: Pick<EventLog, 'emit'> }, { now = () => performance.now() }: { now?: () => number } = {}) {
    this.#events = events
    this.#now = now
  }

  /** Shows or changes a line; only a new one, or another level, is an event. */
  show(row: HealthRow): void {
    this.#rows.set(row.code, row)
    this.#tell(row)
  }

  /** Takes a line away; `message` says what is good again. */
  clear(code: string, message: string): void {
    if (this.#rows.delete(code)) this.#tell({ code, level: null, message, fix: null })
  }

  /** Shows a line or takes it away, as a check that is made again and again finds. */
  check(code: string, found: Omit<HealthRow, 'code'> | null, goodAgain: string): void {
    if (found === null) this.clear(code, goodAgain)
    else this.show({ code, ...found })
  }

  /** Tells what has become of the lines that changed too often to be told of at once. */
  tellWaiting(): void {
    for (const word of [...this.#waiting.values()]) this.#tell(word)
  }

  /** The worst first. */
  rows(): HealthRow[] {
    const rank = { fail: 0, warn: 1, ok: 2 }
    return [...this.#rows.values()].sort((a, b) => rank[a.level] - rank[b.level] || (a.code < b.code ? -1 : 1))
  }

  #tell(word: Word): void {
    const { code, level, message, fix } = word
    this.#waiting.delete(code)
    if (level === (this.#told.get(code) ?? null)) return
    const now = this.#now()
    if (!this.#purses.has(code, 1, now)) {
      this.#waiting.set(code, word)
      return
    }
    this.#purses.pay(code, 1, now)
    this.#told.set(code, level)
    this.#events.emit({ type: 'health', code, message, data: { level: level ?? 'ok', fix } })
  }
}
