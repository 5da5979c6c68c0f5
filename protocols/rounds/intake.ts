// What a node makes of each thing that it is told: kept, refused with a reason, or passed over, within bounds that no flood can move.

import { askEnvelope, askRecord, leaveOut, rememberAsked } from './catching-up.ts'
import { ancestorAt, knownAt, pathToReady, plant, subtree, type TreeRecord } from './chain/record-tree.ts'
import { ageAfter, checkContribution, checkRecord, isAdmitted, type LookUp } from './chain/validity.ts'
import {
  COMPUTE_SMOOTHING,
  MAX_LISTED_OFF_CHAIN,
  MAX_OPEN_CONTRIBUTIONS,
  MAX_ORPHAN_RECORDS,
  MAX_PEERS,
  MAX_PER_AUTHOR_AND_PARENT,
  MAX_RECORDS_OFF_CHAIN,
  MAX_RECORDS_PER_CLOSER,
  MAX_ROUNDS_AHEAD,
  MAX_STRAY_CONTRIBUTIONS,
  MAX_WATCHED,
  RECENT_ROUNDS
} from './constants.ts'
import type { RoundCommand, RoundEvent } from './events.ts'
import { chooseReachable } from './following.ts'
import type { Contribution, RoundRecord } from './messages.ts'
import { REASONS, type ReasonCode } from './reasons.ts'
import { addHolder, listed, noteTooOld, type Open, peersAt, place, placedIn, type RoundsState, uproot } from './state.ts'

export function take(state: RoundsState, event: RoundEvent, out: RoundCommand[]): void {
  switch (event.type) {
    case 'tick':
      return
    case 'peerLive':
      takePeerLive(state, event)
      return
    case 'holding':
      takeHolding(state, event.peer, event.contributions, out)
      return
    default:
      state.changed = true
      takeChange(state, event, out)
      return
  }
}

function takeChange(state: RoundsState, event: Exclude<RoundEvent, { type: 'tick' | 'peerLive' | 'holding' }>, out: RoundCommand[]): void {
  switch (event.type) {
    case 'paused':
      out.push({ type: 'report', code: 'gap_in_timers', subject: state.rules.run, round: state.head.round + 1 })
      state.sync = { since: state.now, asked: false }
      // What we were computing was decided before the gap: it is not shown, and closed anew if it is still wanted.
      state.closing = null
      return
    case 'synced':
      state.sync = null
      return
    case 'peerGone':
      takePeerGone(state, event.peer)
      return
    case 'standing':
      takeStanding(state, event.peer, event.standing)
      return
    case 'contribution':
      takeContribution(state, event.cid, event.contribution, out)
      return
    case 'contributionHeld':
      takeHeld(state, event.cid)
      return
    case 'contributionRefused':
      takeRefused(state, event.cid, event.reason, out)
      return
    case 'record':
      takeRecord(state, event.cid, event.record, out)
      return
    case 'recordComputed':
      takeComputed(state, event.cid, event.anchor, out)
      return
    case 'recordUnavailable':
      takeUnavailable(state, event.cid, event.missing ?? [], out)
      return
    case 'closeFailed':
      state.closing = null
      for (const cid of event.missing ?? []) takeLost(state, cid)
      state.closeRetryAt = state.now + Math.max(state.rules.graceMs, 1)
      out.push({ type: 'report', code: event.reason, subject: state.rules.run, round: event.round })
      return
    default:
      event satisfies never
  }
}

function takePeerGone(state: RoundsState, peer: string): void {
  state.peers.delete(peer)
  state.moves++
  state.claims.delete(peer)
  state.trainers = null
  state.silent.delete(peer)
  for (const open of state.contributions.values()) open.holders.delete(peer)
}

function takeStanding(state: RoundsState, peer: string, standing: 'good' | 'watched' | 'shunned'): void {
  if (peer === state.self) return
  state.watched.delete(peer)
  state.shunned.delete(peer)
  if (standing === 'watched') state.watched.add(peer)
  if (standing === 'shunned') {
    state.shunned.add(peer)
    takePeerGone(state, peer)
  }
  fetchAhead(state)
}

