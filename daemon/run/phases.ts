// The moments of a round at which a node can be lost. Each is an event; a tester may ask the daemon to stay in one, to kill it right there.
import type { Phase } from '../../protocols/control/constants.ts'
import { RecentMap } from '../../protocols/recent-map.ts'
import type { EventLog } from '../events.ts'

/** Phases remembered as told: those of some twenty rounds. Work on older ones is over; otherwise it would be told once more. */
const MAX_TOLD = 256

/**
 * Tells the phases of one run. `hold` is `phase@round`, such as `closing@3`: the node stays in that phase the first time it comes to it from that round on,
 * since which node closes a round is not known beforehand. With `phase@round:closer` it does so in that round only, and only as the first in rank to close it: then every node of a
 * mesh can be told the same, and one of them stays.
 */
export class Phases {
  readonly #events: EventLog
  readonly #run: string
  readonly #hold: { phase: string; round: number; closer: boolean } | null
  readonly #told = new RecentMap<string, true>(MAX_TOLD)

  constructor(events: EventLog, run: string, hold: string | null) {
    this.#events = events
    this.#run = run
    const [phase, round, closer] = hold?.split(/[@:]/) ?? []
    this.#hold = phase === undefined ? null : { phase, round: Number(round), closer: closer === 'closer' }
  }

  /**
   * Tells that the node has come to `phase` of `round` (each once); never returns where the tester asked to hold there.
   *
   * @param isCloser whether this node is the first in rank to close that round, as far as it can know by now
   */
  async enter(phase: Phase, round: number, isCloser: () => boolean): Promise<void> {
    const held = this.#isHeld(phase, round, isCloser)
    // Who closes may be known only when the phase is come to for another contribution.
    const name = `${phase}@${round} ${held}`
    if (!this.#told.has(name)) {
      this.#told.set(name, true)
      const data = { phase, held, ...(held && this.#hold?.closer ? { closer: true } : {}) }
      this.#events.emit({ type: 'phase', run: this.#run, round, code: phase, message: `${phase} of round ${round}`, data })
    }
    if (held) await new Promise<never>(() => {})
  }

  #isHeld(phase: Phase, round: number, isCloser: () => boolean): boolean {
    const hold = this.#hold
    if (hold === null || phase !== hold.phase) return false
    return hold.closer ? round === hold.round && isCloser() : round >= hold.round
  }
}
