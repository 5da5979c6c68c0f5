// Tells by events who came and went; presence decides who is here.
import type { GoneReason, PresenceChange } from '../protocols/presence/index.ts'
import { type Allowance, Purses } from '../protocols/purses.ts'
import type { EventLog } from './events.ts'

/** Events about all together whom no run has accepted: a mesh that starts is told whole, and a crowd of made-up ids pushes nothing else out of the log for two days. */
export const STRANGERS_TOLD: Allowance = { perSecond: 0.1, burst: 120 }
/** Whose purse it is that they share. */
const STRANGERS = 'strangers'

export interface PeerEventsComponents {
  events: { emit(facts: Parameters<EventLog['emit']>[0]): unknown }
  /** Whether any run has accepted work of a peer. */
  isAccepted(peer: string): boolean
  foundBy(peer: string): string
}

export class PeerEvents {
  readonly #c: PeerEventsComponents
  readonly #strangers = new Purses(STRANGERS_TOLD)
  #untold = 0

  constructor(components: PeerEventsComponents) {
    this.#c = components
  }

  tell(change: PresenceChange, nowMs: number): void {
    if (change.type === 'updated') return
    const { peer } = change
    const untold = this.#c.isAccepted(peer) ? 0 : this.#pay(nowMs)
    if (untold === null) return
    const others = untold === 0 ? '' : `; strangers came and went ${untold} times untold`
    const counted = untold === 0 ? {} : { untold }
    if (change.type === 'gone') {
      const message = `${peer} is gone: ${GONE[change.reason]}${others}`
      this.#c.events.emit({ type: 'peer', peer, code: `peer_${change.reason}`, message, data: counted })
    } else {
      const foundBy = this.#c.foundBy(peer)
      const message = `${peer} is here, found by ${foundBy}${others}`
      this.#c.events.emit({ type: 'peer', peer, code: 'peer_joined', message, data: { foundBy, ...counted } })
    }
  }

  /** How many went untold since a stranger was told of last; null where this one goes untold, too. */
  #pay(nowMs: number): number | null {
    if (!this.#strangers.has(STRANGERS, 1, nowMs)) {
      this.#untold += 1
      return null
    }
    this.#strangers.pay(STRANGERS, 1, nowMs)
    const untold = this.#untold
    this.#untold = 0
    return untold
  }
}

const GONE: Record<GoneReason, string> = {
  left: 'it said goodbye',
  silent: 'it has been silent too long',
  unreachable: 'it does not answer',
  crowded_out: 'there are too many, and a known one came'
}
