// The rule of a split mesh: (state, view, now) -> commands. No socket, clock or waiting. The state is the caller's and is changed.
//
// One member that is gone is a death, which presence tells. Several that vanish at once, or half of all, are as likely the other side of a cut: machines
// die one by one, cables and routers take whole groups. So those are named, with what is known of each, until they are back, said goodbye, or an hour is over.
import { named } from '../named.ts'
import { AT_ONCE_MS, AUTHOR_MS, FORGET_MS, GAP_MS, MAX_FOLLOWED, MISSING_MS, OTHER_BRANCH_MS, STALE_NAME_MS } from './constants.ts'

/** Whether a head is a record of our chain; unknown where it is ahead of us and may yet be. */
export type Branch = 'ours' | 'other' | 'unknown'

/** What one node sees of one run at one time. */
export interface SplitView {
  self: string
  /** Other members that are here now, with the branch and round of their heads, and whether our history ever took work of theirs. */
  live: readonly { peer: string; branch: Branch; round: number; isAccepted: boolean }[]
  /** Members that since the last look said goodbye, or that they are not in the run: one that was killed says so until it has opened it again. */
  left: readonly string[]
  /** Authors of the newest records, with the newest round that took their work. */
  authors: readonly { peer: string; round: number }[]
  /** Peers that the DHT names for this run, as far as it was asked. */
  announced: ReadonlySet<string>
  /** Peers that did not answer when they were called last. */
  unreachable: ReadonlySet<string>
}

export interface MissingMember {
  peer: string
  /** The newest round that took its work; null where it was never an author. */
  lastRound: number | null
  /** The DHT still names it. */
  announced: boolean
  /** It does not answer a call; false also where it was not called yet. */
  unreachable: boolean
}

export interface Finding {
  /** Those who see one another, this node among them. */
  here: string[]
  missing: MissingMember[]
  /** Live, on a record that is not in our chain. */
  elsewhere: { peer: string; sinceRound: number }[]
}

export type SplitCommand = { type: 'split'; finding: Finding } | { type: 'healed'; back: string[]; given: 'back' | 'left' | 'forgotten' }

interface Followed {
  /** The newest round that took its work, null where none did. */
  round: number | null
  /** When it was here last; where it never was, when it was first heard of. */
  hereAtMs: number
  /** Whether it ever was. */
  wasHere: boolean
  /** When a recent record had its work last, null where none did. */
  authorAtMs: number | null
  isMember: boolean
}

export interface SplitState {
  readonly followed: Map<string, Followed>
  /** Those who said goodbye or were forgotten, until they are here again: recent records go on naming them, for ever where no round follows. */
  readonly gone: Set<string>
  readonly otherBranch: Map<string, { sinceMs: number; sinceRound: number }>
  /** Those whom the alarm names, null while there is none. */
  alarm: Set<string> | null
  /** When strangers were first missed, and when last; null where none ever were. */
  strangersMissed: { sinceMs: number; lastMs: number } | null
  lookedAtMs: number | null
}

export function createSplit(): SplitState {
  return { followed: new Map(), gone: new Set(), otherBranch: new Map(), alarm: null, strangersMissed: null, lookedAtMs: null }
}

/** @param nowMs monotonic milliseconds */
export function advanceSplit(state: SplitState, view: SplitView, nowMs: number): SplitCommand[] {
  forgiveGap(state, nowMs)
  follow(state, view, nowMs)
  const elsewhere = onOtherBranches(state, view, nowMs)
  const missing = missingAtOnce(state, view, nowMs)
  if (missing.length > 0 || elsewhere.length > 0) {
    const here = [view.self, ...view.live.map(({ peer }) => peer)].filter(peer => !elsewhere.some(other => other.peer === peer)).sort()
    state.alarm = new Set([...missing, ...elsewhere].map(({ peer }) => peer))
    return [{ type: 'split', finding: { here, missing, elsewhere } }]
  }
  // Who is here again and on another branch for all that we know: they agree soon, or it is told.
  if (state.alarm === null || [...state.alarm].some(peer => state.otherBranch.has(peer))) return []
  const live = new Set(view.live.map(({ peer }) => peer))
  const back = [...state.alarm].filter(peer => live.has(peer)).sort()
  const hasLeft = view.left.some(peer => state.alarm?.has(peer))
  state.alarm = null
  return [{ type: 'healed', back, given: back.length > 0 ? 'back' : hasLeft ? 'left' : 'forgotten' }]
}

/** This node itself was stopped or asleep: nobody was missing for that time. */
function forgiveGap(state: SplitState, nowMs: number): void {
  const gapMs = state.lookedAtMs === null ? 0 : nowMs - state.lookedAtMs
  state.lookedAtMs = nowMs
  if (gapMs > GAP_MS) for (const seen of state.followed.values()) seen.hereAtMs += gapMs
}

