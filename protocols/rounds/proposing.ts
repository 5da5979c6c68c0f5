// When a node closes the open round, whom it waits for, and when it proposes a rival to a record that left something out.
import { ancestorAt, knownAt, membersAfter, recentAuthors, type TreeRecord } from './chain/record-tree.ts'
import { isAdmitted, partOf } from './chain/validity.ts'
import { closingOrder, holdersNeeded, listFor, turnsBefore } from './closing.ts'
import { GIVE_UP_FETCHES } from './constants.ts'
import type { Part, RoundCommand } from './events.ts'
import {
  isCounted,
  listed,
  liveHolders,
  missingParts,
  type Open,
  type Placed,
  placedIn,
  placesIn,
  type RoundsState,
  trainersOf,
  wakeAt
} from './state.ts'

export function closeIfDue(state: RoundsState, out: RoundCommand[]): void {
  const { rules, self, now, head } = state
  const deadlineAt = state.adoptedAt + rules.deadlineMs
  if (now < deadlineAt) wakeAt(state, deadlineAt)
  if (state.sync !== null || isHeldUp(state)) {
    state.closableSince = null
    return
  }
  if (now >= deadlineAt) noteSilence(state, [], out)
  reportWaiting(state, out)
  if (self === null || !isAdmitted(rules, self) || state.closing !== null) return
  if (!isClosable(state)) {
    state.closableSince = null
    return
  }
  state.closableSince ??= now
  if (!recentAuthors(head).includes(self) && !counted(state).some(({ open }) => open.contribution.peer === self)) return
  const order = orderOf(state)
  // Whoever has closed already, with a record that cannot be had or came too early, has had its turn.
  const had = new Set(
    head.children.filter(child => child.status === 'invalid' || child.leftOut || child === state.early).map(child => child.closer)
  )
  const turns = turnsBefore(order, self, goesFirst(state, head, self), peer => (had.has(peer) ? null : goesFirst(state, head, peer)))
  const dueAt = Math.max(state.closableSince + turns * (rules.graceMs + state.computeMs), state.closeRetryAt)
  if (now < dueAt) {
    wakeAt(state, dueAt)
    return
  }
  close(state, head, listNow(state), out)
}

/** Whether the open round may be closed now. */
export function isClosable(state: RoundsState): boolean {
  return hasQuorum(state) && (state.now >= state.adoptedAt + state.rules.deadlineMs || allIn(state))
}

/** What a record of the open round would list now. */
export function listNow(state: RoundsState): Part[] {
  const { rules, head } = state
  const parts = counted(state).map(({ open, age }) => partOf(rules, open.cid, open.contribution, age))
  return listFor(parts, peer => knownAt(state.tree, head, peer))
}

function counted(state: RoundsState): Placed[] {
  const needed = holdersNeeded(trainersOf(state).length)
  return placedIn(state).filter(({ open }) => countsHere(state, open, needed))
}

/** What this node would list: nothing of somebody whom it shuns. A record of others that lists it is as good as ever. */
function countsHere(state: RoundsState, open: Open, needed: number): boolean {
  return !state.shunned.has(open.contribution.peer) && isCounted(state, open, needed)
}

function hasQuorum(state: RoundsState): boolean {
  const needed = holdersNeeded(trainersOf(state).length)
  const authors = new Set<string>()
  for (const { open } of placedIn(state)) {
    if (authors.size >= state.rules.quorum) return true
    if (countsHere(state, open, needed)) authors.add(open.contribution.peer)
  }
  return authors.size >= state.rules.quorum
}

export function orderOf(state: RoundsState): readonly string[] {
  const places = placesIn(state)
  places.order ??= orderAfter(state, state.head, places.fresh.keys())
  return places.order
}

/**
 * Who is the first to close a round of the branch that we are on or moving to, or the round after it. By rank alone, not by who is live: so all who know the record before it name the same one.
 * Null where we do not.
 */
export function closerOf(state: RoundsState, round: number): string | null {
  const parent = ancestorAt(state.target, round - 1)
  return parent === null ? null : (orderAfter(state, parent, [])[0] ?? null)
}

/** Of the authors of the last k records the members go first, the others with those who gave for the round. */
function orderAfter({ rules }: RoundsState, parent: TreeRecord, given: Iterable<string>): string[] {
  return closingOrder(rules.run, parent.round + 1, membersAfter(parent), [...recentAuthors(parent), ...given])
}