/** What has a place in the open round's record and is not here is fetched before any record lists it, unless it is of somebody whom this node shuns. */
export function fetchAhead(state: RoundsState): void {
  for (const { open } of placedIn(state)) if (!open.held && !state.shunned.has(open.contribution.peer)) state.toFetch.add(open.cid)
}

function takePeerLive(state: RoundsState, event: Extract<RoundEvent, { type: 'peerLive' }>): void {
  const { peer, head, round } = event
  if (peer === state.self) {
    const trains = event.trains ?? state.trains
    state.changed ||= state.trains !== trains
    state.trains = trains
    state.trainers = null
    return
  }
  if (state.shunned.has(peer)) return
  const before = state.peers.get(peer)
  const trains = event.trains ?? before?.trains ?? false
  if (before?.head === head && before.round === round && before.trains === trains) return
  if (before === undefined && state.peers.size >= MAX_PEERS) return
  state.changed = true
  if (before?.trains !== trains) state.trainers = null
  state.headsChanged = true
  if (!state.tree.byCid.has(head)) state.headsKnownAt = null
  state.moves++
  const live = before ?? { head, round, trains, claim: null }
  if (before === undefined) state.peers.set(peer, live)
  live.head = head
  live.round = round
  live.trains = trains
  if (state.tree.byCid.has(head)) live.claim = null
  else if (live.claim?.head !== head) live.claim = { head, since: state.now }
  if (live.claim === null) state.claims.delete(peer)
  else state.claims.add(peer)
}

function takeContribution(state: RoundsState, cid: string, contribution: Contribution, out: RoundCommand[]): void {
  if (state.contributions.has(cid) || (state.passedOver.has(cid) && !state.lacking.has(cid))) return
  const { peer, round } = contribution
  const refuse = (code: ReasonCode): void => {
    if (REASONS[code].content) refuseForGood(state, cid, code, out)
    else state.passedOver.set(cid, code)
    state.unknown.delete(cid)
    out.push({ type: 'report', code, subject: cid, peer, round })
  }
  const wrong = checkContribution(state.rules, contribution)
  if (wrong !== null) {
    refuse(wrong)
    return
  }
  const isOwn = peer === state.self
  if (!isOwn && !state.lacking.has(cid)) {
    const place = placeFor(state, contribution)
    if (place !== null) {
      if (place === 'stale_round' && wasAccepted(state, cid, contribution)) state.passedOver.set(cid, place)
      else refuse(place)
      return
    }
  }
  const open = remember(state, cid, contribution)
  const { head } = state
  if (!isOwn && contribution.parent === head.parentCid && head.round > 0 && !head.parts.some(part => part.cid === cid)) {
    out.push({ type: 'report', code: 'late', subject: cid, peer, round })
  }
  if (round >= head.round) state.silent.delete(peer)
  for (const holder of state.unknown.get(cid)?.holders ?? []) addHolder(state, open, holder)
  state.unknown.delete(cid)
  completeRecords(state, cid, out)
  if (!open.held && !state.shunned.has(peer) && ageAfter(state.head, contribution) !== null) state.toFetch.add(cid)
}

/** Our own chain has it; somebody who is behind still shows it around. */
function wasAccepted(state: RoundsState, cid: string, { round }: Contribution): boolean {
  return [round, round + 1].some(at => ancestorAt(state.head, at)?.parts.some(part => part.cid === cid))
}

/** Why a contribution that no record needs is not kept, or null. Strangers make room for authors accepted before. */
function placeFor(state: RoundsState, contribution: Contribution): ReasonCode | null {
  const { head } = state
  const { peer, parent, round } = contribution
  if (round < head.round) return 'stale_round'
  if (round > head.round + 1 + MAX_ROUNDS_AHEAD) return 'too_far_ahead'
  if ((state.perAuthor.get(parent)?.get(peer) ?? 0) >= MAX_PER_AUTHOR_AND_PARENT) return 'duplicate_author'
  const stray = !state.tree.byCid.has(parent)
  if (stray) {
    let strays = 0
    for (const [at, set] of state.byParent) if (!state.tree.byCid.has(at)) strays += set.size
    if (strays >= MAX_STRAY_CONTRIBUTIONS) return 'too_many_contributions'
  }
  if (state.contributions.size < MAX_OPEN_CONTRIBUTIONS) return null
  if (!knownAt(state.tree, head, peer)) return 'too_many_contributions'
  for (const other of state.contributions.values()) {
    if (other.contribution.peer !== state.self && !state.lacking.has(other.cid) && !knownAt(state.tree, head, other.contribution.peer)) {
      drop(state, other)
      return null
    }
  }
  return 'too_many_contributions'
}

