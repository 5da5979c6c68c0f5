// What became of the contributions that nodes offered. Pure.
import type { NodeEvent, RoundRow } from '../../../protocols/control/messages.ts'

/** What its author last said of one contribution: nothing against it, that no record took it, that its work is in the local model again, or that it is gone for good. */
type Fate = 'open' | 'lost' | 'kept' | 'gone'

/** What one node said of its own contributions. */
export interface ToldContributions {
  index: number
  peer: string | null
  /** By CID. */
  contributions: Map<string, { round: number; fate: Fate }>
}

export interface LostContribution {
  node: number
  round: number
  cid: string
  /** What its author last said of it. */
  told: Fate
}

export interface Contributions {
  /** How many were told of: where nobody told of any, that none is lost says nothing. */
  offered: number
  lost: LostContribution[]
}

/** What an event says of one of its node's own contributions; undefined where it is about something else. */
export function fateOf({ code, data }: NodeEvent): Fate | undefined {
  switch (code) {
    case 'contribution_offered':
    case 'contribution_included':
    case 'contribution_late':
      return 'open'
    case 'contribution_lost':
      return 'lost'
    case 'contribution_restored':
      return 'kept'
    case 'contribution_dropped':
      return data?.isGone === false ? 'kept' : 'gone'
    default:
      return undefined
  }
}

/**
 * Those that are neither in the record of their round, nor late in the next one, nor again in their author's local model.
 * @param rows the adopted rounds; what was offered for a round after the last of them is still open.
 */
export function contributionsOf(nodes: ToldContributions[], rows: RoundRow[]): Contributions {
  const newest = Math.max(0, ...rows.map(({ round }) => round))
  const taken = new Set(rows.flatMap(({ round, contributors }) => contributors.map(({ peer, age }) => `${round - age} ${peer}`)))
  const isLost = (peer: string | null, round: number, fate: Fate): boolean => {
    if (fate !== 'open') return fate !== 'kept'
    // A record takes one of a peer, who may have offered another on a branch that was set aside.
    if (taken.delete(`${round} ${peer}`)) return false
    // One that came late to the newest round may still enter the next.
    return round < newest
  }
  const lost = nodes.flatMap(({ index, peer, contributions }) =>
    [...contributions]
      .filter(([, { round, fate }]) => isLost(peer, round, fate))
      .map(([cid, { round, fate }]) => ({ node: index, round, cid, told: fate }))
  )
  return { offered: nodes.reduce((sum, { contributions }) => sum + contributions.size, 0), lost }
}
