// How a node gets what the rules want from others: contributions, records, anchors, and a whole chain when it starts over.
import { isAuthor, type RoundCommand, type RoundEvent, type RoundRecord, remembers, reopenRounds } from '../../protocols/rounds/index.ts'
import { flawOf } from './names.ts'
import type { SimNode } from './node.ts'

/** ms between two looks at a chain that parted too long ago. */
export const START_OVER_MS = 60_000
/** ms that it takes to read both chains. */
const START_OVER_TAKES_MS: [number, number] = [100, 15_000]
/** Fetch timeouts that one body may take: the rules ask again after as many. */
const FETCH_PATIENCE = 4
/** ms that a holder may say nothing before the next one is asked. */
const STALL_MS = 5_000

type Fetch<T extends RoundCommand['type']> = Extract<RoundCommand, { type: T }>

export class Fetching {
  readonly #node: SimNode
  #startedOverAt = Number.NEGATIVE_INFINITY
  /** Whose branches are being looked at, and the newest head that was too old meanwhile: an author's under his name, all strangers' under none. */
  readonly #startsOver = new Map<string, { newest: string | null }>()

  constructor(node: SimNode) {
    this.#node = node
  }

  contribution({ cid, holders, author, body }: Fetch<'fetchContribution'>): void {
    const node = this.#node
    const { disk, world } = node
    const known = disk.contributions.get(cid)
    if (body && known !== undefined && disk.bodies.has(cid)) {
      node.later(1, () => node.hears({ type: 'contributionHeld', cid }))
      return
    }
    if (!body && known !== undefined) {
      node.later(1, () => node.hears({ type: 'contribution', cid, contribution: known }))
      return
    }
    const preferred = author === null ? holders : [author, ...holders]
    const { giver, lostMs } = body
      ? this.#giver(preferred, 'bodies', cid)
      : { giver: this.#find(preferred, other => other.disk.contributions.has(cid)), lostMs: 0 }
    const refused = (): void => node.hears({ type: 'contributionRefused', cid, reason: 'fetch_timeout' })
    if (giver === undefined || world.random.chance(world.network.loss / 2)) {
      node.later(world.rules.fetchTimeoutMs, refused)
      return
    }
    const contribution = giver.disk.contributions.get(cid)!
    if (!node.enters('fetching', (known ?? contribution).round)) return
    const ms = lostMs + 2 * world.network.delay(node, giver) + (body ? this.#transferMs(giver) : 0)
    const { fetchTimeoutMs } = world.rules
    // What comes block by block goes on where it stood; but not for ever.
    if (ms > FETCH_PATIENCE * fetchTimeoutMs) {
      node.later(fetchTimeoutMs, refused)
      return
    }
    if (body && world.options.bodyBytes !== undefined) world.network.transfers(giver, node, world.options.bodyBytes)
    node.later(ms, () => {
      if (!world.network.connects(node, giver)) {
        node.later(fetchTimeoutMs - ms, refused)
        return
      }
      if (disk.full) return node.hears({ type: 'contributionRefused', cid, reason: 'disk_full' })
      disk.contributions.set(cid, contribution)
      if (!body) return node.hears({ type: 'contribution', cid, contribution })
      const flaw = flawOf(contribution)
      if (flaw === null) {
        disk.bodies.set(cid, contribution.round)
        disk.acknowledged.add(cid)
      }
      const found: RoundEvent = flaw === null ? { type: 'contributionHeld', cid } : { type: 'contributionRefused', cid, reason: flaw }
      if (known === undefined) node.hears({ type: 'contribution', cid, contribution }, found)
      else node.hears(found)
    })
  }

  record({ cid, holders }: { cid: string; holders: readonly string[] }): void {
    const node = this.#node
    const { world, disk } = node
    const known = disk.records.get(cid)
    const giver = this.#find(holders, other => other.disk.records.has(cid) || other.head === cid)
    if (known === undefined && giver === undefined) return
    const from = known === undefined ? giver! : node
    node.later(known === undefined ? 2 * world.network.delay(node, from) : 1, () => {
      if (from !== node && !world.network.connects(node, from)) return
      const chain: [string, RoundRecord][] = []
      for (let at = cid; at !== 'run'; ) {
        const record = (from.disk.records.get(at) ?? disk.records.get(at))?.record
        if (record === undefined) break
        chain.push([at, record])
        if (disk.records.has(at) && at !== cid) break
        at = record.parent
      }
      for (const [name, record] of chain.reverse()) node.receiveRecord(name, record)
    })
  }

  anchor({ cid, anchor, round }: Fetch<'fetchAnchor'>): void {
    const node = this.#node
    const { world, disk } = node
    const { giver, lostMs } = this.#giver([], 'anchors', anchor)
    const [, most] = world.options.transferMs ?? [20, 400]
    const ms = giver === undefined ? world.rules.fetchTimeoutMs : lostMs + 2 * world.network.delay(node, giver) + most
    node.later(ms, () => {
      const stored = disk.records.get(cid)
      if (giver === undefined || stored === undefined || disk.full || !world.network.connects(node, giver))
        return node.tell({ type: 'recordUnavailable', cid })
      disk.anchors.set(anchor, round)
      stored.ready = true
      node.tell({ type: 'recordComputed', cid, anchor })
    })
  }

  /** An anchor that was found to be damaged is fetched again, whether the rules want it or not: once, as it is found again whenever it is read. */
  repair(anchor: string): void {
    const node = this.#node
    const { disk, world } = node
    const { giver, lostMs } = this.#giver([], 'anchors', anchor)
    if (!disk.lost.has(anchor) || giver === undefined) return
    const [, most] = world.options.transferMs ?? [20, 400]
    const round = giver.disk.anchors.get(anchor)!
    node.later(lostMs + 2 * world.network.delay(node, giver) + most, () => {
      if (!disk.full && world.network.connects(node, giver)) disk.anchors.set(anchor, round)
    })
  }

  /** A branch that parted before all we remember: strangers' are looked at one at a time, and each author's beside them. */
  startOver(head: string, peer: string | undefined): void {
    const { rounds } = this.#node
    const name = peer !== undefined && isAuthor(rounds, peer) ? peer : ''
    const meanwhile = this.#startsOver.get(name)
    if (meanwhile !== undefined) meanwhile.newest = head
    else {
      this.#startsOver.set(name, { newest: null })
      this.#lookAt(head, name)
    }
  }

  /** Its whole chain is fetched, and the rules begin again with everything on disk: at most once in a while. What could not be looked at, or not yet, is asked for again. */
  #lookAt(head: string, name: string): void {
    const node = this.#node
    const { world } = node
    const waitMs = this.#startedOverAt + START_OVER_MS - world.time.now
    if (waitMs > 0) {
      node.later(waitMs, () => this.#lookAt(head, name))
      return
    }
    const isKnown = remembers(node.rounds, head)
    if (!isKnown) this.#startedOverAt = world.time.now
    // Meanwhile rounds go on, here and there.
    node.later(isKnown ? 0 : world.random.between(...START_OVER_TAKES_MS), () => {
      const again = [isKnown || this.#reopens(head) ? null : head, this.#startsOver.get(name)!.newest]
      this.#startsOver.delete(name)
      for (const cid of again) if (cid !== null && !remembers(node.rounds, cid)) node.tell({ type: 'recordUnavailable', cid })
      node.tell({ type: 'tick' })
    })
  }

  /** @returns whether the whole chain could be had */
  #reopens(head: string): boolean {
    const node = this.#node
    const { disk } = node
    const giver = this.#find([], other => other.disk.records.has(head))
    if (giver === undefined || disk.full) return false
    for (let at = head; at !== 'run'; ) {
      const record = giver.disk.records.get(at)?.record
      if (record === undefined) return false
      if (!disk.records.has(at)) disk.records.set(at, { record, ready: false, shown: true })
      for (const cid of record.contributions) {
        const contribution = giver.disk.contributions.get(cid)
        if (contribution !== undefined) disk.contributions.set(cid, contribution)
      }
      at = record.parent
    }
    node.startsOver++
    node.rounds = reopenRounds(node.rounds, disk.past(node.peer, node.now))
    return true
  }

  /** Every peer is asked for its head. */
  heads(): void {
    const node = this.#node
    const others = node.world.nodes.filter(other => this.#reaches(other))
    let worst = 1
    for (const other of others) {
      const ms = 2 * node.world.network.delay(node, other)
      worst = Math.max(worst, ms)
      node.later(ms, () => node.presence.answered(other))
    }
    node.later(others.length === 0 ? 1_000 : worst + 1, () => node.synced())
  }

  #transferMs(giver: SimNode): number {
    const { world } = this.#node
    const { bodyBytes, transferMs: [least, most] = [20, 400] } = world.options
    return bodyBytes === undefined ? world.random.between(least, most) : world.network.transferMs(giver, this.#node, bodyBytes)
  }

  /** The first who gives it whole, and the ms that others before it cost. */
  #giver(preferred: readonly string[], what: 'bodies' | 'anchors', name: string): { giver: SimNode | undefined; lostMs: number } {
    const node = this.#node
    let lostMs = 0
    const giver = this.#find(preferred, other => {
      if (!other.disk[what].has(name)) return false
      const serving = other.conduct.serves?.(other, node, what, name) ?? 'whole'
      if (serving === 'wrong') lostMs += 2 * node.world.network.delay(node, other)
      if (serving === 'silence') lostMs += STALL_MS
      return serving === 'whole'
    })
    return { giver, lostMs }
  }

  /** Of those who can be reached the first that answers yes: the preferred, then all others. */
  #find(preferred: readonly string[], test: (other: SimNode) => boolean): SimNode | undefined {
    const { nodes, byPeer, options } = this.#node.world
    const first = preferred.flatMap(peer => byPeer.get(peer) ?? [])
    // Where lines are worth saving, who sends least is asked first.
    if (options.bodyBytes === undefined) first.sort((a, b) => a.index - b.index)
    else first.sort((a, b) => a.sendsUntil - b.sendsUntil || a.index - b.index)
    for (const other of first) if (this.#reaches(other) && test(other)) return other
    return nodes.find(other => !first.includes(other) && this.#reaches(other) && test(other))
  }

  #reaches(other: SimNode): boolean {
    return other !== this.#node && !other.stopped && this.#node.world.network.connects(this.#node, other)
  }
}