export function remember(state: RoundsState, cid: string, contribution: Contribution): Open {
  const open: Open = {
    cid,
    contribution,
    held: false,
    heldAt: null,
    refused: null,
    seenAt: state.now,
    holders: new Set(),
    told: false,
    asked: false,
    retryAt: 0,
    failures: 0
  }
  state.contributions.set(cid, open)
  state.moves++
  const age = ageAfter(state.head, contribution)
  if (age !== null && state.placed !== null) place(state.placed, open, age)
  const perAuthor = state.perAuthor.get(contribution.parent) ?? new Map<string, number>()
  state.perAuthor.set(contribution.parent, perAuthor.set(contribution.peer, (perAuthor.get(contribution.peer) ?? 0) + 1))
  const siblings = state.byParent.get(contribution.parent)
  if (siblings === undefined) state.byParent.set(contribution.parent, new Set([cid]))
  else siblings.add(cid)
  if (contribution.peer === state.self) watch(state, cid, contribution)
  return open
}

/** Where there are too many, the oldest goes: old ones come again with a branch, and would push out the newest. */
function watch({ own }: RoundsState, cid: string, { round, parent }: Contribution): void {
  own.set(cid, { round, parent, told: null })
  if (own.size <= MAX_WATCHED) return
  let oldest = { cid, round }
  for (const [other, { round }] of own) if (round < oldest.round) oldest = { cid: other, round }
  own.delete(oldest.cid)
}

export function drop(state: RoundsState, open: Open): void {
  state.contributions.delete(open.cid)
  state.placed = null
  state.toFetch.delete(open.cid)
  const siblings = state.byParent.get(open.contribution.parent)
  siblings?.delete(open.cid)
  const { parent, peer } = open.contribution
  const perAuthor = state.perAuthor.get(parent)
  perAuthor?.set(peer, perAuthor.get(peer)! - 1)
  if (siblings?.size === 0) {
    state.byParent.delete(parent)
    state.perAuthor.delete(parent)
  }
}

function takeHeld(state: RoundsState, cid: string): void {
  const open = state.contributions.get(cid)
  if (open === undefined || open.held || open.refused !== null) return
  open.held = true
  state.newlyHeld.push(cid)
  open.heldAt = state.now
  open.asked = false
  state.toFetch.delete(cid)
}

/** Its body was whole here and is no more: it is no longer announced nor counted, and is fetched like any other. */
function takeLost(state: RoundsState, cid: string): void {
  const open = state.contributions.get(cid)
  if (open?.held !== true) return
  open.held = false
  open.heldAt = null
  open.told = false
  open.retryAt = state.now
  state.toFetch.add(cid)
}

function takeRefused(state: RoundsState, cid: string, reason: ReasonCode, out: RoundCommand[]): void {
  const open = state.contributions.get(cid)
  const peer = open?.contribution.peer
  if (REASONS[reason].content) {
    refuseForGood(state, cid, reason, out)
  } else if (open !== undefined) {
    open.asked = false
    open.failures++
    open.retryAt = state.now + retryDelay(state, open.failures)
  } else {
    // An envelope that nobody gave us: asked for again when somebody announces it after a while.
    const unknown = state.unknown.get(cid)
    if (unknown !== undefined) unknown.holders.clear()
  }
  const round = open?.contribution.round
  out.push({
    type: 'report',
    code: reason,
    subject: cid,
    ...(peer === undefined ? {} : { peer }),
    ...(round === undefined ? {} : { round })
  })
}

