// Which of the contributions that it holds a node tells of: a few copies are enough for everybody to count one and to fetch it, so all other holders keep quiet.
import { membersAfter } from './chain/record-tree.ts'
import { ageAfter } from './chain/validity.ts'
import { HOLDERS_NEEDED, HOLDERS_TOLD } from './constants.ts'
import type { RoundCommand } from './events.ts'
import { liveHolders, type Open, placedIn, type RoundsState } from './state.ts'

/** At once: what nobody but its author is known to hold. All others learn by it that there are two copies. */
export function announceFirst(state: RoundsState, out: RoundCommand[]): void {
  if (state.newlyHeld.length === 0) return
  const contributions: string[] = []
  for (const cid of state.newlyHeld.splice(0)) {
    const open = state.contributions.get(cid)
    if (open === undefined || !open.held || open.told || ageAfter(state.head, open.contribution) === null) continue
    const { peer } = open.contribution
    if (peer === state.self || liveHolders(state, open).some(holder => holder !== peer)) continue
    open.told = true
    contributions.push(cid)
  }
  if (contributions.length > 0) out.push({ type: 'announceHolding', contributions })
}

/**
 * What this node tells with its presence, in order: what it told before, and what too few live members are known to hold. Asked for whenever it speaks:
 * as nodes speak at different moments, the first few are heard before the others would tell the same.
 */
export function holdingToTell(state: RoundsState): string[] {
  const members = membersAfter(state.head)
  // More than half of them: one is honest, if fewer than half lie.
  const enough = Math.max(HOLDERS_NEEDED, Math.min(HOLDERS_TOLD, Math.floor(members.size / 2) + 1))
  const holding: string[] = []
  for (const { open } of placedIn(state)) {
    if (!open.held) continue
    open.told ||= membersHolding(state, open) < enough
    if (open.told) holding.push(open.cid)
  }
  return holding.sort()
}

/** Live members, ourselves not counted, that are known to hold it; its author does as long as he lives. */
function membersHolding(state: RoundsState, { contribution, holders }: Open): number {
  const members = membersAfter(state.head)
  const counts = (peer: string): boolean => peer !== state.self && members.has(peer) && state.peers.has(peer)
  let count = counts(contribution.peer) ? 1 : 0
  for (const holder of holders) if (holder !== contribution.peer && counts(holder)) count++
  return count
}
