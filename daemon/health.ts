// What is wrong with this node now, each with the way out: the lines under `# Health:` in status. A line that comes or goes is an event.
import type { HealthRow } from '../protocols/control/messages.ts'
import type { EventLog } from './events.ts'

/** The health lines of one node, by code. */
export class HealthBoard {
  readonly #rows = new Map<string, HealthRow>()
  readonly #events: Pick<EventLog, 'emit'>

  constructor({ events }: { events: Pick<EventLog, 'emit'> }) {
    this.#events = events
  }

  /** Shows or changes a line; only a new one, or another level, is an event. */
  show(row: HealthRow): void {
    const before = this.#rows.get(row.code)
    this.#rows.set(row.code, row)
    if (before?.level === row.level) return
    this.#events.emit({ type: 'health', code: row.code, message: row.message, data: { level: row.level, fix: row.fix } })
  }

  /** Takes a line away; `message` says what is good again. */
  clear(code: string, message: string): void {
    if (!this.#rows.delete(code)) return
    this.#events.emit({ type: 'health', code, message, data: { level: 'ok', fix: null } })
  }

  /** Shows a line or takes it away, as a check that is made again and again finds. */
  check(code: string, found: Omit<HealthRow, 'code'> | null, goodAgain: string): void {
    if (found === null) this.clear(code, goodAgain)
    else this.show({ code, ...found })
  }

  /** The worst first. */
  rows(): HealthRow[] {
    const rank = { fail: 0, warn: 1, ok: 2 }
    return [...this.#rows.values()].sort((a, b) => rank[a.level] - rank[b.level] || (a.code < b.code ? -1 : 1))
  }
}