/** Is everything here that is worth waiting for? Live trainers' contributions, and announced ones of authors we know that may still come. Strangers, who cost nothing to make, are waited for a grace. */
function allIn(state: RoundsState): boolean {
  const { head, now, rules } = state
  const needed = holdersNeeded(trainersOf(state).length)
  const { all, fresh } = placesIn(state)
  const hasGiven = (peer: string): boolean => fresh.get(peer)?.some(open => isCounted(state, open, needed)) ?? false
  const lacks = (peer: string): boolean => !hasGiven(peer) && mayStillGive(state, head, peer)
  // Before round 1 nobody was accepted yet.
  const members = membersAfter(head)
  const isAwaited = (peer: string): boolean => (head.round === 0 || members.has(peer)) && lacks(peer)
  if (state.awaited === null || !isTrainer(state, state.awaited) || !isAwaited(state.awaited)) {
    state.awaited = trainersOf(state).find(isAwaited) ?? null
  }
  if (state.awaited !== null) {
    state.membersInSince = null
    return false
  }
  state.membersInSince ??= now
  const strangersUntil = state.membersInSince + rules.graceMs
  if (now < strangersUntil && trainersOf(state).some(lacks)) {
    wakeAt(state, strangersUntil)
    return false
  }
  for (const { open, age } of all) {
    const { peer } = open.contribution
    if (age === 1 || hasGiven(peer) || isDistrusted(state, peer)) continue
    const until = open.seenAt + state.rules.fetchTimeoutMs
    if (state.now >= until || liveHolders(state, open).length === 0 || !knownAt(state.tree, state.head, peer)) continue
    wakeAt(state, until)
    return false
  }
  return true
}

/** Whether a live node is of those who go first in the round after `parent`: members that train; null when it is not live. */
function goesFirst(state: RoundsState, parent: TreeRecord, peer: string): boolean | null {
  const trains = peer === state.self ? state.trains : state.peers.get(peer)?.trains
  return trains === undefined ? null : trains && membersAfter(parent).has(peer)
}

/** Live trainers who may still give to the round after `parent` and are not among those who gave: not the silent, not whom this node does not trust, and not who gave something that was refused, because nothing better will come from there. */
export function lackingTrainers(state: RoundsState, parent: TreeRecord, given: ReadonlySet<string>): string[] {
  return trainersOf(state).filter(peer => !given.has(peer) && mayStillGive(state, parent, peer))
}

function mayStillGive(state: RoundsState, parent: TreeRecord, peer: string): boolean {
  if (state.silent.has(peer) || isDistrusted(state, peer) || !isAdmitted(state.rules, peer)) return false
  return state.refusals.size === 0 || !wasRefused(state, parent, peer)
}

function isTrainer(state: RoundsState, peer: string): boolean {
  return peer === state.self ? state.trains : state.peers.get(peer)?.trains === true
}

function isDistrusted(state: RoundsState, peer: string): boolean {
  return state.watched.has(peer) || state.shunned.has(peer)
}

/** Who gave for the round itself, not for the one before. */
export function freshAuthors(parts: readonly Part[]): Set<string> {
  return new Set(parts.filter(({ age }) => age === 0).map(({ peer }) => peer))
}

function wasRefused(state: RoundsState, parent: TreeRecord, peer: string): boolean {
  for (const cid of state.byParent.get(parent.cid) ?? []) {
    const open = state.contributions.get(cid)!
    if (open.refused !== null && open.contribution.peer === peer) return true
  }
  return false
}

/**
 * A record that would take us on is being fetched, computed or looked for: closing now would only make a rival. What is looked for holds a round up for one fetch in all, however many ranked
 * authors name something one after the other. Who is not ranked waits for ten: a newcomer to a long run is minutes behind while it learns the chain, and two of them could close a round of their own for nothing.
 */
function isHeldUp(state: RoundsState): boolean {
  const { head, heldUp, now, rules, self } = state
  if (state.target !== head) return true
  const ranked = recentAuthors(head)
  const isRanked = self !== null && ranked.includes(self)
  if (!(isRanked ? isLookingFor(state, ranked) : isBehind(state, ranked))) {
    if (heldUp.since !== null) heldUp.ms += now - heldUp.since
    heldUp.since = null
    return false
  }
  heldUp.since ??= now
  const until = heldUp.since - heldUp.ms + (isRanked ? 1 : GIVE_UP_FETCHES) * rules.fetchTimeoutMs
  if (now < until) wakeAt(state, until)
  return now < until
}

function isBehind({ head, peers }: RoundsState, ranked: readonly string[]): boolean {
  return ranked.some(peer => (peers.get(peer)?.round ?? 0) > head.round)
}

/** A child whose envelopes are missing, or a head that is not known here, of somebody ranked and for a fetch at most. */
function isLookingFor(state: RoundsState, ranked: readonly string[]): boolean {
  const { head, now, rules } = state
  const patience = rules.fetchTimeoutMs
  for (const child of head.children) {
    if (child.status !== 'incomplete' || !ranked.includes(child.closer) || now - child.seenAt >= patience) continue
    wakeAt(state, child.seenAt + patience)
    return true
  }
  for (const peer of state.claims) {
    const { claim, round } = state.peers.get(peer)!
    if (claim === null || round <= head.round || now - claim.since >= patience) continue
    if (!ranked.includes(peer) || state.tooOld.has(claim.head)) continue
    wakeAt(state, claim.since + patience)
    return true
  }
  return false
}

