// Which of the chosen records a node follows already. Time decides when it follows one, never which of two it prefers: that is a pure function of the set.
// A record that closes its round before all have given is early. Followed at once, it would let anyone shut out all others' work by closing first.

import { chooseHead } from './chain/choice.ts'
import { ancestorAt, commonAncestor, knownAt, membersAfter, subtree, type TreeRecord } from './chain/record-tree.ts'
import { branchWeight, recordWeight } from './chain/weight.ts'
import { CLOSERS_TRIED } from './constants.ts'
import type { RoundCommand } from './events.ts'
import { freshAuthors, isClosable, lackingTrainers, listNow } from './proposing.ts'
import { missingParts, type RoundsState, wakeAt } from './state.ts'

export function mayBeHead(record: TreeRecord): boolean {
  return record.status === 'valid' && (record.ready || record.passed || !record.leftOut)
}

/** Sets the record that should become the head: the one that the choice prefers among branches that may take us back, or its last ancestor before an early one. */
export function chooseTarget(state: RoundsState, out: RoundCommand[]): void {
  const before = state.target
  choose(state, out)
  if (state.target.round > before.round && ancestorAt(state.target, before.round) === before) state.targetGrewAt = state.now
}

function choose(state: RoundsState, out: RoundCommand[]): void {
  const { head, early } = state
  const { target, ancestor, late } = chooseReachable(state)
  state.early = null
  state.target = target
  const isNew = late !== state.late
  state.late = late
  if (late !== null && isNew) {
    const { cid, closer, round } = late
    out.push({ type: 'report', code: 'closed_late', subject: cid, peer: closer, round })
  }
  for (const record of pathDown(ancestor, state.target)) {
    // A branch that outweighs ours was closed by others while we went our own way. What it has beyond our round is looked at when we are on it.
    if (record.round > head.round) record.endedRoundAt ??= endOfRound(state, record)
    else record.endedRoundAt ??= record.seenAt
    if (record.endedRoundAt !== null) continue
    if (ancestor !== head) return
    state.target = record.parent!
    state.early = record
    const { cid, closer, round } = record
    if (record !== early) out.push({ type: 'report', code: 'closed_early', subject: cid, peer: closer, round })
    return
  }
}

/** What the choice prefers among branches that may take us back, where it parts from our head, and the first record of one that it prefers and that came too late to. */
export function chooseReachable(state: RoundsState): { target: TreeRecord; ancestor: TreeRecord; late: TreeRecord | null } {
  const { head, tree } = state
  let late: TreeRecord | null = null
  const held = new Set<TreeRecord>()
  for (;;) {
    const target = chooseHead(tree, state.rules.run, record => mayBeHead(record) && !held.has(record))
    const ancestor = commonAncestor(head, target)
    const branch = ancestor === head ? null : ancestorAt(target, ancestor.round + 1)!
    if (branch === null || takesBack(state, branch)) return { target, ancestor, late }
    // All that came late to that fork at once: there may be many.
    for (const sibling of ancestor.children)
      if (mayBeHead(sibling) && ancestorAt(head, sibling.round) !== sibling && !takesBack(state, sibling)) held.add(sibling)
    late ??= branch
  }
}

/** Time and presence let an early record through too, and a late one; nothing else of the choice depends on them. */
export function reconsider(state: RoundsState): void {
  const { early, late } = state
  if (early !== null) {
    early.endedRoundAt ??= endOfRound(state, early)
    if (early.endedRoundAt !== null) state.treeChanged = true
  }
  if (late !== null && takesBack(state, late)) state.treeChanged = true
}

/**
 * Whether a branch that parted from ours below our head may take us back to it. Otherwise a member could show its record again and again with a little more in it, and nobody would ever come further.
 * It may if it was here whole about when our own record was, or has nothing beyond that that we did not hold in time; if most live members are on it; or after a deadline, if it is still preferred:
 * by then those who were not held up by it have gone on.
 */
