// Who is here, as a node says and hears it: every two seconds and when its head changes, with what it holds.
import { GAP_MS, TICK_MS } from '../../protocols/presence/constants.ts'
import { advancePresence, createPresenceState, hearAgain, type PresenceEvent } from '../../protocols/presence/liveness.ts'
import { holdingToTell } from '../../protocols/rounds/index.ts'
import { isCountedHere } from '../../protocols/rounds/state.ts'
import type { Told } from './conduct.ts'
import type { SimNode } from './node.ts'

/** A message of presence on its way. */
export interface Saying {
  from: SimNode
  session: number
  seq: number
  /** The same object as long as nothing changes. */
  honest: Told
  /** Null where only the head is told. */
  holding: Holding | null
}

/** A list of what is held, and what is new in it since the list before. */
export interface Holding {
  version: number
  all: readonly string[]
  added: readonly string[]
}

/** What others have taken from one node last, by their indexes: kept with whoever speaks, as a message goes to all of them in turn, and a big mesh has a million pairs. */
export class Listeners {
  /** What is told again changes nothing, and is not told to the rules again. */
  readonly told: (Told | undefined)[] = []
  /** Version of the list of what is held. */
  readonly holding: number[] = []
  /** Of a message that was taken at once: its number, 0 when the rule of liveness knows of it, and when it was heard, on the listener's clock. */
  readonly seq: number[] = []
  readonly heardAtMs: number[] = []

  forget(listener: number): void {
    // One that was never spoken to.
    if (listener >= this.told.length) return
    this.told[listener] = undefined
    this.holding[listener] = 0
    this.seq[listener] = 0
  }
}

export interface Presence {
  hear(saying: Saying): void
  /**
   * A message that says nothing new to this node need not wait for its time: true when it was taken already.
   * The node counts its sender as heard a little earlier than the message would have come.
   */
  hearsAtOnce(saying: Saying): boolean
  /** A moment to look at who is silent, before the node speaks. */
  look(): void
  /** `other` was asked for its head, and this is when its answer comes. */
  answered(other: SimNode): void
  /** The rules may have dropped what they were told of holders. */
  forgetHoldings(): void
}

const NOTHING: readonly string[] = []

/** By the rule of liveness that daemons go by. */
export class RuledPresence implements Presence {
  readonly #node: SimNode
  readonly #state = createPresenceState()

  constructor(node: SimNode) {
    this.#node = node
    for (const { listeners } of node.world.nodes) listeners.forget(node.index)
    node.loop(TICK_MS, () => {
      this.#settleBeforeLook()
      this.#advance({ type: 'tick' })
    })
  }

  hear({ from, session, seq, honest, holding }: Saying): void {
    const node = this.#node
    const { conduct, listeners, peer } = from
    this.#settle(from)
    if (!this.#advance({ type: 'heard', peer, session, seq, leaving: false })) return
    const told = conduct.tells?.(from, node, honest) ?? honest
    if (listeners.told[node.index] !== told) {
      listeners.told[node.index] = told
      node.hears({ type: 'peerLive', peer, ...told })
    }
    if (holding !== null) this.#hearHolding(from, holding)
  }

  #hearHolding(from: SimNode, holding: Holding): void {
    const node = this.#node
    const contributions = this.#newIn(holding, from)
    if (contributions.length === 0) return
    from.listeners.holding[node.index] = holding.version
    node.hears({ type: 'holding', peer: from.peer, contributions })
  }

