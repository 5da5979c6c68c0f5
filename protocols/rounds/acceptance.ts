// Who had a place in the run's history at some moment of it: whose word about others may count.
import { ancestorAt, knownAt, recentAuthors, type TreeRecord } from './chain/record-tree.ts'
import type { RoundsState } from './state.ts'

/** Whether our chain has accepted any work of a peer: to be named in the manifest is none. */
export function hasAccepted(state: RoundsState, peer: string): boolean {
  return state.tree.known.has(peer) || acceptedLately(state).has(peer)
}

/** Whether its work weighs in the choice between branches: the manifest may name it. */
export function isAuthor(state: RoundsState, peer: string): boolean {
  return state.tree.named.has(peer) || hasAccepted(state, peer)
}

/** Looked up once for each head: many are asked for at once. */
function acceptedLately(state: RoundsState): ReadonlySet<string> {
  const { head } = state
  if (state.accepted?.at !== head) {
    const authors = new Set<string>()
    for (let at: TreeRecord | null = head; at !== null; at = at.parent) for (const { peer } of at.parts) authors.add(peer)
    state.accepted = { at: head, authors }
  }
  return state.accepted.authors
}

/** Whether our chain had accepted this author before the round, and how many authors the records just before it have. Null for a round that is not open yet, or older than what is remembered. */
export function acceptedBefore(state: RoundsState, round: number, peer: string): { accepted: boolean; electorate: number } | null {
  const before = ancestorAt(state.head, round - 1)
  return before === null ? null : { accepted: knownAt(state.tree, before, peer), electorate: recentAuthors(before).length }
}

/**
 * How many authors a word of `peer` about what another did in that round is weighed against; null where it counts for nothing: who says it was not accepted before, or it is of more than `rounds` ago.
 * Two are many of the few who began a run: whichever round a word names, it takes a share of those who are here now.
 */
export function electorateOf(state: RoundsState, round: number, peer: string, rounds: number): number | null {
  const { round: last } = state.head
  const then = round < last - rounds ? null : acceptedBefore(state, round, peer)
  if (then === null || !then.accepted) return null
  return Math.max(then.electorate, acceptedBefore(state, last + 1, peer)!.electorate)
}