/** Peers that were not here for MISSING_MS, longest absent last: worth a call. */
export function absentPeers(state: SplitState, nowMs: number): string[] {
  return [...state.followed]
    .filter(([, { hereAtMs }]) => nowMs - hereAtMs >= MISSING_MS)
    .sort(([, a], [, b]) => b.hereAtMs - a.hereAtMs)
    .map(([peer]) => peer)
}

function follow(state: SplitState, view: SplitView, nowMs: number): void {
  const { followed, gone } = state
  const live = new Set(view.live.map(({ peer }) => peer))
  const authors = new Set(view.authors.map(({ peer }) => peer))
  const drop = (mayGo: (peer: string, seen: Followed) => boolean): boolean => {
    for (const [peer, seen] of followed) {
      if (seen.isMember || authors.has(peer) || !mayGo(peer, seen)) continue
      return followed.delete(peer)
    }
    return false
  }
  /**
   * Names in the DHT cost nothing, and being here costs little: whoever is here takes the place of one that is only announced, an author that of anybody who
   * is none. Who gave work before goes last: it is missed if it stays on another branch.
   */
  const makeRoom = (as: 'author' | 'live'): boolean =>
    drop(peer => !live.has(peer)) || (as === 'author' && (drop((_, { round }) => round === null) || drop(() => true)))
  const see = (peer: string, as: 'author' | 'live' | 'announced'): Followed | null => {
    const known = followed.get(peer)
    if (known !== undefined) return known
    if (peer === view.self) return null
    if (followed.size >= MAX_FOLLOWED && (as === 'announced' || !makeRoom(as))) return null
    const seen = { round: null, hereAtMs: nowMs, wasHere: false, authorAtMs: null, isMember: false }
    followed.set(peer, seen)
    return seen
  }
  for (const peer of view.left) {
    followed.delete(peer)
    gone.add(peer)
  }
  for (const peer of live) gone.delete(peer)
  // Goodbyes cost nothing.
  if (gone.size > MAX_FOLLOWED) for (const peer of gone) if (!authors.has(peer)) gone.delete(peer)
  for (const { peer, round } of view.authors) {
    const seen = gone.has(peer) ? null : see(peer, 'author')
    if (seen === null) continue
    seen.round = Math.max(round, seen.round ?? 0)
    seen.authorAtMs = nowMs
    seen.isMember = true
  }
  for (const { peer } of view.live) {
    const seen = see(peer, 'live')
    if (seen === null) continue
    seen.hereAtMs = nowMs
    seen.wasHere = true
  }
  for (const peer of view.announced) see(peer, 'announced')
  for (const [peer, { hereAtMs }] of followed) {
    // Whom the DHT goes on naming lives somewhere.
    if (nowMs - hereAtMs <= FORGET_MS || view.announced.has(peer)) continue
    followed.delete(peer)
    if (authors.has(peer)) gone.add(peer)
  }
  // A member that is here and whose work no recent record has is one no longer: its going would split nothing.
  for (const peer of live) {
    const seen = followed.get(peer)
    if (seen !== undefined && !isAuthor(seen, nowMs)) seen.isMember = false
  }
}

/** Whether recent records have its work, or had a moment ago: where rounds take less than a second, those who are cut off are in none of them before they are missed. */
function isAuthor({ authorAtMs }: Followed, nowMs: number): boolean {
  return authorAtMs !== null && nowMs - authorAtMs <= AUTHOR_MS
}

/** Members that vanished together, and peers that are announced and were never met; none where that may as well be a death. */
function missingAtOnce(state: SplitState, view: SplitView, nowMs: number): MissingMember[] {
  const live = new Set(view.live.map(({ peer }) => peer))
  const absent = [...state.followed].filter(([peer, { hereAtMs }]) => !live.has(peer) && nowMs - hereAtMs >= MISSING_MS)
  // Who was missed before stays missed, though newer records know nothing of it; who went long ago, one by one, is none of a cut's.
  // Nor is who answers no call for longer than the DHT names the dead: any of its nodes may go on naming anybody.
  const isDead = (peer: string, { hereAtMs }: Followed) => nowMs - hereAtMs > FORGET_MS + STALE_NAME_MS && view.unreachable.has(peer)
  const isMissed = (peer: string, seen: Followed) => isAuthor(seen, nowMs) || state.alarm?.has(peer) === true
  const members = absent.filter(([peer, seen]) => seen.isMember && isMissed(peer, seen) && !isDead(peer, seen))
  const membersHere = 1 + [...state.followed].filter(([peer, { isMember }]) => isMember && live.has(peer)).length
  const isHalf = members.length >= membersHere
  const together = largestAtOnce(members)
  const vanished = isHalf ? members : members.filter(([peer]) => together.includes(peer) || state.alarm?.has(peer))
  const counts = vanished.length >= 2 || (isHalf && vanished.length > 0)
  // Of those we never met, a call that fails says that they are there for others and not for us, if the name is not one that outlives its peer; one alone may have died while it joined.
  const strangers = absent.filter(
    ([peer, { hereAtMs, isMember }]) =>
      !isMember && nowMs - hereAtMs >= STALE_NAME_MS && view.announced.has(peer) && view.unreachable.has(peer)
  )
  const named = [...(counts ? vanished : []), ...(strangers.length >= 2 && mayMissStrangers(state, nowMs) ? strangers : [])]
  return named
    .map(([peer, { round }]) => ({ peer, lastRound: round, announced: view.announced.has(peer), unreachable: view.unreachable.has(peer) }))
    .sort((a, b) => (a.peer < b.peer ? -1 : 1))
}

