// How a node gets to the record that should be its head: envelopes, bodies, anchors, and what is left out until it can be had.

import { ancestorAt, pathToReady, subtree, type TreeRecord } from './chain/record-tree.ts'
import {
  COMPUTE_TRIES,
  FETCH_AHEAD_RECORDS,
  GIVE_UP_FETCHES,
  KEEP_ROUNDS,
  MAX_HOLDERS,
  MAX_RECORDS_ASKED,
  MAX_UNKNOWN_CONTRIBUTIONS,
  RECOMPUTE_ROUNDS
} from './constants.ts'
import type { RoundCommand } from './events.ts'
import { chooseTarget } from './following.ts'
import { addHolder, isMissingParts, liveHolders, missingParts, needsEnvelopes, peersAt, type RoundsState, uproot, wakeAt } from './state.ts'

/** Does what is needed next to make the target the head: fetch, compute, or take over an anchor when we are far behind. */
export function pursue(state: RoundsState, target: TreeRecord, out: RoundCommand[]): void {
  const { now, rules } = state
  const path = pathToReady(target)
  if (path.length === 0 || isStillLearning(state)) return
  const busy = path.findLast(record => record.asked === 'anchor')
  if (path.length > recomputed(state) + 1 || path[0]!.computeFailures >= COMPUTE_TRIES) {
    // The anchors and bodies of long ago are nowhere any more; or our own copy of the parent's anchor is gone.
    // While heads are being asked for, the tip is not known yet, and one on the way to it would soon be behind again.
    if (state.sync !== null) return
    const jump = path[Math.max(0, path.length - 1 - recomputed(state))]!
    if (busy !== undefined && jump.round <= busy.round + recomputed(state)) return
    if (jump.retryAt > now) {
      wakeAt(state, jump.retryAt)
      return
    }
    jump.asked = 'anchor'
    out.push({ type: 'fetchAnchor', cid: jump.cid, round: jump.round, anchor: jump.anchor, holders: holdersOfRecord(state, jump) })
    return
  }
  if (busy !== undefined) return
  const next = path[0]!
  next.wantedSince ??= now
  for (const record of path.slice(0, FETCH_AHEAD_RECORDS)) wantParts(state, record, out)
  if (next.asked === 'compute') return
  if (isMissingParts(state, next)) {
    const until = next.wantedSince + rules.fetchTimeoutMs
    if (now >= until) leaveOut(state, next, out)
    else wakeAt(state, until)
    return
  }
  if (next.retryAt > now) {
    wakeAt(state, next.retryAt)
    return
  }
  next.asked = 'compute'
  next.askedAt = now
  const { cid, parts: contributions, parent } = next
  out.push({ type: 'compute', cid, record: next.record!, parentAnchor: parent!.anchor, contributions })
}

export function leaveOut(state: RoundsState, entry: TreeRecord, out: RoundCommand[]): void {
  if (entry.leftOut) return
  entry.leftOut = true
  state.leftOut.add(entry)
  state.treeChanged = true
  out.push({ type: 'report', code: 'record_unavailable', subject: entry.cid, peer: entry.closer, round: entry.round })
}

/** Records that were left out come back into the choice when their parts are there, when their anchor may be had after all, or when so much has grown on them that their parts are not needed. */
export function retryLeftOut(state: RoundsState, out: RoundCommand[]): void {
  for (const record of state.leftOut) {
    if (!record.leftOut || record.ready || record.status !== 'valid' || state.tree.byCid.get(record.cid) !== record) {
      state.leftOut.delete(record)
      continue
    }
    const missing = missingParts(state, record)
    if (record.retryAt > state.now) {
      wakeAt(state, record.retryAt)
      // Its parts were never all here: the moment they are is the moment to try.
      if (missing.length > 0 || record.computeFailures > 0) {
        for (const { cid } of missing) if (state.contributions.get(cid)?.refused === null) state.toFetch.add(cid)
        continue
      }
    }
    const byAnchor =
      record.computeFailures >= COMPUTE_TRIES || isBuried(record, recomputed(state)) || pathToReady(record).length > recomputed(state) + 1
    if (missing.length > 0 && !byAnchor) {
      wantParts(state, record, out)
      record.retryAt = state.now + state.rules.fetchTimeoutMs
      wakeAt(state, record.retryAt)
      continue
    }
    record.leftOut = false
    record.retryAt = state.now
    record.wantedSince = null
    state.treeChanged = true
  }
  if (state.treeChanged) settleAgain(state, out)
}

