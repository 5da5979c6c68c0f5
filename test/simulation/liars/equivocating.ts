// Signs two of everything, shows each half of the mesh another one, and names heads that do not exist.
import type { RoundRecord } from '../../../protocols/rounds/index.ts'
import type { Conduct } from '../conduct.ts'
import { anchorOf, contributionCid, recordCid } from '../names.ts'
import type { SimNode } from '../node.ts'

/** How often it names a head that nobody has. */
const NOWHERE = 0.3

export const equivocating: Conduct = {
  // A smaller twin may fall below the quorum or leave its closer out.
  forges: true,
  showsContribution(node, cid, contribution) {
    const other = { ...contribution, body: `${contribution.body}'` }
    const twin = contributionCid(other)
    node.keepOwn(twin, other)
    return to => (to.index % 2 === 1 ? twin : cid)
  },
  showsRecord(node, cid, record) {
    const [twin] = twinOf(node, record)
    return to => (to.index % 2 === 1 ? twin : cid)
  },
  tells(node, _to, honest) {
    const { random, time } = node.world
    return random.chance(NOWHERE) ? { ...honest, head: `rnowhere${time.now}`, round: honest.round + 1 } : honest
  }
}

/** Shows everybody two records of each round that it closes. */
export const closingTwice: Conduct = {
  forges: true,
  showsRecord(node, cid, record) {
    const twin = twinOf(node, record)
    node.world.network.gossip(node, to => to.receiveRecord(...twin))
    return () => cid
  }
}

/** Another record of the same contributions, or of fewer. */
function twinOf(node: SimNode, record: RoundRecord): [cid: string, record: RoundRecord] {
  const { disk, world } = node
  const fewer = record.contributions.slice(0, Math.max(world.rules.quorum, record.contributions.length - 1))
  const parts = fewer.map(cid => {
    const { peer, tokens, round } = disk.contributions.get(cid)!
    return { cid, age: (record.round - round) as 0 | 1, peer, tokens: Math.min(tokens, world.rules.maxTokensPerRound) }
  })
  const parentAnchor = disk.records.get(record.parent)?.record.anchor ?? 'genesis'
  const twin = { ...record, contributions: fewer, anchor: anchorOf(parentAnchor, parts) }
  const cid = recordCid(twin)
  disk.records.set(cid, { record: twin, ready: true, shown: true })
  disk.anchors.set(twin.anchor, twin.round)
  return [cid, twin]
}
