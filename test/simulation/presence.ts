// Who is here, as a node says and hears it: every two seconds and when its head changes, with what it holds.
import { TICK_MS } from '../../protocols/presence/constants.ts'
import { advancePresence, createPresenceState, type PresenceEvent } from '../../protocols/presence/liveness.ts'
import type { Told } from './conduct.ts'
import type { SimNode } from './node.ts'

/** What changes within these ms goes out as one message. */
const HOLDING_BATCH_MS = 100

/** A message of presence on its way. */
export interface Saying {
  from: SimNode
  session: number
  seq: number
  honest: Told
  /** Null where only the head is told. */
  holding: readonly string[] | null
}

export interface Presence {
  hear(saying: Saying): void
  /** A moment to look at who is silent, before the node speaks. */
  look(): void
  /** `other` was asked for its head, and this is when its answer comes. */
  answered(other: SimNode): void
  /** Who may be asked for something. */
  isLive(other: SimNode): boolean
}

/** By the rule of liveness that daemons go by. */
export class RuledPresence implements Presence {
  readonly #node: SimNode
  readonly #state = createPresenceState()

  constructor(node: SimNode) {
    this.#node = node
    node.loop(TICK_MS, () => this.#advance({ type: 'tick' }))
  }

  hear({ from, session, seq, honest, holding }: Saying): void {
    const node = this.#node
    const { peer } = from
    if (!this.#advance({ type: 'heard', peer, session, seq, leaving: false })) return
    node.tell({ type: 'peerLive', peer, ...(from.conduct.tells?.(from, node, honest) ?? honest) })
    if (holding !== null && holding.length > 0) node.tell({ type: 'holding', peer, contributions: holding as string[] })
  }

  look(): void {}

  answered(other: SimNode): void {
    if (!other.up) return
    const { head, round } = other.conduct.tells?.(other, this.#node, other.told()) ?? other.told()
    this.#node.tell({ type: 'peerLive', peer: other.peer, head, round })
  }

  isLive(other: SimNode): boolean {
    return this.#state.live.has(other.peer)
  }

  /** True when there is something to take. */
  #advance(event: PresenceEvent): boolean {
    let isNews = false
    for (const { type, peer } of advancePresence(this.#state, event, this.#node.now)) {
      if (type === 'take') isNews = true
      if (type === 'gone') this.#node.tell({ type: 'peerGone', peer })
    }
    return isNews
  }
}

/** ms of silence after which a peer is gone. */
const BRIEF_TIMEOUT_MS = 10_000

/**
 * Simpler than a daemon's: nobody is found out between two messages of one's own, and a message says how its sender is when it arrives.
 * The kept seeds of the first storms were found with it, and what they do to a mesh they do only with it.
 */
export class BriefPresence implements Presence {
  readonly #node: SimNode
  readonly #seen = new Map<string, number>()

  constructor(node: SimNode) {
    this.#node = node
  }

  hear({ from, holding }: Saying): void {
    if (!from.up) return
    const node = this.#node
    this.#seen.set(from.peer, node.now)
    node.tell({ type: 'peerLive', peer: from.peer, ...(from.conduct.tells?.(from, node, from.told()) ?? from.told()) })
    if (holding !== null) node.tell({ type: 'holding', peer: from.peer, contributions: from.holding })
  }

  look(): void {
    const node = this.#node
    for (const [peer, at] of this.#seen) {
      if (node.now - at <= BRIEF_TIMEOUT_MS) continue
      this.#seen.delete(peer)
      node.tell({ type: 'peerGone', peer })
    }
  }

  answered(other: SimNode): void {
    this.hear({ from: other, session: 0, seq: 0, honest: other.told(), holding: other.holding })
  }

  isLive(): boolean {
    return true
  }
}

/** What a node says of itself, whoever hears it. */
export class Voice {
  readonly #node: SimNode
  readonly #session: number
  #seq = 0
  #toTell = false

  constructor(node: SimNode) {
    this.#node = node
    this.#session = node.life
  }

  /** "I am here." */
  say(withHolding: boolean): void {
    const node = this.#node
    const saying: Saying = {
      from: node,
      session: this.#session,
      seq: ++this.#seq,
      honest: node.told(),
      holding: withHolding ? this.#holding() : null
    }
    node.world.network.gossip(node, to => to.presence.hear(saying))
  }

  /** At once, but what changes within a moment goes out as one message. */
  sayHolding(): void {
    if (this.#toTell) return
    this.#toTell = true
    const node = this.#node
    node.later(HOLDING_BATCH_MS, () => {
      this.#toTell = false
      const contributions = this.#holding()
      node.world.network.gossip(node, to => to.tell({ type: 'holding', peer: node.peer, contributions }))
    })
  }

  #holding(): string[] {
    const node = this.#node
    return node.conduct.holds?.(node, node.holding) ?? node.holding
  }
}
