// What became of the contributions that nodes offered. Pure.
import type { RoundRow } from '../../../protocols/control/messages.ts'

/** What one node said of its own contributions. */
export interface ToldContributions {
  index: number
  peer: string | null
  /** Rounds that it offered one for. */
  announced: Set<number>
  /** Rounds of which it said why its contribution is in no record. */
  explained: Set<number>
}

export interface LostContribution {
  node: number
  round: number
}

/**
 * Those that are neither in the record of their round, nor late in the next one, nor explained by their author.
 * @param rows the adopted rounds; what was offered for a round after the last of them is still open.
 */
export function lostContributions(nodes: ToldContributions[], rows: RoundRow[]): LostContribution[] {
  const newest = Math.max(0, ...rows.map(({ round }) => round))
  const taken = new Set(rows.flatMap(({ round, contributors }) => contributors.map(({ peer, age }) => `${round - age} ${peer}`)))
  return nodes.flatMap(({ index, peer, announced, explained }) =>
    [...announced]
      // One that came late to the newest round may still enter the next.
      .filter(round => round < newest && !explained.has(round) && !taken.has(`${round} ${peer}`))
      .map(round => ({ node: index, round }))
  )
}