/** A long chain is coming in, record by record: what is on the way now is of long ago. Until nothing was added to it for a grace. */
function isStillLearning(state: RoundsState): boolean {
  const { now, rules, target, targetGrewAt } = state
  if (now >= targetGrewAt + rules.graceMs) return false
  const far = target.round + recomputed(state)
  for (const record of state.incomplete) {
    if (record.round <= far || record.status !== 'incomplete' || ancestorAt(record, target.round) !== target) continue
    wakeAt(state, targetGrewAt + rules.graceMs)
    return true
  }
  return false
}

/** Records that a node which is far behind computes itself: their anchors and bodies must still be kept by others. */
function recomputed(state: RoundsState): number {
  return Math.max(0, Math.min(RECOMPUTE_ROUNDS, (state.rules.keepRounds ?? KEEP_ROUNDS) - 1))
}

/** So far below some tip that a node on its way there takes a later anchor. */
function isBuried(record: TreeRecord, depth: number): boolean {
  for (const { round, status } of subtree(record)) if (status === 'valid' && round > record.round + depth) return true
  return false
}

function settleAgain(state: RoundsState, out: RoundCommand[]): void {
  while (state.treeChanged) {
    state.treeChanged = false
    chooseTarget(state, out)
    pursue(state, state.target, out)
  }
}

/** Again after each event, but to any effect only when holders or contributions came or went. */
function wantParts(state: RoundsState, record: TreeRecord, out: RoundCommand[]): void {
  const known = state.moves + state.tree.changes
  if (record.wantedFrom === known) return
  const missing = missingParts(state, record)
  if (missing.length === 0) return
  const holders = holdersOfRecord(state, record)
  for (const { cid } of missing) wantBody(state, cid, record, holders, out)
  record.wantedFrom = missing.some(({ cid }) => !state.contributions.has(cid)) ? null : known
}

function wantBody(state: RoundsState, cid: string, record: TreeRecord, holders: readonly string[], out: RoundCommand[]): void {
  const open = state.contributions.get(cid)
  if (open === undefined) {
    // Forgotten in the meantime: the envelope comes first, and is let in however old it is; then this is asked again.
    const waiting = state.lacking.get(cid)
    if (waiting === undefined) state.lacking.set(cid, new Set([record.cid]))
    else waiting.add(record.cid)
    state.headsChanged = true
    askEnvelope(state, cid, holders, out)
    return
  }
  for (const holder of holders) if (state.peers.has(holder)) addHolder(state, open, holder)
  if (!open.held && open.refused === null) state.toFetch.add(cid)
}

/** Peers that have it as their head first, then its closer, then whoever is further on. */
function holdersOfRecord(state: RoundsState, record: TreeRecord): string[] {
  const beyond: string[] = []
  for (const [peer, live] of state.peers) {
    const head = state.tree.byCid.get(live.head)
    if (head !== undefined && head !== record && ancestorAt(head, record.round) === record) beyond.push(peer)
  }
  return [...new Set([...peersAt(state, record.cid), ...(record.closer === state.self ? [] : [record.closer]), ...beyond])].slice(
    0,
    MAX_HOLDERS
  )
}

export function askEnvelope(state: RoundsState, cid: string, holders: readonly string[], out: RoundCommand[]): void {
  let unknown = state.unknown.get(cid)
  if (unknown === undefined) {
    if (state.unknown.size >= MAX_UNKNOWN_CONTRIBUTIONS) {
      // Records come first: for them the oldest mere rumour is forgotten. The rest is asked for when these are answered.
      const oldest = state.unknown.keys().next().value!
      if (!state.lacking.has(cid) || state.lacking.has(oldest)) return
      state.unknown.delete(oldest)
    }
    unknown = { holders: new Set(), askedAt: null }
    state.unknown.set(cid, unknown)
  }
  for (const holder of holders) if (unknown.holders.size < MAX_HOLDERS && holder !== state.self) unknown.holders.add(holder)
  if (unknown.askedAt !== null && state.now - unknown.askedAt < state.rules.fetchTimeoutMs) return
  unknown.askedAt = state.now
  out.push({ type: 'fetchContribution', cid, author: null, holders: [...unknown.holders], body: false })
}

