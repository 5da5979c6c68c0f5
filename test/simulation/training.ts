// A node's trainer: steps on the virtual clock, and the real rule of pace that says when to contribute.
import {
  advancePace,
  type Contribution,
  createPace,
  type PaceCommand,
  type PaceEvent,
  type PaceState
} from '../../protocols/rounds/index.ts'
import { contributionCid } from './names.ts'
import type { SimNode } from './node.ts'

/** ms between two looks at how many steps were taken. */
export const STEPS_MS = 500
/** ms from a snapshot to a signed contribution. */
const ENCODE_MS = 200
export const TOKENS_A_STEP = 64
const INNER_STEPS = 50
const MAX_STEPS_AHEAD = 100
/** In one contribution, where a world says nothing of steps: as daemons make it of a manifest. */
export const MAX_STEPS = INNER_STEPS + MAX_STEPS_AHEAD
/** ms before another try at a contribution for which there was no room. */
const RETRY_MS = 2_000

export class Training {
  readonly #node: SimNode
  readonly #pace: PaceState
  #allowed = 0

  /** The trainer of a node that starts, with what its disk remembers. */
  constructor(node: SimNode) {
    this.#node = node
    const { disk, world } = node
    const { head, round } = node.view()
    const contributed = [...disk.contributions.values()].some(({ peer, parent }) => peer === node.peer && parent === head)
    const { innerSteps = INNER_STEPS, maxStepsAhead = MAX_STEPS_AHEAD } = world.options
    this.#pace = createPace(
      { innerSteps, maxStepsAhead, deadlineMs: world.rules.deadlineMs },
      { now: node.now, steps: disk.steps, head, contributed }
    )
    this.paced({ type: 'adopted', head, round })
  }

  /** Called every STEPS_MS. */
  work(): void {
    const { disk, rounds, stepMs, world } = this.#node
    if (!world.training || disk.full) return
    const taken = Math.min(Math.floor(STEPS_MS / stepMs), Math.max(0, this.#allowed - disk.steps))
    disk.steps += taken
    if (taken > 0 && !this.#node.enters('training', rounds.head.round + 1)) return
    this.paced({ type: 'steps', steps: disk.steps })
  }

  paced(event: PaceEvent): void {
    for (const command of advancePace(this.#pace, event, this.#node.now).commands) this.#follow(command)
  }

  #follow(command: PaceCommand): void {
    if (command.type === 'allowSteps') this.#allowed = command.until
    if (command.type !== 'contribute') return
    const node = this.#node
    if (!node.world.training) {
      this.paced({ type: 'contributeFailed', retryMs: 1_000_000 })
      return
    }
    const { steps } = node.disk
    node.disk.steps = 0
    if (!node.enters('encoding', command.round)) return
    node.later(ENCODE_MS, () => this.#contribute(command.round, command.head, steps))
  }

  #contribute(round: number, parent: string, steps: number): void {
    const node = this.#node
    const { conduct, disk, world } = node
    if (disk.full) {
      // What was measured goes back into the local model.
      disk.steps += steps
      this.paced({ type: 'contributeFailed', retryMs: RETRY_MS })
      return
    }
    const honest: Contribution = {
      run: 'run',
      round,
      parent,
      peer: node.peer,
      tokens: steps * TOKENS_A_STEP,
      steps,
      loss: 2,
      codec: 'f32',
      norm: 1,
      body: `b${world.time.now}`
    }
    const contribution = conduct.contribution?.(node, honest) ?? honest
    const cid = contributionCid(contribution)
    node.keepOwn(cid, contribution)
    if (!node.enters('stored', round)) return
    this.paced({ type: 'contributed', head: parent, steps: disk.steps })
    node.tell({ type: 'contribution', cid, contribution }, { type: 'contributionHeld', cid })
    const shown = conduct.showsContribution?.(node, cid, contribution)
    world.network.gossip(node, to => {
      const name = shown === undefined ? cid : shown(to)
      if (name !== null) to.receiveContribution(name, disk.contributions.get(name)!)
    })
    node.enters('announced', round)
  }
}