function takesBack(state: RoundsState, branch: TreeRecord): boolean {
  if (branch.takesBack) return true
  const { head, now, rules } = state
  const ours = ancestorAt(head, branch.round)!
  const endedAt = roundEndedAt(ours)
  const raceUntil = endedAt + rules.graceMs + state.computeMs
  const isWhole = missingParts(state, branch).length === 0
  const lastAt = branch.seenAt + rules.deadlineMs + CLOSERS_TRIED * (rules.graceMs + state.computeMs)
  if (now <= raceUntil && !isWhole) {
    wakeAt(state, raceUntil + 1)
    return true
  }
  branch.takesBack = now <= raceUntil || now >= lastAt || bringsWhatWasHeld(state, branch, ours, endedAt) || mostAreAt(state, branch)
  if (!branch.takesBack) wakeAt(state, lastAt)
  return branch.takesBack
}

/** ms: when the first record that we adopted on this one's parent ended the round here, even if another one was preferred later. */
function roundEndedAt({ parent, seenAt }: TreeRecord): number {
  const adopted = parent!.children.filter(child => child.adoptedAt !== null).map(child => child.endedRoundAt ?? child.seenAt)
  return adopted.length === 0 ? seenAt : Math.min(...adopted)
}

/** Its closer had what we had, and ours left that out. */
function bringsWhatWasHeld(state: RoundsState, branch: TreeRecord, ours: TreeRecord, endedAt: number): boolean {
  const listed = new Set(ours.parts.map(part => part.cid))
  const more = branch.parts.filter(part => !listed.has(part.cid))
  return (
    more.length > 0 &&
    more.every(({ cid }) => {
      const heldAt = state.contributions.get(cid)?.heldAt ?? null
      return heldAt !== null && heldAt <= endedAt
    })
  )
}

/**
 * When this record ended the round for us (ms), or null while it is early. It ends it at once when every live member who trains is in it, or when most live members have moved on to it;
 * at our deadline, or when all is in, unless we hold what outweighs it: then somebody closes that, or had the time to.
 */
function endOfRound(state: RoundsState, record: TreeRecord): number | null {
  if (isWhole(state, record) || mostAreAt(state, record)) return record.seenAt
  const { head, now, rules } = state
  const { seenAt } = record
  const isNext = record.parent === head
  // One further on is looked at again on its parent; but that may be out of reach for good.
  const deadlineAt = (isNext ? state.adoptedAt : seenAt) + rules.deadlineMs
  // Deadlines differ by the time that an anchor takes to get around.
  if (isNext && seenAt >= deadlineAt - rules.graceMs) return seenAt
  const lastAt = deadlineAt + CLOSERS_TRIED * (rules.graceMs + state.computeMs)
  if (now < lastAt && !(isNext && isHeaviest(state, record, deadlineAt))) {
    wakeAt(state, now < deadlineAt ? deadlineAt : lastAt)
    return null
  }
  // What has grown on it in the meantime waited as long.
  for (const later of subtree(record)) later.endedRoundAt ??= now
  return now
}

/** The round is due, and what we would close it with is no heavier. */
function isHeaviest(state: RoundsState, record: TreeRecord, deadlineAt: number): boolean {
  if (!isClosable(state)) return state.now >= deadlineAt
  const isKnown = (peer: string): boolean => knownAt(state.tree, state.head, peer)
  return recordWeight(listNow(state), isKnown) <= branchWeight(record, isKnown, mayBeHead)
}

function isWhole(state: RoundsState, record: TreeRecord): boolean {
  const members = membersAfter(record.parent!)
  return !lackingTrainers(state, record.parent!, freshAuthors(record.parts)).some(
    // Back from a gap, we have given nothing that it could have.
    peer => members.has(peer) && (peer !== state.self || state.sync === null)
  )
}

function mostAreAt(state: RoundsState, record: TreeRecord): boolean {
  const there = new Set<string>()
  for (const [peer, live] of state.peers) {
    const head = state.tree.byCid.get(live.head)
    if (head !== undefined && ancestorAt(head, record.round) === record) there.add(peer)
  }
  if (there.size === 0) return false
  let votes = 0
  for (const peer of membersAfter(record.parent!)) {
    if (there.has(peer)) votes++
    else if (peer === state.self || (state.peers.has(peer) && !state.silent.has(peer))) votes--
  }
  return votes > 0
}

/** The records below `ancestor` down to this one, oldest first. */
function pathDown(ancestor: TreeRecord, record: TreeRecord): TreeRecord[] {
  const path: TreeRecord[] = []
  for (let at = record; at !== ancestor; at = at.parent!) path.push(at)
  return path.reverse()
}