/** By content: whoever lists it in a record is wrong. */
function refuseForGood(state: RoundsState, cid: string, reason: ReasonCode, out: RoundCommand[]): void {
  state.refusals.set(cid, reason)
  state.toFetch.delete(cid)
  state.unknown.delete(cid)
  const open = state.contributions.get(cid)
  if (open !== undefined) {
    open.refused = reason
    open.asked = false
    open.held = false
    state.placed = null
    for (const record of state.tree.byCid.values()) {
      if (!record.ready && record.parts.some(part => part.cid === cid)) invalidate(state, record, 'bad_contribution', out)
    }
  }
  completeRecords(state, cid, out)
}

function retryDelay(state: RoundsState, failures: number): number {
  return Math.min(state.rules.fetchTimeoutMs, 250 * 2 ** Math.min(failures, 10))
}

function takeHolding(state: RoundsState, peer: string, contributions: readonly string[], out: RoundCommand[]): void {
  if (peer === state.self) return
  const count = Math.min(contributions.length, MAX_OPEN_CONTRIBUTIONS)
  for (let i = 0; i < count; i++) {
    const cid = contributions[i]!
    const open = state.contributions.get(cid)
    if (open !== undefined) addHolder(state, open, peer)
    else if (!state.refusals.has(cid) && !state.passedOver.has(cid)) askEnvelope(state, cid, [peer], out)
  }
}

function takeRecord(state: RoundsState, cid: string, record: RoundRecord, out: RoundCommand[]): void {
  const { tree } = state
  state.recordsAsked.delete(cid)
  state.headsChanged = true
  if (tree.byCid.has(cid) || state.orphans.has(cid)) return
  const refuse = (code: ReasonCode): void => {
    // Whoever has it as its head would have it asked for again at once.
    rememberAsked(state, cid)
    out.push({ type: 'report', code, subject: cid, peer: record.closer, round: record.round })
  }
  if (record.run !== state.rules.run) {
    refuse('wrong_run')
    return
  }
  if (!isAdmitted(state.rules, record.closer)) {
    refuse('not_admitted')
    return
  }
  const justClosed = record.closer === state.self && !isAskedFor(state, cid, record)
  let closedSince = state.now
  if (justClosed) {
    const { closing } = state
    // Nobody has seen it. If the mesh moved on while we computed, showing it would only make others go back; what is being closed since then has another list.
    if (closing?.parent !== record.parent || closing.list !== listed(record.contributions)) {
      refuse('superseded')
      return
    }
    closedSince = closing.since
    state.closing = null
  }
  if (record.round <= tree.root.round || (state.tooOld.has(record.parent) && !tree.byCid.has(record.parent))) {
    tooOld(state, cid, record, out)
    return
  }
  const parent = tree.byCid.get(record.parent)
  if (parent === undefined) {
    if (record.round === tree.root.round + 1) {
      tooOld(state, cid, record, out)
      return
    }
    if (state.orphans.size >= MAX_ORPHAN_RECORDS) state.orphans.delete(state.orphans.keys().next().value!)
    state.orphans.set(cid, record)
    askRecord(state, record.parent, [record.closer, ...peersAt(state, cid)], out)
    return
  }
  if (!isAskedFor(state, cid, record)) {
    const sameCloser = parent.children.filter(child => child.closer === record.closer)
    if (sameCloser.length >= MAX_RECORDS_PER_CLOSER) {
      refuse('too_many_records')
      return
    }
  }
  if (!makeRoom(state, parent, record)) {
    // Who filled it is not who closed this one: nobody is blamed.
    rememberAsked(state, cid)
    out.push({ type: 'report', code: 'too_many_records', subject: cid, round: record.round })
    return
  }
  const grown = [{ parent, cid, record }]
  for (let next = grown.pop(); next !== undefined; next = grown.pop()) {
    const entry = plant(tree, next.parent, next.cid, next.record, state.now)
    // Its anchor is on disk already; `recordComputed` follows.
    if (justClosed && next.cid === cid) {
      entry.asked = 'compute'
      entry.askedAt = closedSince
    }
    state.listedOffChain += next.record.contributions.length
    state.orphans.delete(next.cid)
    state.treeChanged = true
    examine(state, entry, out)
    for (const [orphan, waiting] of state.orphans)
      if (waiting.parent === entry.cid) grown.push({ parent: entry, cid: orphan, record: waiting })
  }
  const own = justClosed ? tree.byCid.get(cid)! : null
  // One that we would prefer ourselves is on its way: nobody needs ours.
  if (own !== null && ancestorAt(chooseReachable(state).target, own.round) !== own) {
    uproot(state, own)
    refuse('superseded')
  }
}