/** Anybody may announce the run under any number of names and answer to none: strangers are missed for an hour, and again after an hour without. */
function mayMissStrangers(state: SplitState, nowMs: number): boolean {
  const { sinceMs, lastMs } = state.strangersMissed ?? { sinceMs: nowMs, lastMs: nowMs }
  state.strangersMissed = { sinceMs: nowMs - lastMs > FORGET_MS ? nowMs : sinceMs, lastMs: nowMs }
  return nowMs - state.strangersMissed.sinceMs < FORGET_MS
}

/**
 * The most members whose last signs of life lie within AT_ONCE_MS. Of those that were gone before this node came, history tells when: who went in one
 * round, or was late for the last one, went at once.
 */
function largestAtOnce(members: readonly (readonly [string, Followed])[]): string[] {
  const met = members.filter(([, { wasHere }]) => wasHere)
  const before = members.filter(([, { wasHere }]) => !wasHere)
  return [...largestWithin(met, AT_ONCE_MS, seen => seen.hereAtMs), ...largestWithin(before, 1, ({ round }) => round ?? 0)]
}

/** None where no two are within `width`. */
function largestWithin(members: readonly (readonly [string, Followed])[], width: number, at: (seen: Followed) => number): string[] {
  const ordered = [...members].sort(([, a], [, b]) => at(a) - at(b))
  let most: string[] = []
  for (const [index, [, first]] of ordered.entries()) {
    const group = ordered.slice(index).filter(([, other]) => at(other) - at(first) <= width)
    if (group.length > most.length) most = group.map(([peer]) => peer)
  }
  return most.length >= 2 ? most : []
}

/** Two that see each other agree within a round; who does not for long is kept from it by something. */
function onOtherBranches(state: SplitState, view: SplitView, nowMs: number): Finding['elsewhere'] {
  for (const { peer, branch, round, isAccepted } of view.live) {
    // One that goes ahead of us may still be on its branch: only being on our chain, or gone, ends it.
    if (branch === 'ours') state.otherBranch.delete(peer)
    // Anybody may say that it is in the run, and at any head: a split is one of authors.
    if (branch === 'other' && isAccepted && !state.otherBranch.has(peer)) state.otherBranch.set(peer, { sinceMs: nowMs, sinceRound: round })
  }
  const live = new Set(view.live.map(({ peer }) => peer))
  for (const peer of state.otherBranch.keys()) if (!live.has(peer)) state.otherBranch.delete(peer)
  return [...state.otherBranch]
    .filter(([, { sinceMs }]) => nowMs - sinceMs >= OTHER_BRANCH_MS)
    .map(([peer, { sinceRound }]) => ({ peer, sinceRound }))
    .sort((a, b) => (a.peer < b.peer ? -1 : 1))
}

/** One sentence that names both sides. */
export function findingSentence({ here, missing, elsewhere }: Finding): string {
  const peersNamed = (peers: readonly string[]): string => named(peers, ', ')
  const parts: string[] = []
  const members = missing.filter(({ lastRound }) => lastRound !== null)
  if (members.length > 0) {
    const until = Math.max(...members.map(({ lastRound }) => lastRound!))
    const still = members.some(({ announced }) => announced) ? ', still announce the run' : ''
    const calls = members.some(({ unreachable }) => unreachable) ? 'cannot be reached' : 'are not heard any more'
    parts.push(`${peersNamed(members.map(({ peer }) => peer))} were members until round ${until}${still} and ${calls}`)
  }
  const strangers = missing.filter(({ lastRound }) => lastRound === null)
  if (strangers.length > 0) parts.push(`${peersNamed(strangers.map(({ peer }) => peer))} announce the run and could never be reached`)
  if (elsewhere.length > 0) {
    const since = Math.min(...elsewhere.map(({ sinceRound }) => sinceRound))
    parts.push(`${peersNamed(elsewhere.map(({ peer }) => peer))} are on another branch since round ${since}`)
  }
  return `this node sees ${peersNamed(here)}; ${parts.join('; ')}`
}
