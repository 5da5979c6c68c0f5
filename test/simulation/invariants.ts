// What must hold whatever happens: on a node whenever something touched it, and at the end. Each has a name, is counted whenever it is looked at, and may be broken.
import { BRANCH_KEEP_ROUNDS } from '../../protocols/rounds/constants.ts'
import type { RoundCommand, RoundEvent, RoundRecord } from '../../protocols/rounds/index.ts'
import { HONEST } from './conduct.ts'
import type { SimNode } from './node.ts'
import type { World } from './world.ts'

type Close = Extract<RoundCommand, { type: 'close' }>
type Adopt = Extract<RoundCommand, { type: 'adopt' }>
type Report = Extract<RoundCommand, { type: 'report' }>

/** Says whether it holds; the text is made only where it does not. */
export type Holds = (holds: boolean, broken: () => string) => void

export interface Invariant {
  readonly name: string
  /** The node's rules have just been told this. */
  told?(node: SimNode, events: readonly RoundEvent[], holds: Holds): void
  /** The node is about to close a round with this list. */
  closing?(node: SimNode, command: Close, holds: Holds): void
  /** The node's head is this record now. */
  adopted?(node: SimNode, command: Adopt, holds: Holds): void
  reported?(node: SimNode, command: Report, holds: Holds): void
  /** The node has just shown a record that it closed. `isStale`: it had moved on meanwhile, or did not know what it had missed. */
  showed?(node: SimNode, cid: string, isStale: boolean, holds: Holds): void
  /** After everything is mended and quiet, for each node that is up. */
  ended?(node: SimNode, holds: Holds): void
  /** The same, once for all. */
  allEnded?(world: World, holds: Holds): void
}

/** What is looked at in every world. */
export const INVARIANTS: readonly Invariant[] = [
  {
    name: 'late work reopens no round',
    closing(node, { parent, round, contributions }, holds) {
      const movedAt = node.movedOnAt.get(parent)
      if (movedAt === undefined) return
      const { disk, world } = node
      const listed = new Set([...disk.records.values()].flatMap(({ record }) => (record.parent === parent ? record.contributions : [])))
      for (const { cid } of contributions) {
        const late = world.madeAt.get(cid)! - movedAt
        holds(late <= 0 || listed.has(cid), () => `${node.index} reopens round ${round} with ${cid}, made ${late} ms after`)
      }
    }
  },
  {
    name: 'nobody honest signs what is invalid',
    reported({ index, world }, { code, peer, subject }, holds) {
      const closer = peer === undefined ? undefined : world.byPeer.get(peer)
      if (closer === undefined || closer.conduct.forges) return
      holds(!CONTENT_CODES.has(code), () => `${index} reports ${code} of ${subject} by ${closer.index}`)
    }
  },
  {
    name: 'the own chain is known to the genesis',
    ended(node, holds) {
      const { disk } = node
      for (let at = node.head; at !== 'run'; ) {
        const stored = disk.records.get(at)
        holds(stored !== undefined, () => `${node.index} lacks ${at} of its own chain`)
        if (stored === undefined) return
        const unknown = stored.record.contributions.find(cid => !disk.contributions.has(cid))
        holds(unknown === undefined, () => `${node.index} does not know ${unknown} of record ${at}`)
        at = stored.record.parent
      }
    }
  },
  {
    name: "the head's anchor is here",
    ended(node, holds) {
      const { anchors, lost, records } = node.disk
      const stored = records.get(node.head)
      // Damaged, and not read since: it is fetched again when it is.
      holds(
        stored === undefined || anchors.has(stored.record.anchor) || lost.has(stored.record.anchor),
        () => `${node.index} lacks its head's anchor`
      )
    }
  },
  {
    name: 'one contribution of an author for a round',
    ended(node, holds) {
      const places = new Set<string>()
      for (const { record } of node.chain()) {
        for (const name of record.contributions) {
          const contribution = node.disk.contributions.get(name)
          if (contribution === undefined) continue
          const place = `${contribution.peer}/${contribution.round}`
          holds(!places.has(place), () => `${node.index}: two contributions for ${place} on one chain`)
          places.add(place)
        }
      }
    }
  },
  {
    name: 'every author is told what became of its work',
    ended(node, holds) {
      const { disk, index } = node
      const { round } = node.rounds.head
      const accepted = new Set(node.chain().flatMap(({ record }) => record.contributions))
      for (const [cid, contribution] of disk.contributions) {
        if (contribution.peer !== node.peer || contribution.round > round - 1 || !isRemembered(node, cid)) continue
        // Nobody watches a contribution for ever.
        if (contribution.round < node.furthest - 6) continue
        const fate = disk.fates.get(cid)
        const expected = accepted.has(cid) ? 'included' : 'lost'
        holds(
          fate === expected,
          () => `${index} was told ${fate ?? 'nothing'} of ${cid} (round ${contribution.round}), which was ${expected}`
        )
      }
    }
  },
  {
    name: 'what was acknowledged is in a record, or its author is told why not',
    allEnded(world, holds) {
      const node = world.up.find(({ conduct }) => conduct === HONEST)
      if (node === undefined) return
      const { round } = node.rounds.head
      const accepted = new Set(node.chain().flatMap(({ record }) => record.contributions))
      const holders = new Map<string, SimNode>()
      for (const holder of world.up) if (holder.conduct === HONEST) for (const cid of holder.disk.acknowledged) holders.set(cid, holder)
      for (const [cid, holder] of holders) {
        const contribution = holder.disk.contributions.get(cid)!
        const author = world.byPeer.get(contribution.peer)
        // Still open; or its author lies, is gone for good, or lost all that it knew with its disk.
        if (contribution.round > round - 1 || author?.conduct !== HONEST || author.left || !isRemembered(author, cid)) continue
        const { fates, untold } = author.disk
        holds(
          accepted.has(cid) ||
            fates.get(cid) === 'lost' ||
            untold.some(({ first, last }) => first <= contribution.round && contribution.round <= last),
          () =>
            `${author.index} was told ${fates.get(cid) ?? 'nothing'} of ${cid} (round ${contribution.round}), which ${holder.index} holds and no record has`
        )
      }
    }
  },
  {
    name: 'a node that was away asks before it closes',
    closing(node, { round }, holds) {
      holds(!node.isUnsure, () => `${node.index} closes round ${round} and does not know what it missed`)
    }
  },
  {
    name: 'a record is shown only where nothing has changed since it was decided',
    showed({ index }, cid, isStale, holds) {
      holds(!isStale, () => `${index} shows ${cid}, which it decided before it moved on or was away`)
    }
  },
  {
    name: 'what is remembered is bounded',
    ended(node, holds) {
      // What liars leave behind is bounded by constants: see safety.ts.
      if (node.world.nodes.some(({ conduct }) => conduct !== HONEST)) return
      const { contributions, orphans, unknown, lacking, tree, peers } = node.rounds
      const nodes = node.world.nodes.length
      const { index } = node
      holds(contributions.size <= 8 * nodes + 16, () => `${index} keeps ${contributions.size} contributions`)
      // Not so many records in all: two halves that were apart for hundreds of rounds both remember both branches until one is forgotten, and a lighter one may be the longer:
      // how many there are in all is looked at whenever something happens. What is promised here is that no branch parts from ours before the window, and that there are few.
      const leaves = [...tree.byCid.values()].filter(({ children }) => children.length === 0)
      const behind = node.rounds.head.round - tree.root.round
      holds(behind <= 256 + 64, () => `${index} remembers ${behind} rounds behind its head`)
      // Where a grace is hardly longer than the way to the others, round after round ends in a race, and what lost it is remembered for a while.
      holds(leaves.length <= 2 * (nodes + BRANCH_KEEP_ROUNDS), () => `${index} keeps ${leaves.length} branches`)
      holds(
        orphans.size + unknown.size + lacking.size <= 2 * nodes + 8,
        () => `${index} keeps ${orphans.size} orphans, ${unknown.size} unknown, ${lacking.size} lacking`
      )
      holds(peers.size <= nodes, () => `${index} keeps ${peers.size} peers`)
    }
  },
  {
    name: 'all agree at the end',
    allEnded(world, holds) {
      const heads = world.heads()
      holds(
        heads.length <= 1,
        () => `${heads.length} heads at the end: ${world.up.map(n => `${n.index}@${n.rounds.head.round}:${n.head}`).join(' ')}`
      )
    }
  }
]