/** Not asked for again before a fetch's time is over. A peer may name as many heads as it likes: the oldest are forgotten. */
export function rememberAsked(state: RoundsState, cid: string): void {
  const { recordsAsked } = state
  recordsAsked.delete(cid)
  recordsAsked.set(cid, state.now)
  if (recordsAsked.size > MAX_RECORDS_ASKED) recordsAsked.delete(recordsAsked.keys().next().value!)
}

export function askRecord(state: RoundsState, cid: string, holders: readonly string[], out: RoundCommand[]): void {
  const { now } = state
  const { fetchTimeoutMs } = state.rules
  const askedAt = state.recordsAsked.get(cid)
  const asksNow = askedAt === undefined || now - askedAt >= fetchTimeoutMs
  state.headsAt = Math.min(state.headsAt, (asksNow ? now : askedAt) + fetchTimeoutMs)
  if (!asksNow) return
  rememberAsked(state, cid)
  out.push({ type: 'fetchRecord', cid, holders: [...new Set(holders)].filter(peer => peer !== state.self) })
}

/** Heads of live peers that we do not know, and parents that orphans lack. */
export function askHeads(state: RoundsState, out: RoundCommand[]): void {
  if (!state.headsChanged && state.now < state.headsAt) {
    wakeAt(state, state.headsAt)
    return
  }
  state.headsChanged = false
  state.headsAt = Number.POSITIVE_INFINITY
  const unknown = new Set<string>()
  if (state.headsKnownAt !== state.tree.changes) {
    state.headsKnownAt = state.tree.changes
    for (const { head } of state.peers.values()) {
      if (state.tree.byCid.has(head)) continue
      state.headsKnownAt = null
      if (!state.tooOld.has(head) && !state.orphans.has(head)) unknown.add(head)
    }
  }
  for (const { parent } of state.orphans.values()) if (!state.orphans.has(parent) && !state.tree.byCid.has(parent)) unknown.add(parent)
  for (const cid of unknown) askRecord(state, cid, peersAt(state, cid), out)
  for (const record of state.incomplete) {
    if (record.status !== 'incomplete' || state.tree.byCid.get(record.cid) !== record) state.incomplete.delete(record)
    else if (state.now - record.seenAt > GIVE_UP_FETCHES * state.rules.fetchTimeoutMs && peersAt(state, record.cid).length === 0) {
      // If it is part of something after all, its descendants will have it fetched again.
      uproot(state, record)
      state.incomplete.delete(record)
      out.push({ type: 'report', code: 'record_unavailable', subject: record.cid, peer: record.closer, round: record.round })
    }
  }
  for (const [cid, waiting] of state.lacking) {
    for (const record of waiting) if (!needsEnvelopes(state, record)) waiting.delete(record)
    if (waiting.size === 0) {
      state.lacking.delete(cid)
      state.unknown.delete(cid)
      continue
    }
    askEnvelope(state, cid, [], out)
    state.headsAt = Math.min(state.headsAt, state.now + state.rules.fetchTimeoutMs)
  }
  wakeAt(state, state.headsAt)
}

export function fetchBodies(state: RoundsState, out: RoundCommand[]): void {
  if (state.toFetch.size === 0 || isStillLearning(state)) return
  const { head, target } = state
  // Far behind, an anchor is taken over: what went into those before it is kept nowhere, and asking for it would only keep others from answering.
  const from = target.round - head.round > recomputed(state) + 1 ? target.round - recomputed(state) : 0
  for (const cid of state.toFetch) {
    const open = state.contributions.get(cid)!
    // It is not forgotten: the way ahead may turn out to be none.
    if (open.contribution.round < from) continue
    if (open.asked && open.retryAt > state.now) continue
    if (open.retryAt > state.now) {
      wakeAt(state, open.retryAt)
      continue
    }
    open.asked = true
    // Longer than any answer takes: only an answer that got lost is asked for twice.
    open.retryAt = state.now + 4 * state.rules.fetchTimeoutMs
    out.push({ type: 'fetchContribution', cid, author: open.contribution.peer, holders: liveHolders(state, open), body: true })
  }
}