/**
 * Whether there is room for one more record off our chain. For a known author's there is: leaves on which no author stands go for it, strangers' before members', the newest first.
 * Otherwise strangers who fill the room once would keep all records out for good.
 */
function makeRoom(state: RoundsState, parent: TreeRecord, { closer, contributions }: RoundRecord): boolean {
  const { head, peers, target, tree } = state
  const fits = (): boolean =>
    tree.byCid.size - (head.round - tree.root.round) <= MAX_RECORDS_OFF_CHAIN &&
    state.listedOffChain + contributions.length <= MAX_LISTED_OFF_CHAIN
  if (fits()) return true
  const isKnown = (peer: string): boolean => knownAt(tree, head, peer)
  if (!isKnown(closer)) return false
  const stays = new Set([head.cid, target.cid, parent.cid])
  for (const [peer, live] of peers) if (isKnown(peer)) stays.add(live.head)
  for (const members of [false, true]) {
    for (const leaf of [...tree.byCid.values()].reverse()) {
      if (leaf.parent === null || leaf.children.length > 0 || leaf.ready || leaf.passed) continue
      if (stays.has(leaf.cid) || isKnown(leaf.closer) !== members) continue
      uproot(state, leaf)
      if (fits()) return true
    }
  }
  return false
}

/** A record that a live author has as its head, not only its closer, or that such a head's chain needs: not subject to the limits, so that all nodes come to see the same set. */
function isAskedFor(state: RoundsState, cid: string, { closer }: RoundRecord): boolean {
  for (const [peer, live] of state.peers) if (live.head === cid && peer !== closer && knownAt(state.tree, state.head, peer)) return true
  for (const record of state.orphans.values()) if (record.parent === cid) return true
  return false
}

function tooOld(state: RoundsState, cid: string, record: RoundRecord, out: RoundCommand[]): void {
  const gone = new Set([cid])
  for (const next of gone) {
    noteTooOld(state, next)
    for (const [orphan, waiting] of state.orphans) {
      if (waiting.parent !== next) continue
      state.orphans.delete(orphan)
      gone.add(orphan)
    }
  }
  // Only a head that rests on it is worth a word: each that an author has, and one of those that only strangers have, who could name any number.
  const known = (peer: string): boolean => knownAt(state.tree, state.head, peer)
  const heads = [...state.peers].filter(([, { head }]) => gone.has(head))
  const told = new Set<string>()
  for (const isKnown of [true, false]) {
    for (const [peer, { head }] of heads) {
      if (known(peer) !== isKnown || told.has(head)) continue
      told.add(head)
      out.push({ type: 'report', code: 'fork_too_old', subject: head, peer, round: record.round })
      if (!isKnown) break
    }
  }
}

function takeComputed(state: RoundsState, cid: string, anchor: string, out: RoundCommand[]): void {
  const entry = state.tree.byCid.get(cid)
  if (entry === undefined || entry.status !== 'valid' || entry.ready) return
  if (anchor !== entry.anchor) {
    invalidate(state, entry, 'anchor_mismatch', out)
    return
  }
  if (entry.asked === 'anchor') {
    const { cid: subject, round } = entry
    out.push({ type: 'report', code: 'joined_by_anchor', subject, round, detail: `records up to round ${round} rest on their signers` })
  }
  if (entry.asked === 'compute') {
    const ms = Math.min(state.now - entry.askedAt, state.rules.deadlineMs)
    state.computeMs += COMPUTE_SMOOTHING * (ms - state.computeMs)
  }
  markReady(entry)
  state.treeChanged = true
}

