// Which of the contributions that it holds a node tells of: a few copies are enough for everybody to count one and to fetch it, so all other holders keep quiet.
// And what it passes on of what others say by gossip.
import { membersAfter } from './chain/record-tree.ts'
import { ageAfter } from './chain/validity.ts'
import { HOLDERS_NEEDED, HOLDERS_TOLD } from './constants.ts'
import type { RoundCommand, RoundEvent } from './events.ts'
import type { RoundRecord } from './messages.ts'
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

/** What gossip of a run brings. */
export type RoundGossip = Extract<RoundEvent, { type: 'contribution' | 'record' | 'holding' }>

/**
 * Whether it is news: then it is passed on, and its author pays for it. Anybody may keep what a member said for hours and say it again, in the member's name or in their own: what is settled, or was refused
 * here, is none. What may count for the open round is, each time, as its author says it again after a restart; and who is behind passes on what is ahead of it.
 * A contribution or record that is none would change nothing that the rules need: what they lack they ask for. A holding always tells them who has something.
 */
export function isNews(state: RoundsState, event: RoundGossip): boolean {
  switch (event.type) {
    case 'contribution':
      return isContributionNews(state, event.cid, event.contribution.round)
    case 'record':
      return isRecordNews(state, event.cid, event.record)
    case 'holding':
      // What was never heard of here is more likely long forgotten than new: whoever has it says so again with presence.
      return event.contributions.some(cid => isContributionNews(state, cid, state.contributions.get(cid)?.contribution.round ?? NEVER))
    default:
      return event satisfies never
  }
}

/** The round of what was never heard of: before all. */
const NEVER = -1

function isContributionNews({ head, lacking, passedOver, refusals }: RoundsState, cid: string, round: number): boolean {
  if (refusals.has(cid)) return false
  if (lacking.has(cid)) return true
  const passed = passedOver.get(cid)
  return passed === undefined ? round >= head.round : passed === 'too_far_ahead'
}

function isRecordNews({ head, orphans, self, tooOld, tree }: RoundsState, cid: string, { closer, round }: RoundRecord): boolean {
  const known = tree.byCid.get(cid)
  if (known !== undefined || orphans.has(cid)) return known?.status !== 'invalid' && round > head.round
  return round > tree.root.round && closer !== self && !tooOld.has(cid)
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
