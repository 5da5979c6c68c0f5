// Which of several records is the head: a pure function of the set, so that everybody who has the same records has the same head, in whatever order they came.
import { compareClosers } from '../closing.ts'
import { membersAfter, type RecordTree, type TreeRecord } from './record-tree.ts'
import { branchWeight } from './weight.ts'

/**
 * Walks from the root to a leaf. At each fork it takes the child whose branch is heaviest, counted with the authors known there; of equally heavy siblings the better-ranked closer's, then the lower CID.
 *
 * A walk, not a comparison of leaves in pairs: weights count from a fork, so that with three leaves pairs could go round in a circle.
 *
 * @param counts records that take part; what grew on one that does not takes no part either
 */
export function chooseHead(tree: RecordTree, run: string, counts: (record: TreeRecord) => boolean): TreeRecord {
  const known = new Set<string>()
  let unread: TreeRecord[] = []
  let at = tree.root
  for (;;) {
    const children = at.children.filter(counts)
    if (children.length === 0) return at
    unread.push(at)
    if (children.length === 1) {
      at = children[0]!
      continue
    }
    for (const record of unread) for (const part of record.parts) known.add(part.peer)
    unread = []
    at = preferred(run, at, children, peer => tree.named.has(peer) || tree.known.has(peer) || known.has(peer), counts)
  }
}

function preferred(
  run: string,
  fork: TreeRecord,
  children: TreeRecord[],
  isKnown: (peer: string) => boolean,
  counts: (record: TreeRecord) => boolean
): TreeRecord {
  const members = membersAfter(fork)
  const weigh = (child: TreeRecord, enough?: number): number => branchWeight(child, isKnown, counts, enough)
  // Leaves first: what they weigh is soon known, and soon exceeded.
  const [first, ...others] = [...children].sort((a, b) => a.children.length - b.children.length)
  let best = { child: first!, weight: weigh(first!), whole: true }
  for (const child of others) {
    if (!best.whole) best = { ...best, weight: weigh(best.child), whole: true }
    const weight = weigh(child, best.weight)
    const order =
      weight - best.weight ||
      compareClosers(run, fork.round + 1, members, best.child.closer, child.closer) ||
      (best.child.cid < child.cid ? -1 : 1)
    if (order > 0) best = { child, weight, whole: weight === best.weight }
  }
  return best.child
}