export function markReady(entry: TreeRecord): void {
  entry.ready = true
  entry.leftOut = false
  entry.asked = 'nothing'
  for (let at = entry.parent; at !== null && !at.ready && !at.passed; at = at.parent) at.passed = true
}

function takeUnavailable(state: RoundsState, cid: string, missing: readonly string[], out: RoundCommand[]): void {
  for (const part of missing) takeLost(state, part)
  const entry = state.tree.byCid.get(cid)
  if (entry === undefined || entry.ready) {
    if (entry !== undefined) return
    rememberAsked(state, cid)
    // Nobody could look at its branch: it is asked for again as any head, after a fetch's time.
    if (state.tooOld.delete(cid)) state.headsChanged = true
    return
  }
  const byAnchor = entry.asked === 'anchor'
  // With a body gone, nothing was computed that could have failed: its anchor need not be somebody else's.
  if (entry.asked === 'compute' && missing.length === 0) entry.computeFailures++
  entry.asked = 'nothing'
  entry.retryAt = state.now + state.rules.fetchTimeoutMs
  // A later one was asked for in the meantime.
  if (byAnchor && pathToReady(state.target).some(record => record.asked === 'anchor')) return
  // Without this anchor there is no way to anything on the way to it either: older ones are even harder to have.
  const blocked = byAnchor ? (pathToReady(entry)[0] ?? entry) : entry
  blocked.retryAt = entry.retryAt
  leaveOut(state, blocked, out)
}

export function examine(state: RoundsState, entry: TreeRecord, out: RoundCommand[]): void {
  const parent = entry.parent!
  if (parent.status === 'invalid') {
    invalidate(state, entry, 'bad_parent', out)
    return
  }
  state.incomplete.add(entry)
  // Ages and ranks need the parent's own parts: it is looked at again when those are known. What it lacks can be asked for all the same.
  if (parent.status === 'incomplete') {
    lack(state, entry, entry.record!.contributions, out)
    return
  }
  const check = checkRecord(state.rules, parent, entry.record!, lookUpIn(state))
  if ('reason' in check) {
    invalidate(state, entry, check.reason, out)
    return
  }
  if ('missing' in check) {
    lack(state, entry, check.missing, out)
    return
  }
  entry.status = 'valid'
  entry.parts = check.parts
  const authors = [...new Set(check.parts.map(part => part.peer))]
  entry.recent = [authors, ...parent.recent].slice(0, state.rules.recentRounds ?? RECENT_ROUNDS)
  state.treeChanged = true
  for (const child of entry.children) examine(state, child, out)
}

function lack(state: RoundsState, entry: TreeRecord, contributions: readonly string[], out: RoundCommand[]): void {
  state.headsChanged = true
  const holders = [entry.closer, ...peersAt(state, entry.cid)]
  for (const cid of contributions) {
    if (state.contributions.has(cid) || state.refusals.has(cid)) continue
    const waiting = state.lacking.get(cid)
    if (waiting === undefined) state.lacking.set(cid, new Set([entry.cid]))
    else waiting.add(entry.cid)
    askEnvelope(state, cid, holders, out)
  }
}

function lookUpIn(state: RoundsState): LookUp {
  return cid => {
    const refused = state.refusals.get(cid)
    if (refused !== undefined) return { refused }
    const open = state.contributions.get(cid)
    return open === undefined ? undefined : { contribution: open.contribution }
  }
}

function completeRecords(state: RoundsState, cid: string, out: RoundCommand[]): void {
  const waiting = state.lacking.get(cid)
  if (waiting === undefined) return
  state.lacking.delete(cid)
  for (const record of waiting) {
    const entry = state.tree.byCid.get(record)
    if (entry?.status === 'incomplete') examine(state, entry, out)
  }
}

function invalidate(state: RoundsState, entry: TreeRecord, reason: ReasonCode, out: RoundCommand[]): void {
  for (const record of subtree(entry)) {
    if (record.status === 'invalid') continue
    record.status = 'invalid'
    record.invalidReason = record === entry ? reason : 'bad_parent'
    record.ready = false
    const { cid, closer, round } = record
    out.push({ type: 'report', code: record.invalidReason, subject: cid, peer: closer, round })
  }
  state.treeChanged = true
}
