// Speaks for identities that are no nodes: keys cost nothing, and one machine can hold thousands. What they show lies on the disk of the node that speaks, which serves it.
import type { Contribution, RoundRecord } from '../../../protocols/rounds/index.ts'
import type { Told } from '../conduct.ts'
import { anchorOf, contributionCid, hashOf, recordCid } from '../names.ts'
import type { SimNode } from '../node.ts'

/** Where a contribution or record goes: on which record. */
export interface Place {
  parent: string
  round: number
}

/** ms after its last word that an identity is gone. */
const GONE_MS = 10_000

export class Mouth {
  readonly node: SimNode
  readonly #heard = new Map<string, number>()

  constructor(node: SimNode) {
    this.node = node
  }

  /** An identity that nobody has seen. */
  mint(what: unknown): string {
    return `X${hashOf(what).slice(0, 8)}`
  }

  /** The open round, as the speaking node sees it. */
  get open(): Place {
    const { cid, round } = this.node.rounds.head
    return { parent: cid, round: round + 1 }
  }

  /** Signs and shows a contribution. `whole`: its body can be had. `to`: who is shown it; default everybody. */
  contribute(
    peer: string,
    at: Place,
    facts: Partial<Contribution> = {},
    { whole = true, to }: { whole?: boolean; to?: (to: SimNode) => boolean } = {}
  ): string {
    const { disk, world } = this.node
    const contribution: Contribution = {
      run: 'run',
      ...at,
      peer,
      tokens: world.rules.maxTokensPerRound,
      steps: 1,
      loss: 2,
      codec: 'f32',
      norm: 1,
      body: `b${peer}${at.parent}`,
      ...facts
    }
    const cid = contributionCid(contribution)
    if (!world.madeAt.has(cid)) world.madeAt.set(cid, world.time.now)
    disk.contributions.set(cid, contribution)
    if (whole) disk.bodies.set(cid, at.round)
    world.network.gossip(this.node, other => {
      if (to === undefined || to(other)) other.receiveContribution(cid, contribution)
    })
    return cid
  }

  /** Signs and shows a record of these contributions, in their right order unless `as` says otherwise; the anchor is what they make of the parent's. */
  close(closer: string, at: Place, contributions: readonly string[], as: Partial<RoundRecord> = {}): string {
    const { node } = this
    const { disk, world } = node
    const parts = contributions
      .map(cid => {
        const { peer, tokens, round } = disk.contributions.get(cid)!
        // What is too old to be listed at all is summed like what is a round old.
        return { cid, age: Math.min(1, at.round - round) as 0 | 1, peer, tokens: Math.min(tokens, world.rules.maxTokensPerRound) }
      })
      .sort((a, b) => (a.peer === b.peer ? b.age - a.age : a.peer < b.peer ? -1 : 1))
    const parentAnchor = at.parent === 'run' ? 'genesis' : disk.records.get(at.parent)!.record.anchor
    const record: RoundRecord = {
      run: 'run',
      ...at,
      contributions: parts.map(({ cid }) => cid),
      anchor: anchorOf(parentAnchor, parts),
      closer,
      ...as
    }
    const cid = recordCid(record)
    disk.records.set(cid, { record, ready: true, shown: true })
    disk.anchors.set(record.anchor, record.round)
    world.network.gossip(node, to => to.receiveRecord(cid, record))
    return cid
  }

  /** Shows a record of anything. */
  show(facts: Pick<RoundRecord, 'parent' | 'round' | 'contributions' | 'closer'>): string {
    const record: RoundRecord = { run: 'run', anchor: 'anowhere', ...facts }
    const cid = recordCid(record)
    this.node.world.network.gossip(this.node, to => to.receiveRecord(cid, record))
    return cid
  }

  /** The identity is present, for as long as a node would be that said so once. */
  isHere(peer: string, told: Told): void {
    const { time, network } = this.node.world
    const saidAt = time.now
    this.#heard.set(peer, saidAt)
    network.gossip(this.node, to => to.tell({ type: 'peerLive', peer, ...told }))
    time.after(GONE_MS, () => {
      if (this.#heard.get(peer) !== saidAt) return
      this.#heard.delete(peer)
      for (const to of this.node.world.up) to.tell({ type: 'peerGone', peer })
    })
  }

  holds(peer: string, contributions: string[]): void {
    this.node.world.network.gossip(this.node, to => to.tell({ type: 'holding', peer, contributions }))
  }

  /** Contributions of the open round that the speaking node has whole, but for some authors'. */
  given(at: Place, without: (peer: string) => boolean = () => false): string[] {
    const { disk } = this.node
    const authors = new Set<string>()
    const cids: string[] = []
    for (const [cid, { parent, peer }] of disk.contributions) {
      if (parent !== at.parent || authors.has(peer) || without(peer) || !disk.bodies.has(cid)) continue
      authors.add(peer)
      cids.push(cid)
    }
    return cids
  }
}

/** Does something each time the first node has adopted a record, once for each record. */
export function onEachRecord(node: SimNode, act: () => void): void {
  const { world } = node
  const before = world.onPhase
  const seen = new Set<string>()
  world.onPhase = (which, phase, round) => {
    before(which, phase, round)
    if (which !== node || phase !== 'adopting' || seen.has(node.head)) return
    seen.add(node.head)
    act()
  }
}
