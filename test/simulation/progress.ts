// How long a mesh went without a new record while it could have had one.
import { HONEST } from './conduct.ts'
import type { World } from './world.ts'

/** Too long is a problem of the world as soon as it is seen. */
export class Progress {
  readonly #world: World
  readonly #boundMs: number
  /** Of the furthest node. */
  round = 0
  longestMs = 0
  #sinceMs = 0
  /** Records on which a round was closed. By rounds alone, a few who were apart and closed more of them would hide for long that all others go on. */
  readonly #closed = new Set<string>()
  #hadQuorum = true

  constructor(world: World, boundMs: number) {
    this.#world = world
    this.#boundMs = boundMs
    world.onAdopt = ({ disk, head }, round) => {
      this.round = Math.max(this.round, round)
      const parent = disk.records.get(head)?.record.parent
      if (parent === undefined || this.#closed.has(parent)) return
      this.#closed.add(parent)
      this.look()
      this.#sinceMs = world.time.now
    }
  }

  /** Called when anything changed: time without a quorum does not count. */
  look(): void {
    const { time } = this.#world
    const ms = time.now - this.#sinceMs
    if (this.#hadQuorum && ms > this.longestMs) {
      this.longestMs = ms
      if (ms > this.#boundMs) this.#world.problem(`no round was closed in ${Math.round(ms)} ms, the bound is ${this.#boundMs}`)
    }
    const hadQuorum = this.#hadQuorum
    this.#hadQuorum = this.#hasQuorum()
    if (!hadQuorum || !this.#hadQuorum) this.#sinceMs = time.now
  }

  /** Of those who do what a daemon does: what liars hold up does not count as connected. */
  #hasQuorum(): boolean {
    const { network, nodes, rules } = this.#world
    const trainers = nodes.filter(node => node.up && !node.stopped && node.trains && node.conduct === HONEST)
    return trainers.some(node => trainers.filter(other => other === node || network.connects(node, other)).length >= rules.quorum)
  }
}