/** Its author has had one disk since it made this: what it was told with another before is gone, even where others gave the contribution back. */
function isRemembered({ disk, world }: SimNode, cid: string): boolean {
  return disk.contributions.has(cid) && world.madeAt.get(cid)! >= disk.since
}

const CONTENT_CODES: ReadonlySet<string> = new Set([
  'anchor_mismatch',
  'wrong_order',
  'bad_contribution',
  'below_quorum',
  'closer_unranked',
  'bad_parent'
])

/** Which of a record's ancestors a node has on disk, the newest first. */
export interface ChainRecord {
  cid: string
  record: RoundRecord
}

/** Asks every invariant, counts how often, and writes down what is broken. What becomes of a forger is its own affair. */
export class Checks {
  readonly #world: World
  readonly #invariants: readonly Invariant[]
  /** Asked so often that what counts them is made once. */
  readonly #told: readonly (readonly [Invariant, Holds])[]
  /** How often each was looked at. */
  readonly counts = new Map<string, number>()

  constructor(world: World, invariants: readonly Invariant[]) {
    this.#world = world
    this.#invariants = invariants
    this.#told = invariants.filter(({ told }) => told !== undefined).map(invariant => [invariant, this.#holds(invariant)])
  }

  told(node: SimNode, events: readonly RoundEvent[]): void {
    if (node.conduct.forges) return
    for (const [invariant, holds] of this.#told) invariant.told!(node, events, holds)
  }

  closing(node: SimNode, command: Close): void {
    if (node.conduct.forges) return
    for (const invariant of this.#invariants) invariant.closing?.(node, command, this.#holds(invariant))
  }

  adopted(node: SimNode, command: Adopt): void {
    if (node.conduct.forges) return
    for (const invariant of this.#invariants) invariant.adopted?.(node, command, this.#holds(invariant))
  }

  reported(node: SimNode, command: Report): void {
    if (node.conduct.forges) return
    for (const invariant of this.#invariants) invariant.reported?.(node, command, this.#holds(invariant))
  }

  showed(node: SimNode, cid: string, isStale: boolean): void {
    if (node.conduct.forges) return
    for (const invariant of this.#invariants) invariant.showed?.(node, cid, isStale, this.#holds(invariant))
  }

  ended(node: SimNode): void {
    if (node.conduct.forges) return
    for (const invariant of this.#invariants) invariant.ended?.(node, this.#holds(invariant))
  }

  allEnded(): void {
    for (const invariant of this.#invariants) invariant.allEnded?.(this.#world, this.#holds(invariant))
  }

  #holds({ name }: Invariant): Holds {
    return (holds, broken) => {
      this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
      if (!holds) this.#world.problem(`${name}: ${broken()}`)
    }
  }
}