/** At the deadline, once: who trains and gave nothing, nor is in the record that closes the round, is not waited for again until it gives. */
export function noteSilence(state: RoundsState, closedWith: readonly Part[], out: RoundCommand[]): void {
  if (state.silenceChecked) return
  state.silenceChecked = true
  const gave = new Set(closedWith.map(({ peer }) => peer))
  for (const { open } of placedIn(state)) gave.add(open.contribution.peer)
  for (const [peer, { trains }] of state.peers) {
    if (!trains || gave.has(peer) || state.silent.has(peer)) continue
    state.silent.add(peer)
    out.push({ type: 'report', code: 'peer_silent', subject: peer, peer, round: state.head.round + 1 })
  }
}

function reportWaiting(state: RoundsState, out: RoundCommand[]): void {
  if (state.waitingReported) return
  const detail = waitingFor(state)
  if (detail === null) return
  state.waitingReported = true
  out.push({ type: 'report', code: 'waiting_for_quorum', subject: state.rules.run, round: state.head.round + 1, detail })
}

export function waitingFor(state: RoundsState): string | null {
  const lacking = lackingContributors(state)
  return lacking === 0 ? null : `waiting for ${lacking} more`
}

/** Contributors that the open round still lacks, if all live trainers and all open contributions are not enough. */
function lackingContributors(state: RoundsState): number {
  const { admission, quorum } = state.rules
  if (admission === 'open' && trainersOf(state).length >= quorum) return 0
  const possible = new Set<string>()
  for (const peer of trainersOf(state)) {
    if (isAdmitted(state.rules, peer)) possible.add(peer)
    if (possible.size >= quorum) return 0
  }
  for (const { open } of placedIn(state)) {
    const { peer } = open.contribution
    if (!state.shunned.has(peer) && (open.held || liveHolders(state, open).length > 0)) possible.add(peer)
  }
  return Math.max(0, quorum - possible.size)
}

/** What we held whole in time, of authors known then, and the new head left out. In time: before our deadline, and a grace before any record for it came, so that its closer could have known. */
export function missedBy(state: RoundsState, head: TreeRecord): Open[] {
  const { parent } = head
  const { rules, self } = state
  if (self === null || parent === null || parent.adoptedAt === null || head.closer === self || !isAdmitted(rules, self)) return []
  // The first record that we followed from this parent ended the round here, even if another one was preferred later.
  const endedAt = Math.min(...parent.children.map(child => child.endedRoundAt ?? Number.POSITIVE_INFINITY))
  const before = Math.min(parent.adoptedAt + rules.deadlineMs, endedAt - rules.graceMs)
  const inHead = new Set(head.parts.filter(part => part.age === 0).map(part => part.peer))
  const missed: Open[] = []
  for (const cid of state.byParent.get(parent.cid) ?? []) {
    const open = state.contributions.get(cid)!
    const { peer } = open.contribution
    if (open.refused !== null || open.heldAt === null || open.heldAt > before || inHead.has(peer) || state.shunned.has(peer)) continue
    if (knownAt(state.tree, parent, peer)) missed.push(open)
  }
  return missed
}

/** Proposes a sibling of the head when its closer left out what we held in time; by rank, and only if it would be preferred for its weight. */
export function rivalIfDue(state: RoundsState, out: RoundCommand[]): void {
  const { head, rules, self, now } = state
  const { parent } = head
  if (state.missed.length === 0 || self === null || parent === null) return
  if (head.rivalDone || state.closing !== null || state.sync !== null || state.target !== head) return
  if (head.children.some(child => child.status === 'valid' && child !== state.early) || missingParts(state, head).length > 0) return
  const needed = holdersNeeded(trainersOf(state).length)
  const left: Part[] = []
  for (const open of state.missed) {
    if (open.refused === null && isCounted(state, open, needed)) left.push(partOf(rules, open.cid, open.contribution, 0))
  }
  if (left.length === 0) return
  const list = listFor([...head.parts, ...left], peer => knownAt(state.tree, parent, peer))
  if (!recentAuthors(parent).includes(self) && !list.some(part => part.peer === self)) return
  const order = orderAfter(
    state,
    parent,
    list.map(part => part.peer)
  )
  const turns = turnsBefore(order, self, goesFirst(state, parent, self), peer =>
    peer === head.closer ? null : goesFirst(state, parent, peer)
  )
  const dueAt = state.adoptedAt + turns * (rules.graceMs + state.computeMs)
  if (now < dueAt) {
    wakeAt(state, dueAt)
    return
  }
  head.rivalDone = true
  out.push({
    type: 'report',
    code: 'rival_proposed',
    subject: head.cid,
    peer: head.closer,
    round: head.round,
    detail: left.map(part => part.cid).join(' ')
  })
  close(state, parent, list, out)
}

function close(state: RoundsState, { anchor, cid, round }: TreeRecord, contributions: Part[], out: RoundCommand[]): void {
  state.closing = { parent: cid, list: listed(contributions.map(part => part.cid)), since: state.now }
  out.push({ type: 'close', round: round + 1, parent: cid, parentAnchor: anchor, contributions })
}
