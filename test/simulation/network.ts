// What is between the nodes: delay, loss, repetition, order that is not kept, bandwidth, and cuts through which nothing passes in one direction or in both.
import type { SimNode } from './node.ts'
import type { Random } from './random.ts'
import type { Recurring, Timeline } from './timeline.ts'

/** Nothing passes from `from` to `to` while it lasts. Indexes of nodes, some of which may come later. */
export type Cut = (from: number, to: number) => boolean

/** A node's own line, for everything that it sends or gets. */
export interface Line {
  /** Added to the chance that a message is lost, for each of its two ends. */
  loss: number
  /** Delays are multiplied by this. */
  slowness: number
  /** Bytes a ms; infinite where bodies take the time that `transferMs` draws. */
  up: number
  down: number
}

export interface NetworkOptions {
  /** One way, ms. */
  delayMs?: [least: number, most: number]
  loss?: number
  duplicates?: number
}

/** How much a delay varies from one message to the next on the same way. */
const JITTER: [number, number] = [0.8, 1.6]

export class Network {
  /** Chance that a gossip message does not reach one of those it is for. */
  loss: number
  readonly cuts = new Set<Cut>()
  /** Chance of loss on the way from one node to another, beside all others'. */
  lossBetween: ((from: number, to: number) => number) | null = null
  readonly #options: NetworkOptions
  readonly #random: Random
  readonly #time: Timeline
  readonly #nodes: SimNode[]
  /** By the lower index, then by the higher. */
  readonly #delays: (number | undefined)[][] = []

  constructor(nodes: SimNode[], time: Timeline, random: Random, options: NetworkOptions) {
    this.#nodes = nodes
    this.#time = time
    this.#random = random
    this.#options = options
    this.loss = options.loss ?? 0
  }

  /** Parts the mesh into sides that do not reach each other; whatever parted it before is over. */
  part(sideOf: (index: number) => number): void {
    this.cuts.clear()
    this.cuts.add((from, to) => sideOf(from) !== sideOf(to))
  }

  /** As it was at the beginning, but for the lines of single nodes. */
  heal(): void {
    this.cuts.clear()
    this.lossBetween = null
    this.loss = this.#options.loss ?? 0
  }

  /** Whether anything gets from one to the other now. */
  passes(from: SimNode, to: SimNode): boolean {
    if (!from.up || !to.up || from.asleep || to.asleep) return false
    // Asked a million times a virtual second: also an empty set takes its time to be gone through.
    if (this.cuts.size === 0) return true
    for (const cut of this.cuts) if (cut(from.index, to.index)) return false
    return true
  }

  /** Both ways, as a stream needs it. */
  connects(a: SimNode, b: SimNode): boolean {
    return this.passes(a, b) && (this.cuts.size === 0 || this.passes(b, a))
  }

  /** ms that a message takes from one to the other this time. */
  delay(from: SimNode, to: SimNode): number {
    const [least, most] = this.#options.delayMs ?? [5, 60]
    const [lower, higher] = from.index < to.index ? [from.index, to.index] : [to.index, from.index]
    this.#delays[lower] ??= []
    const delays = this.#delays[lower]
    delays[higher] ??= this.#random.between(least, most)
    const base = delays[higher]
    return base * this.#random.between(...JITTER) * from.line.slowness * to.line.slowness
  }

  /**
   * A message to everybody whom it reaches: may be lost, repeated and overtaken.
   *
   * @param takes true for a node for which it need not be delivered any more
   */
  gossip(from: SimNode, deliver: (to: SimNode) => void, takes?: (to: SimNode) => boolean): void {
    const arrivals: Arrival[] = []
    const { now } = this.#time
    const duplicates = this.#options.duplicates ?? 0
    const own = this.loss + from.line.loss
    for (const to of this.#nodes) {
      if (to === from || !this.passes(from, to)) continue
      if (this.#random.chance(own + to.line.loss + (this.lossBetween?.(from.index, to.index) ?? 0))) continue
      if (takes?.(to)) continue
      const copies = this.#random.chance(duplicates) ? 2 : 1
      for (let copy = 0; copy < copies; copy++) arrivals.push({ at: now + this.delay(from, to) * (copy + 1), to, life: to.life })
    }
    if (arrivals.length === 0) return
    arrivals.sort((a, b) => a.at - b.at)
    this.#time.recur(arrivals[0]!.at, new Message(arrivals, deliver))
  }

  /** ms until `bytes` would have come from the giver: behind what is under way on both lines already. */
  transferMs(giver: SimNode, taker: SimNode, bytes: number): number {
    const { now } = this.#time
    const sent = Math.max(giver.sendsUntil, now) + bytes / giver.line.up
    const taken = Math.max(taker.takesUntil, now) + bytes / taker.line.down
    return Math.max(sent, taken) - now
  }

  /** They are on their way. */
  transfers(giver: SimNode, taker: SimNode, bytes: number): void {
    const { now } = this.#time
    giver.sendsUntil = Math.max(giver.sendsUntil, now) + bytes / giver.line.up
    taker.takesUntil = Math.max(taker.takesUntil, now) + bytes / taker.line.down
  }
}

interface Arrival {
  at: number
  to: SimNode
  life: number
}

/** One message on its way to many: one plan, due at each of its arrivals. */
class Message implements Recurring {
  readonly #arrivals: Arrival[]
  readonly #deliver: (to: SimNode) => void
  #next = 0

  constructor(arrivals: Arrival[], deliver: (to: SimNode) => void) {
    this.#arrivals = arrivals
    this.#deliver = deliver
  }

  due(): number {
    const { to, life } = this.#arrivals[this.#next++]!
    to.live(life, () => this.#deliver(to))
    return this.#arrivals[this.#next]?.at ?? Number.POSITIVE_INFINITY
  }
}
