// Who had a place in the run's history at some moment of it: whose word about others may count.
import { ancestorAt, knownAt, recentAuthors } from './chain/record-tree.ts'
import type { RoundsState } from './state.ts'

/** Whether our chain had accepted this author before the round, and how many authors the records just before it have. Null for a round that is not open yet, or older than what is remembered. */
export function acceptedBefore(state: RoundsState, round: number, peer: string): { accepted: boolean; electorate: number } | null {
  const before = ancestorAt(state.head, round - 1)
  return before === null ? null : { accepted: knownAt(state.tree, before, peer), electorate: recentAuthors(before).length }
}
