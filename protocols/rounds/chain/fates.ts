// What became of our own contributions, read from the head's chain alone.
import type { Fate } from '../events.ts'
import { ancestorAt, type TreeRecord } from './record-tree.ts'

/** Null while its round is still open. */
export function fateOf(head: TreeRecord, contribution: { cid: string; round: number; parent: string }): Fate | null {
  const { cid, round, parent } = contribution
  const base = ancestorAt(head, round - 1)
  if (base === null) return head.round < round - 1 ? null : 'lost'
  if (base.cid !== parent) return 'lost'
  if (head.round < round) return null
  const accepted = [round, round + 1].some(at => ancestorAt(head, at)?.parts.some(part => part.cid === cid))
  if (accepted) return 'included'
  return head.round === round ? 'late' : 'lost'
}
