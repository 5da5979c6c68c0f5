// Which of the contributions that it holds a node tells of: a few copies are enough for everybody to count one and to fetch it, so all other holders keep quiet.
import { membersAfter } from './chain/record-tree.ts'
import { ageAfter } from './chain/validity.ts'
import { HOLDERS_NEEDED, HOLDERS_TOLD } from './constants.ts'
import type { RoundCommand } from './events.ts'
import { liveHolders, type Open, placedIn, type RoundsState } from './state.ts'

/** At once: what no member but its author is known to hold. All others learn by it that there are two copies. Who is no member leaves that to those who are. */
export function announceFirst(state: RoundsState, out: RoundCommand[]): void {
  if (state.newlyHeld.length === 0) return
  const contributions: string[] = []
  for (const cid of state.newlyHeld.splice(0)) {
    const open = state.contributions.get(cid)
    if (open === undefined || !open.held || open.told || ageAfter(state.head, open.contribution) === null) continue
    const { peer } = open.contribution
    if (peer === state.self || isToldByMembers(state, peer) || holdersAmongMembers(state, open).some(holder => holder !== peer)) continue
    open.told = true
    contributions.push(cid)
  }
  if (contributions.length > 0) out.push({ type: 'announceHolding', contributions })
}

/**
 * What this node tells with its presence: what it told before, and what too few live members are known to hold. Asked for whenever it speaks:
 * as nodes speak at different moments, the first few are heard before the others would tell the same.
 * In order, members' work first: who reads it may take only the beginning.
 */
export function holdingToTell(state: RoundsState): string[] {
  const members = membersAfter(state.head)
  // More than half of them: one is honest, if fewer than half lie.
  const most = Math.max(HOLDERS_NEEDED, Math.floor(members.size / 2) + 1)
  const few = Math.min(HOLDERS_TOLD, most)
  const ofMembers: string[] = []
  const ofOthers: string[] = []
  for (const { open } of placedIn(state)) {
    if (!open.held) continue
    const { peer } = open.contribution
    // A few may all be liars; then it is still its author's to give.
    open.told ||= holdersAmongMembers(state, open).length < (state.peers.has(peer) ? few : most)
    if (open.told) (members.has(peer) ? ofMembers : ofOthers).push(open.cid)
  }
  return [...ofMembers.sort(), ...ofOthers.sort()]
}

/** Whether a live member other than the author is to say it, and this node is none: where few of many train, all others would say it too. */
function isToldByMembers(state: RoundsState, author: string): boolean {
  const members = membersAfter(state.head)
  if (state.self !== null && members.has(state.self)) return false
  for (const member of members) if (member !== author && state.peers.has(member)) return true
  return false
}

/** Live members, ourselves not among them, that are known to hold it; its author does as long as he lives. */
function holdersAmongMembers(state: RoundsState, open: Open): string[] {
  const members = membersAfter(state.head)
  return liveHolders(state, open).filter(peer => peer !== state.self && members.has(peer))
}
