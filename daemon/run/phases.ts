// The moments of a round at which a node can be lost. Each is an event; a tester may ask the daemon to stay in one, to kill it right there.
import type { Phase } from '../../protocols/control/constants.ts'
import type { EventLog } from '../events.ts'

/**
 * Tells the phases of one run. `hold` is `phase@round`, such as `closing@3`: the node stays in that phase the first time it comes to it from that round on,
 * since which node closes a round is not known beforehand.
 */
export class Phases {
  readonly #events: EventLog
  readonly #run: string
  readonly #hold: { phase: string; round: number } | null
  readonly #told = new Set<string>()

  constructor(events: EventLog, run: string, hold: string | null) {
    this.#events = events
    this.#run = run
    const [phase, round] = hold?.split('@') ?? []
    this.#hold = phase === undefined ? null : { phase, round: Number(round) }
  }

  /** Tells that the node has come to `phase` of `round` (each once); never returns where the tester asked to hold there. */
  async enter(phase: Phase, round: number): Promise<void> {
    const name = `${phase}@${round}`
    const held = this.#hold !== null && phase === this.#hold.phase && round >= this.#hold.round
    if (!this.#told.has(name)) {
      this.#told.add(name)
      this.#events.emit({ type: 'phase', run: this.#run, round, code: phase, message: `${phase} of round ${round}`, data: { phase, held } })
    }
    if (held) await new Promise<never>(() => {})
  }
}