  /** What this node was not told by that one yet, or was and could not get. */
  #newIn({ version, all, added }: Holding, { listeners, peer }: SimNode): readonly string[] {
    const { index, rounds } = this.#node
    const known = listeners.holding[index] ?? 0
    const { unknown } = rounds
    if (known < version - 1) return all
    const news = known < version ? added : NOTHING
    if (unknown.size === 0) return news
    const lacking = all.filter(cid => unknown.get(cid)?.holders.has(peer) === false)
    return lacking.length === 0 ? news : [...new Set([...news, ...lacking])]
  }

  hearsAtOnce({ from, seq, honest, holding }: Saying): boolean {
    const { conduct, listeners, peer } = from
    const node = this.#node
    const { index } = node
    // Another session would tell it anew.
    if (listeners.told[index] !== honest || node.stopped || conduct.tells !== undefined) return false
    const news = holding === null ? NOTHING : this.#newIn(holding, from)
    // One more copy of what counts already.
    for (const cid of news) if (!isCountedHere(node.rounds, cid)) return false
    listeners.seq[index] = seq
    listeners.heardAtMs[index] = node.now
    if (news.length > 0) {
      listeners.holding[index] = holding!.version
      node.overhears({ type: 'holding', peer, contributions: news })
    }
    return true
  }

  look(): void {}

  answered(other: SimNode): void {
    if (!other.up) return
    const { head, round } = other.conduct.tells?.(other, this.#node, other.told()) ?? other.told()
    other.listeners.told[this.#node.index] = undefined
    this.#node.hears({ type: 'peerLive', peer: other.peer, head, round })
  }

  forgetHoldings(): void {
    const { index, world } = this.#node
    for (const { listeners } of world.nodes) listeners.holding[index] = 0
  }

  /** Tells the rule of liveness what was taken from a node at once. */
  #settle({ listeners, peer }: SimNode): void {
    const { index } = this.#node
    const seq = listeners.seq[index] ?? 0
    if (seq === 0) return
    listeners.seq[index] = 0
    hearAgain(this.#state.live.get(peer)!, seq, listeners.heardAtMs[index]!)
  }

  /** The rule looks at when each was heard only now and then. */
  #settleBeforeLook(): void {
    const { now, world } = this.#node
    const { silentFromMs, tickedAtMs } = this.#state
    if (now < silentFromMs && now - (tickedAtMs ?? now) <= GAP_MS) return
    for (const other of world.nodes) this.#settle(other)
  }

  /** True when there is something to take. */
  #advance(event: PresenceEvent): boolean {
    let isNews = false
    for (const { type, peer } of advancePresence(this.#state, event, this.#node.now)) {
      if (type === 'take') isNews = true
      if (type === 'gone') this.#gone(peer)
    }
    return isNews
  }

  #gone(peer: string): void {
    this.#node.world.byPeer.get(peer)!.listeners.forget(this.#node.index)
    this.#node.hears({ type: 'peerGone', peer })
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

  hear({ from, holding }: Pick<Saying, 'from' | 'holding'>): void {
    if (!from.up) return
    const node = this.#node
    this.#seen.set(from.peer, node.now)
    node.tell({ type: 'peerLive', peer: from.peer, ...(from.conduct.tells?.(from, node, from.told()) ?? from.told()) })
    if (holding !== null) node.tell({ type: 'holding', peer: from.peer, contributions: holding.all })
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
    this.hear({ from: other, holding: null })
  }

  hearsAtOnce(): boolean {
    return false
  }

  forgetHoldings(): void {}
}

/** What a node says of itself, whoever hears it. */
export class Voice {
  readonly #node: SimNode
  readonly #session: number
  #seq = 0
  #honest: Told
  #holding: Holding = { version: 0, all: [], added: [] }

  constructor(node: SimNode) {
    this.#node = node
    this.#session = node.life
    this.#honest = node.told()
  }

  /** "I am here." */
  say(withHolding: boolean): void {
    const node = this.#node
    const told = node.told()
    if (told.head !== this.#honest.head || told.trains !== this.#honest.trains) this.#honest = told
    const saying: Saying = {
      from: node,
      session: this.#session,
      seq: ++this.#seq,
      honest: this.#honest,
      holding: withHolding ? this.#nowHeld() : null
    }
    node.world.network.gossip(
      node,
      to => to.presence.hear(saying),
      to => to.presence.hearsAtOnce(saying)
    )
  }

  /** At once, beside what is said again and again. */
  sayHolding(contributions: readonly string[]): void {
    const node = this.#node
    const { peer } = node
    const told = node.conduct.holds?.(node, contributions) ?? contributions
    if (told.length > 0) node.world.network.gossip(node, to => to.hears({ type: 'holding', peer, contributions: told }))
  }

  #nowHeld(): Holding {
    const node = this.#node
    const held = holdingToTell(node.rounds)
    const all = node.conduct.holds?.(node, held) ?? held
    if (all.length === this.#holding.all.length && all.every((cid, at) => cid === this.#holding.all[at])) return this.#holding
    const before = new Set(this.#holding.all)
    this.#holding = { version: this.#holding.version + 1, all, added: all.filter(cid => !before.has(cid)) }
    return this.#holding
  }
}
