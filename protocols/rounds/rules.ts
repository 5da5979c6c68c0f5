// The rules of rounds as one transition: (state, event, now) -> state and commands. The state belongs to the rules and is changed in place.
// After every event the same few questions are asked again: which record is the head; which should it be, and what is missing for that; may we close; what do others need to hear.
import { chooseHead } from './choice.ts'
import { type Candidate, closingOrder, distinctAuthors, holdersNeeded, listFor, turnsBefore } from './closing.ts'
import {
  BRANCH_KEEP_ROUNDS,
  COMPUTE_TRIES,
  FATE_ROUNDS,
  FETCH_AHEAD_RECORDS,
  FORK_WINDOW_ROUNDS,
  MAX_HOLDERS,
  MAX_OPEN_CONTRIBUTIONS,
  MAX_ORPHAN_RECORDS,
  MAX_PEERS,
  MAX_PER_AUTHOR_AND_PARENT,
  MAX_RECORDS_OFF_CHAIN,
  MAX_RECORDS_PER_CLOSER,
  MAX_REMEMBERED_REFUSALS,
  MAX_ROUNDS_AHEAD,
  MAX_STRAY_CONTRIBUTIONS,
  MAX_UNKNOWN_CONTRIBUTIONS,
  RECENT_ROUNDS,
  RECOMPUTE_ROUNDS
} from './constants.ts'
import type { Fate, Part, RoundCommand, RoundEvent, RunRules } from './events.ts'
import { fateOf } from './fates.ts'
import type { Contribution, RoundRecord } from './messages.ts'
import { REASONS, type ReasonCode } from './reasons.ts'
import {
  ancestorAt,
  commonAncestor,
  fell,
  genesisTree,
  knownAt,
  pathToReady,
  plant,
  prune,
  type RecordTree,
  recentAuthors,
  subtree,
  type TreeRecord
} from './record-tree.ts'
import { ageAfter, checkContribution, checkRecord, isAdmitted, type LookUp, partOf } from './validity.ts'

/** What a node has on disk when it starts. */
export interface RoundsStart {
  /** Monotonic ms. */
  now: number
  /** Whether this node trains. Default true; later told by `peerLive` with our own peer. */
  trains?: boolean
  /** Every record kept, parents before children. `ready`: its anchor was computed or taken over here once. An own record that was never published nor adopted is better left out. */
  records?: { cid: string; record: RoundRecord; ready: boolean }[]
  /** The contributions that those records list, and the open ones. `held`: the body is whole and was checked. */
  contributions?: { cid: string; contribution: Contribution; held: boolean }[]
}

interface Open {
  cid: string
  contribution: Contribution
  held: boolean
  /** ms; not known for what was held before a restart, so that it never makes a rival. */
  heldAt: number | null
  refused: ReasonCode | null
  seenAt: number
  holders: Set<string>
  asked: boolean
  retryAt: number
  failures: number
}

interface Unknown {
  holders: Set<string>
  askedAt: number | null
}

interface Live {
  head: string
  round: number
  trains: boolean
  /** The unknown head that this peer claims, and since when: it may hold up our closing once a round. */
  claim: { head: string; since: number; atRound: number } | null
}

/** Opaque: read it with `viewOf`. */
export interface RoundsState {
  rules: RunRules
  self: string | null
  now: number
  trains: boolean
  tree: RecordTree
  head: TreeRecord
  /** ms; the open round's deadline runs from here. */
  adoptedAt: number
  treeChanged: boolean
  target: TreeRecord
  orphans: Map<string, RoundRecord>
  /** Heads and ancestors of branches that parted before our root. */
  tooOld: Set<string>
  /** Records asked for, and when. */
  recordsAsked: Map<string, number>
  contributions: Map<string, Open>
  byParent: Map<string, Set<string>>
  unknown: Map<string, Unknown>
  refusals: Map<string, ReasonCode>
  /** Envelopes that records in the tree lack: contribution -> records. */
  lacking: Map<string, Set<string>>
  toFetch: Set<string>
  peers: Map<string, Live>
  silent: Set<string>
  silenceChecked: boolean
  own: Map<string, { round: number; parent: string; told: Fate | null }>
  sync: { since: number; asked: boolean } | null
  closing: { parent: string; rival: string | null } | null
  closeRetryAt: number
  /** ms; when the open round could first be closed by somebody. */
  closableSince: number | null
  announced: string
  waitingReported: boolean
  /** Something happened since the questions were last asked. Otherwise they are asked again at `nextAt`: most of what arrives is a repetition. */
  changed: boolean
  nextAt: number
}

export interface RoundsView {
  /** CID of the newest adopted record; the run id before round 1. */
  head: string
  /** Its round. */
  round: number
  anchor: string
  /** The round that contributions are made for now. */
  openRound: number
  adoptedAt: number
  deadlineAt: number
  openContributions: { cid: string; peer: string; age: 0 | 1; held: boolean; holders: string[] }[]
  /** The order in which nodes may close the open round. */
  ranks: string[]
  /** 'waiting for 1 more', or null. */
  waitingFor: string | null
  /** True while heads are being asked for. */
  syncing: boolean
  /** The record that is being fetched or computed to become the head, if there is one. */
  moving: { cid: string; round: number } | null
  /** What became of our own contributions of the last rounds; null while open. */
  own: { cid: string; round: number; fate: Fate | null }[]
  /** Monotonic ms at which a `tick` will have something to do, if nothing comes before. */
  nextAt: number
}

/**
 * The state of a node that starts, from what it has on disk. It asks for heads first (`syncHeads` with the first event) and closes nothing before it is told `synced`.
 *
 * @param self our peer id; null for a node that only looks on
 */
export function createRounds(rules: RunRules, self: string | null, start: RoundsStart): RoundsState {
  const tree = genesisTree(rules.run, rules.genesisAnchor, rules.genesisPeers)
  const state: RoundsState = {
    rules,
    self,
    now: start.now,
    trains: self !== null && (start.trains ?? true),
    tree,
    head: tree.root,
    adoptedAt: start.now,
    treeChanged: true,
    target: tree.root,
    orphans: new Map(),
    tooOld: new Set(),
    recordsAsked: new Map(),
    contributions: new Map(),
    byParent: new Map(),
    unknown: new Map(),
    refusals: new Map(),
    lacking: new Map(),
    toFetch: new Set(),
    peers: new Map(),
    silent: new Set(),
    silenceChecked: false,
    own: new Map(),
    sync: { since: start.now, asked: false },
    closing: null,
    closeRetryAt: 0,
    closableSince: null,
    announced: '',
    waitingReported: false,
    changed: true,
    nextAt: start.now
  }
  for (const { cid, contribution, held } of start.contributions ?? []) {
    if (checkContribution(rules, contribution) !== null) continue
    const open = remember(state, cid, contribution)
    open.held = held
  }
  for (const { cid, record, ready } of start.records ?? []) {
    const parent = tree.byCid.get(record.parent)
    if (parent === undefined || tree.byCid.has(cid) || parent.status !== 'valid') continue
    const entry = plant(tree, parent, cid, record, start.now)
    examine(state, entry, [])
    if (entry.status !== 'valid') fell(tree, entry)
    else if (ready) markReady(entry)
    entry.published = true
  }
  state.lacking.clear()
  state.head = chooseHead(tree, rules.run, hasAnchor)
  state.target = state.head
  forget(state)
  for (const [, own] of state.own) own.told = null
  return state
}

/** Takes one event at monotonic time `now` (ms). Pure but for the state, which it changes and returns. */
export function advance(state: RoundsState, event: RoundEvent, now: number): { state: RoundsState; commands: RoundCommand[] } {
  const out: RoundCommand[] = []
  state.now = Math.max(state.now, now)
  take(state, event, out)
  if (state.changed || state.now >= state.nextAt) {
    state.changed = false
    state.nextAt = Number.POSITIVE_INFINITY
    settle(state, out)
  }
  return { state, commands: out }
}

export function viewOf(state: RoundsState): RoundsView {
  const { head, rules } = state
  return {
    head: head.cid,
    round: head.round,
    anchor: head.anchor,
    openRound: head.round + 1,
    adoptedAt: state.adoptedAt,
    deadlineAt: state.adoptedAt + rules.deadlineMs,
    openContributions: candidates(state).map(({ open, age }) => ({
      cid: open.cid,
      peer: open.contribution.peer,
      age,
      held: open.held,
      holders: liveHolders(state, open)
    })),
    ranks: orderOf(state),
    waitingFor: waitingFor(state),
    syncing: state.sync !== null,
    moving: state.target === head ? null : { cid: state.target.cid, round: state.target.round },
    own: [...state.own].map(([cid, { round, parent }]) => ({ cid, round, fate: fateOf(head, { cid, round, parent }) })),
    nextAt: state.nextAt
  }
}

// ---- events

function take(state: RoundsState, event: RoundEvent, out: RoundCommand[]): void {
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
      return
    case 'synced':
      state.sync = null
      return
    case 'peerGone':
      state.peers.delete(event.peer)
      state.silent.delete(event.peer)
      for (const open of state.contributions.values()) open.holders.delete(event.peer)
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
      takeUnavailable(state, event.cid, out)
      return
    case 'closeFailed':
      state.closing = null
      state.closeRetryAt = state.now + Math.max(state.rules.graceMs, 1)
      out.push({ type: 'report', code: event.reason, subject: state.rules.run, round: event.round, detail: 'close' })
      return
    default:
      event satisfies never
  }
}

function takePeerLive(state: RoundsState, event: Extract<RoundEvent, { type: 'peerLive' }>): void {
  const { peer, head, round, trains } = event
  if (peer === state.self) {
    state.changed ||= state.trains !== trains
    state.trains = trains
    return
  }
  const before = state.peers.get(peer)
  if (before?.head === head && before.round === round && before.trains === trains) return
  if (before === undefined && state.peers.size >= MAX_PEERS) return
  state.changed = true
  const live = before ?? { head, round, trains, claim: null }
  if (before === undefined) state.peers.set(peer, live)
  Object.assign(live, { head, round, trains })
  if (state.tree.byCid.has(head)) live.claim = null
  // One claim a round: a peer that names ever new heads holds nobody up for longer than one fetch.
  else if (live.claim === null || live.claim.atRound !== state.head.round)
    live.claim = { head, since: state.now, atRound: state.head.round }
  else live.claim.head = head
}

function takeContribution(state: RoundsState, cid: string, contribution: Contribution, out: RoundCommand[]): void {
  if (state.contributions.has(cid)) return
  const { peer, round } = contribution
  const refuse = (code: ReasonCode): void => {
    if (REASONS[code].content) refuseForGood(state, cid, code, out)
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
      refuse(place)
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
  if (!open.held && ageNow(state, contribution) !== null) state.toFetch.add(cid)
}

/** Why a contribution that no record needs is not kept, or null. Strangers make room for authors accepted before. */
function placeFor(state: RoundsState, contribution: Contribution): ReasonCode | null {
  const { head } = state
  const { peer, parent, round } = contribution
  if (round < head.round) return 'stale_round'
  if (round > head.round + 1 + MAX_ROUNDS_AHEAD) return 'too_far_ahead'
  const siblings = state.byParent.get(parent)
  let ofAuthor = 0
  for (const cid of siblings ?? []) if (state.contributions.get(cid)!.contribution.peer === peer) ofAuthor++
  if (ofAuthor >= MAX_PER_AUTHOR_AND_PARENT) return 'duplicate_author'
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

function remember(state: RoundsState, cid: string, contribution: Contribution): Open {
  const open: Open = {
    cid,
    contribution,
    held: false,
    heldAt: null,
    refused: null,
    seenAt: state.now,
    holders: new Set(),
    asked: false,
    retryAt: 0,
    failures: 0
  }
  state.contributions.set(cid, open)
  const siblings = state.byParent.get(contribution.parent)
  if (siblings === undefined) state.byParent.set(contribution.parent, new Set([cid]))
  else siblings.add(cid)
  if (contribution.peer === state.self) state.own.set(cid, { round: contribution.round, parent: contribution.parent, told: null })
  return open
}

function drop(state: RoundsState, open: Open): void {
  state.contributions.delete(open.cid)
  state.toFetch.delete(open.cid)
  const siblings = state.byParent.get(open.contribution.parent)
  siblings?.delete(open.cid)
  if (siblings?.size === 0) state.byParent.delete(open.contribution.parent)
}

function takeHeld(state: RoundsState, cid: string): void {
  const open = state.contributions.get(cid)
  if (open === undefined || open.held || open.refused !== null) return
  open.held = true
  open.heldAt = state.now
  open.asked = false
  state.toFetch.delete(cid)
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
  if (state.refusals.size > MAX_REMEMBERED_REFUSALS) state.refusals.delete(state.refusals.keys().next().value!)
  state.toFetch.delete(cid)
  state.unknown.delete(cid)
  const open = state.contributions.get(cid)
  if (open !== undefined) {
    open.refused = reason
    open.asked = false
    open.held = false
    for (const record of state.tree.byCid.values()) {
      if (!record.ready && record.parts.some(part => part.cid === cid)) invalidate(state, record, 'bad_contribution', out)
    }
  }
  completeRecords(state, cid, out)
}

function takeHolding(state: RoundsState, peer: string, contributions: readonly string[], out: RoundCommand[]): void {
  if (peer === state.self) return
  for (const cid of contributions.slice(0, MAX_OPEN_CONTRIBUTIONS)) {
    const open = state.contributions.get(cid)
    if (open !== undefined) addHolder(state, open, peer)
    else if (!state.refusals.has(cid)) askEnvelope(state, cid, [peer], out)
  }
}

function addHolder(state: RoundsState, open: Open, peer: string): void {
  if (open.holders.size >= MAX_HOLDERS || open.holders.has(peer)) return
  open.holders.add(peer)
  state.changed = true
  // Somebody new has it: no need to wait out the delay after a failure.
  if (!open.held && !open.asked && open.failures > 0) open.retryAt = Math.min(open.retryAt, state.now)
}

function askEnvelope(state: RoundsState, cid: string, holders: readonly string[], out: RoundCommand[]): void {
  let unknown = state.unknown.get(cid)
  if (unknown === undefined) {
    if (state.unknown.size >= MAX_UNKNOWN_CONTRIBUTIONS) {
      // Records come first: for them the oldest mere rumour is forgotten.
      if (!state.lacking.has(cid)) return
      state.unknown.delete(state.unknown.keys().next().value!)
    }
    unknown = { holders: new Set(), askedAt: null }
    state.unknown.set(cid, unknown)
  }
  for (const holder of holders) if (unknown.holders.size < MAX_HOLDERS && holder !== state.self) unknown.holders.add(holder)
  if (unknown.askedAt !== null && state.now - unknown.askedAt < state.rules.fetchTimeoutMs) return
  unknown.askedAt = state.now
  out.push({ type: 'fetchContribution', cid, author: null, holders: [...unknown.holders], body: false })
}

function takeRecord(state: RoundsState, cid: string, record: RoundRecord, out: RoundCommand[]): void {
  const { tree } = state
  state.recordsAsked.delete(cid)
  if (tree.byCid.has(cid) || state.orphans.has(cid)) return
  const refuse = (code: ReasonCode): void => {
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
  const justClosed = record.closer === state.self && !isAskedFor(state, cid)
  if (justClosed) {
    const current = state.closing?.parent === record.parent ? state.closing : null
    // Nobody has seen it. If the mesh moved on while we computed, showing it would only make others go back.
    if (current === null || state.head.cid !== (current.rival ?? record.parent)) {
      refuse('superseded')
      return
    }
    state.closing = null
  }
  if (record.round <= tree.root.round) {
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
  if (!isAskedFor(state, cid)) {
    const sameCloser = parent.children.filter(child => child.closer === record.closer)
    if (sameCloser.length >= MAX_RECORDS_PER_CLOSER) {
      refuse('too_many_records')
      return
    }
    if (tree.byCid.size - (state.head.round - tree.root.round) > MAX_RECORDS_OFF_CHAIN) {
      refuse('too_many_records')
      return
    }
  }
  const grown = [{ parent, cid, record }]
  for (let next = grown.pop(); next !== undefined; next = grown.pop()) {
    const entry = plant(tree, next.parent, next.cid, next.record, state.now)
    // Its anchor is on disk already; `recordComputed` follows.
    if (justClosed && next.cid === cid) entry.asked = 'compute'
    state.orphans.delete(next.cid)
    state.treeChanged = true
    examine(state, entry, out)
    for (const [orphan, waiting] of state.orphans)
      if (waiting.parent === entry.cid) grown.push({ parent: entry, cid: orphan, record: waiting })
  }
}

/** A record that a live peer has as its head, or that such a head's chain needs: not subject to the limits, so that all nodes come to see the same set. */
function isAskedFor(state: RoundsState, cid: string): boolean {
  for (const live of state.peers.values()) if (live.head === cid) return true
  for (const record of state.orphans.values()) if (record.parent === cid) return true
  return false
}

function tooOld(state: RoundsState, cid: string, record: RoundRecord, out: RoundCommand[]): void {
  const gone = [cid]
  for (let next = gone.pop(); next !== undefined; next = gone.pop()) {
    state.tooOld.add(next)
    if (state.tooOld.size > MAX_ORPHAN_RECORDS) state.tooOld.delete(state.tooOld.keys().next().value!)
    for (const [orphan, waiting] of state.orphans) {
      if (waiting.parent !== next) continue
      state.orphans.delete(orphan)
      gone.push(orphan)
    }
  }
  // An old record of our own chain comes here too, harmlessly; only a peer whose head rests on it is worth a word.
  for (const [peer, live] of state.peers) {
    if (!state.tooOld.has(live.head)) continue
    out.push({ type: 'report', code: 'fork_too_old', subject: live.head, peer, round: record.round })
    return
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
  markReady(entry)
  state.treeChanged = true
}

function markReady(entry: TreeRecord): void {
  entry.ready = true
  entry.leftOut = false
  entry.asked = 'nothing'
  for (let at = entry.parent; at !== null && !at.ready && !at.passed; at = at.parent) at.passed = true
}

function takeUnavailable(state: RoundsState, cid: string, out: RoundCommand[]): void {
  const entry = state.tree.byCid.get(cid)
  if (entry === undefined || entry.ready) {
    if (entry === undefined) state.recordsAsked.set(cid, state.now)
    return
  }
  if (entry.asked === 'compute') entry.computeFailures++
  entry.asked = 'nothing'
  entry.retryAt = state.now + state.rules.fetchTimeoutMs
  leaveOut(state, entry, out)
}

function leaveOut(state: RoundsState, entry: TreeRecord, out: RoundCommand[]): void {
  if (entry.leftOut) return
  entry.leftOut = true
  state.treeChanged = true
  out.push({ type: 'report', code: 'record_unavailable', subject: entry.cid, peer: entry.closer, round: entry.round })
}

// ---- records becoming valid or invalid

function examine(state: RoundsState, entry: TreeRecord, out: RoundCommand[]): void {
  const parent = entry.parent!
  if (parent.status === 'invalid') {
    invalidate(state, entry, 'bad_parent', out)
    return
  }
  // Ages and ranks need the parent's own parts: it is looked at again when those are known.
  if (parent.status === 'incomplete') return
  const check = checkRecord(state.rules, parent, entry.record!, lookUpIn(state))
  if ('reason' in check) {
    invalidate(state, entry, check.reason, out)
    return
  }
  if ('missing' in check) {
    for (const cid of check.missing) {
      const waiting = state.lacking.get(cid)
      if (waiting === undefined) state.lacking.set(cid, new Set([entry.cid]))
      else waiting.add(entry.cid)
      askEnvelope(state, cid, [entry.closer, ...peersAt(state, entry.cid)], out)
    }
    return
  }
  entry.status = 'valid'
  entry.parts = check.parts
  const authors = [...new Set(check.parts.map(part => part.peer))]
  entry.recent = [authors, ...parent.recent].slice(0, state.rules.recentRounds ?? RECENT_ROUNDS)
  state.treeChanged = true
  for (const child of entry.children) examine(state, child, out)
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

// ---- what follows from it all

function settle(state: RoundsState, out: RoundCommand[]): void {
  if (state.sync !== null) syncing(state, out)
  // Every turn leaves out or adopts a record that it did not before, so this ends.
  do {
    if (state.treeChanged) {
      state.treeChanged = false
      const head = chooseHead(state.tree, state.rules.run, hasAnchor)
      if (head !== state.head) adopt(state, head, out)
      state.target = chooseHead(state.tree, state.rules.run, mayBeHead)
    }
    pursue(state, state.target, out)
  } while (state.treeChanged)
  retryLeftOut(state, out)
  askHeads(state, out)
  fetchBodies(state, out)
  closeIfDue(state, out)
  rivalIfDue(state, out)
  announce(state, out)
}

/** Heads are asked for once; if the answer never comes, the node goes on with what it has. */
function syncing(state: RoundsState, out: RoundCommand[]): void {
  const sync = state.sync!
  if (!sync.asked) {
    sync.asked = true
    out.push({ type: 'syncHeads' })
  }
  const patience = sync.since + 2 * state.rules.fetchTimeoutMs
  if (state.now >= patience) state.sync = null
  else wakeAt(state, patience)
}

function adopt(state: RoundsState, head: TreeRecord, out: RoundCommand[]): void {
  const { self, now } = state
  const previous = state.head
  const ancestor = commonAncestor(previous, head)
  const fork = ancestor !== previous
  state.head = head
  state.adoptedAt = now
  head.adoptedAt = now
  state.closableSince = null
  state.closeRetryAt = 0
  state.silenceChecked = false
  state.waitingReported = false
  if (state.closing !== null && state.closing.parent !== head.cid) state.closing = null
  const own: { cid: string; fate: Fate }[] = []
  for (const [cid, contribution] of state.own) {
    const fate = fateOf(head, { cid, ...contribution })
    if (fate === null || fate === contribution.told) continue
    contribution.told = fate
    own.push({ cid, fate })
  }
  if (head.closer === self && !head.published) {
    head.published = true
    out.push({ type: 'publish', cid: head.cid })
  }
  const { cid, round, anchor, parts: contributions } = head
  out.push({
    type: 'adopt',
    cid,
    round,
    anchor,
    previous: previous.cid,
    fork,
    ancestor: { cid: ancestor.cid, round: ancestor.round },
    contributions,
    own
  })
  if (fork) out.push({ type: 'report', code: 'fork_switched', subject: cid, peer: head.closer, round, detail: `from ${previous.cid}` })
  for (const left of state.byParent.get(head.parentCid) ?? []) {
    const open = state.contributions.get(left)!
    if (open.refused !== null || head.parts.some(part => part.cid === left) || open.contribution.round !== round) continue
    out.push({ type: 'report', code: 'left_out', subject: left, peer: open.contribution.peer, round })
  }
  forget(state)
  for (const { open } of candidates(state)) if (!open.held) state.toFetch.add(open.cid)
}

/** Drops everything that the new head has made pointless. What a record in the tree still needs stays. */
function forget(state: RoundsState): void {
  const { head, tree } = state
  prune(tree, head, FORK_WINDOW_ROUNDS, BRANCH_KEEP_ROUNDS)
  const needed = new Set(state.lacking.keys())
  for (const record of tree.byCid.values()) {
    if (record.ready || record.status === 'invalid' || record.record === null) continue
    // A ready descendant made it history; nobody computes it any more.
    if (record.passed && record.round < head.round - BRANCH_KEEP_ROUNDS) continue
    for (const cid of record.record.contributions) needed.add(cid)
  }
  for (const open of [...state.contributions.values()]) {
    if (open.contribution.round < head.round && !needed.has(open.cid)) drop(state, open)
  }
  for (const [cid, waiting] of state.lacking) {
    for (const record of waiting) if (!tree.byCid.has(record)) waiting.delete(record)
    if (waiting.size === 0) state.lacking.delete(cid)
  }
  for (const [cid, { askedAt }] of state.unknown) {
    if (!state.lacking.has(cid) && askedAt !== null && state.now - askedAt > state.rules.fetchTimeoutMs) state.unknown.delete(cid)
  }
  for (const [cid, record] of state.orphans) if (record.round <= tree.root.round + 1) state.orphans.delete(cid)
  for (const [cid, own] of state.own) if (own.round < head.round - FATE_ROUNDS) state.own.delete(cid)
  for (const [cid, askedAt] of state.recordsAsked) if (state.now - askedAt > 4 * state.rules.fetchTimeoutMs) state.recordsAsked.delete(cid)
  for (const cid of state.toFetch) if (!state.contributions.has(cid)) state.toFetch.delete(cid)
}

/** Does what is needed next to make the target the head: fetch, compute, or take over an anchor when we are far behind. */
function pursue(state: RoundsState, target: TreeRecord, out: RoundCommand[]): void {
  const { now, rules } = state
  const path = pathToReady(target)
  if (path.length === 0) return
  const busy = path.find(record => record.asked === 'anchor')
  if (busy !== undefined) return
  if (path.length > RECOMPUTE_ROUNDS + 1 || path[0]!.computeFailures >= COMPUTE_TRIES) {
    // The anchors and bodies of long ago are nowhere any more; or our own copy of the parent's anchor is gone.
    const jump = path[Math.max(0, path.length - 1 - RECOMPUTE_ROUNDS)]!
    if (jump.retryAt > now) {
      wakeAt(state, jump.retryAt)
      return
    }
    jump.asked = 'anchor'
    out.push({ type: 'fetchAnchor', cid: jump.cid, round: jump.round, anchor: jump.anchor, holders: holdersOfRecord(state, jump) })
    return
  }
  const next = path[0]!
  next.wantedSince ??= now
  for (const record of path.slice(0, FETCH_AHEAD_RECORDS))
    for (const { cid } of missingParts(state, record)) wantBody(state, cid, record, out)
  if (next.asked === 'compute') return
  if (missingParts(state, next).length > 0) {
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
  const { cid, parts: contributions, parent } = next
  out.push({ type: 'compute', cid, record: next.record!, parentAnchor: parent!.anchor, contributions })
}

/** Records that were left out come back into the choice when their parts are there. */
function retryLeftOut(state: RoundsState, out: RoundCommand[]): void {
  for (const record of state.tree.byCid.values()) {
    if (!record.leftOut || record.status !== 'valid' || record.ready || record.round + BRANCH_KEEP_ROUNDS < state.head.round) continue
    if (record.retryAt > state.now) {
      wakeAt(state, record.retryAt)
      continue
    }
    const missing = missingParts(state, record)
    for (const { cid } of missing) wantBody(state, cid, record, out)
    if (missing.length > 0 && record.computeFailures < COMPUTE_TRIES && pathToReady(record).length <= RECOMPUTE_ROUNDS + 1) continue
    record.leftOut = false
    record.wantedSince = null
    state.treeChanged = true
  }
  if (state.treeChanged) settleAgain(state, out)
}

function settleAgain(state: RoundsState, out: RoundCommand[]): void {
  while (state.treeChanged) {
    state.treeChanged = false
    state.target = chooseHead(state.tree, state.rules.run, mayBeHead)
    pursue(state, state.target, out)
  }
}

/** The bodies of a record that are not here. */
function missingParts(state: RoundsState, record: TreeRecord): Part[] {
  return record.parts.filter(part => state.contributions.get(part.cid)?.held !== true)
}

function wantBody(state: RoundsState, cid: string, record: TreeRecord, out: RoundCommand[]): void {
  const open = state.contributions.get(cid)
  const holders = holdersOfRecord(state, record)
  if (open === undefined) {
    // Forgotten in the meantime: the envelope comes first, then this is asked again.
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

function peersAt(state: RoundsState, head: string): string[] {
  const at: string[] = []
  for (const [peer, live] of state.peers) if (live.head === head) at.push(peer)
  return at.slice(0, MAX_HOLDERS)
}

function askRecord(state: RoundsState, cid: string, holders: readonly string[], out: RoundCommand[]): void {
  const askedAt = state.recordsAsked.get(cid)
  if (askedAt !== undefined && state.now - askedAt < state.rules.fetchTimeoutMs) {
    wakeAt(state, askedAt + state.rules.fetchTimeoutMs)
    return
  }
  state.recordsAsked.set(cid, state.now)
  out.push({ type: 'fetchRecord', cid, holders: [...new Set(holders)].filter(peer => peer !== state.self) })
}

/** Heads of live peers that we do not know, and parents that orphans lack. */
function askHeads(state: RoundsState, out: RoundCommand[]): void {
  const unknown = new Set<string>()
  for (const { head } of state.peers.values())
    if (!state.tree.byCid.has(head) && !state.tooOld.has(head) && !state.orphans.has(head)) unknown.add(head)
  for (const { parent } of state.orphans.values()) if (!state.orphans.has(parent) && !state.tree.byCid.has(parent)) unknown.add(parent)
  for (const cid of unknown) askRecord(state, cid, peersAt(state, cid), out)
  for (const cid of state.lacking.keys()) {
    askEnvelope(state, cid, [], out)
    wakeAt(state, state.now + state.rules.fetchTimeoutMs)
  }
}

function fetchBodies(state: RoundsState, out: RoundCommand[]): void {
  for (const cid of state.toFetch) {
    const open = state.contributions.get(cid)!
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

function retryDelay(state: RoundsState, failures: number): number {
  return Math.min(state.rules.fetchTimeoutMs, 250 * 2 ** Math.min(failures, 10))
}

// ---- closing

interface Placed {
  open: Open
  age: 0 | 1
}

/** Contributions that have a place in the open round's record. */
function candidates(state: RoundsState): Placed[] {
  const { head } = state
  const placed: Placed[] = []
  for (const parent of head.round > 0 ? [head.cid, head.parentCid] : [head.cid]) {
    for (const cid of state.byParent.get(parent) ?? []) {
      const open = state.contributions.get(cid)!
      if (open.refused !== null) continue
      const age = ageAfter(head, open.contribution)
      if (age !== null) placed.push({ open, age })
    }
  }
  return placed
}

function ageNow(state: RoundsState, contribution: Contribution): 0 | 1 | null {
  return ageAfter(state.head, contribution)
}

/** Live peers that hold it, ourselves not counted; its author holds it as long as he lives. */
function liveHolders(state: RoundsState, open: Open): string[] {
  const live = [...open.holders].filter(peer => state.peers.has(peer))
  const author = open.contribution.peer
  if (author !== state.self && state.peers.has(author) && !live.includes(author)) live.push(author)
  return live
}

function counts(state: RoundsState, open: Open, needed: number): boolean {
  return open.held && liveHolders(state, open).length + 1 >= needed
}

function trainers(state: RoundsState): string[] {
  const live = [...state.peers].filter(([, { trains }]) => trains).map(([peer]) => peer)
  return state.trains && state.self !== null ? [state.self, ...live] : live
}

function orderOf(state: RoundsState): string[] {
  const others = candidates(state)
    .filter(({ age }) => age === 0)
    .map(({ open }) => open.contribution.peer)
  return closingOrder(state.rules.run, state.head.round + 1, recentAuthors(state.head), others)
}

/** Is everything here that is worth waiting for? Live trainers' contributions, and announced ones of authors we know that may still come. */
function allIn(state: RoundsState, placed: readonly Placed[], needed: number): boolean {
  const done = new Set<string>()
  const coming: Open[] = []
  for (const { open, age } of placed) {
    if (age === 1) continue
    if (counts(state, open, needed)) done.add(open.contribution.peer)
    else coming.push(open)
  }
  for (const cid of state.byParent.get(state.head.cid) ?? []) {
    // Refused: nothing better will come from there.
    const open = state.contributions.get(cid)!
    if (open.refused !== null) done.add(open.contribution.peer)
  }
  if (trainers(state).some(peer => !done.has(peer) && !state.silent.has(peer) && isAdmitted(state.rules, peer))) return false
  for (const open of coming) {
    const { peer } = open.contribution
    const until = open.seenAt + state.rules.fetchTimeoutMs
    if (done.has(peer) || state.now >= until || liveHolders(state, open).length === 0 || !knownAt(state.tree, state.head, peer)) continue
    wakeAt(state, until)
    return false
  }
  return true
}

function closeIfDue(state: RoundsState, out: RoundCommand[]): void {
  const { rules, self, now, head } = state
  const deadlineAt = state.adoptedAt + rules.deadlineMs
  if (now < deadlineAt) wakeAt(state, deadlineAt)
  if (state.sync !== null || isHeldUp(state)) {
    state.closableSince = null
    return
  }
  const placed = candidates(state)
  if (now >= deadlineAt) noteSilence(state, placed, out)
  reportWaiting(state, out)
  if (self === null || !isAdmitted(rules, self) || state.closing !== null) return
  const needed = holdersNeeded(trainers(state).length)
  const counted = placed.filter(({ open }) => counts(state, open, needed))
  const list = listFor(counted.map(({ open, age }) => candidateOf(state, open, age)))
  if (distinctAuthors(list) < rules.quorum || (now < deadlineAt && !allIn(state, placed, needed))) {
    state.closableSince = null
    return
  }
  state.closableSince ??= now
  const order = orderOf(state)
  const ranked = recentAuthors(head).includes(self)
  if (!ranked && !list.some(part => part.peer === self)) return
  // Whoever has closed already, with a record that cannot be had, has had its turn.
  const had = new Set(head.children.filter(child => child.status === 'invalid' || child.leftOut).map(child => child.closer))
  const turns = turnsBefore(order, self, state.trains, peer => (had.has(peer) ? null : (state.peers.get(peer)?.trains ?? null)))
  const dueAt = Math.max(state.closableSince + turns * rules.graceMs, state.closeRetryAt)
  if (now < dueAt) {
    wakeAt(state, dueAt)
    return
  }
  state.closing = { parent: head.cid, rival: null }
  out.push({ type: 'close', round: head.round + 1, parent: head.cid, parentAnchor: head.anchor, contributions: list })
}

function candidateOf(state: RoundsState, open: Open, age: 0 | 1): Candidate {
  return { ...partOf(state.rules, open.cid, open.contribution, age), known: knownAt(state.tree, state.head, open.contribution.peer) }
}

/** A record that would take us on is being fetched, computed or looked for: closing now would only make a rival. Each reason holds for one fetch at most. */
function isHeldUp(state: RoundsState): boolean {
  const { head, now, rules } = state
  if (state.target !== head) return true
  const patience = rules.fetchTimeoutMs
  const ranked = recentAuthors(head)
  for (const child of head.children) {
    if (child.status !== 'incomplete' || !ranked.includes(child.closer) || now - child.seenAt >= patience) continue
    wakeAt(state, child.seenAt + patience)
    return true
  }
  for (const [peer, { claim, round }] of state.peers) {
    if (claim === null || claim.atRound !== head.round || round <= head.round || now - claim.since >= patience) continue
    if (!ranked.includes(peer) || state.tooOld.has(claim.head)) continue
    wakeAt(state, claim.since + patience)
    return true
  }
  return false
}

/** At the deadline, once: who trains and gave nothing is not waited for again until it gives. */
function noteSilence(state: RoundsState, placed: readonly Placed[], out: RoundCommand[]): void {
  if (state.silenceChecked) return
  state.silenceChecked = true
  const gave = new Set(placed.map(({ open }) => open.contribution.peer))
  for (const [peer, { trains }] of state.peers) {
    if (!trains || gave.has(peer) || state.silent.has(peer)) continue
    state.silent.add(peer)
    out.push({ type: 'report', code: 'peer_silent', subject: peer, peer, round: state.head.round + 1 })
  }
}

/** Contributors that the open round still lacks, if all live trainers and all open contributions are not enough. */
function lackingContributors(state: RoundsState): number {
  const possible = new Set(trainers(state).filter(peer => isAdmitted(state.rules, peer)))
  for (const { open } of candidates(state)) if (open.held || liveHolders(state, open).length > 0) possible.add(open.contribution.peer)
  return Math.max(0, state.rules.quorum - possible.size)
}

function waitingFor(state: RoundsState): string | null {
  const lacking = lackingContributors(state)
  return lacking === 0 ? null : `waiting for ${lacking} more`
}

function reportWaiting(state: RoundsState, out: RoundCommand[]): void {
  if (state.waitingReported) return
  const detail = waitingFor(state)
  if (detail === null) return
  state.waitingReported = true
  out.push({ type: 'report', code: 'waiting_for_quorum', subject: state.rules.run, round: state.head.round + 1, detail })
}

/** Proposes a sibling of the head when its closer left out what we held in time; by rank, and only if it would be preferred for its weight. */
function rivalIfDue(state: RoundsState, out: RoundCommand[]): void {
  const { head, rules, self, now } = state
  const { parent } = head
  if (self === null || parent === null || head.rivalDone || state.closing !== null || state.sync !== null || state.target !== head) return
  if (
    head.closer === self ||
    parent.adoptedAt === null ||
    !isAdmitted(rules, self) ||
    head.children.some(child => child.status === 'valid')
  )
    return
  const before = Math.min(parent.adoptedAt + rules.deadlineMs, head.seenAt - rules.graceMs)
  const needed = holdersNeeded(trainers(state).length)
  const inHead = new Set(head.parts.filter(part => part.age === 0).map(part => part.peer))
  const left: Candidate[] = []
  for (const cid of state.byParent.get(parent.cid) ?? []) {
    const open = state.contributions.get(cid)!
    const { peer } = open.contribution
    if (open.refused !== null || open.heldAt === null || open.heldAt > before || inHead.has(peer)) continue
    if (!counts(state, open, needed) || !knownAt(state.tree, parent, peer)) continue
    left.push({ ...partOf(rules, cid, open.contribution, 0), known: true })
  }
  if (left.length === 0 || missingParts(state, head).length > 0) return
  const list = listFor([...head.parts.map(part => ({ ...part, known: true })), ...left])
  if (!recentAuthors(parent).includes(self) && !list.some(part => part.peer === self)) return
  const order = closingOrder(
    rules.run,
    head.round,
    recentAuthors(parent),
    list.map(part => part.peer)
  )
  const turns = turnsBefore(order, self, state.trains, peer => (peer === head.closer ? null : (state.peers.get(peer)?.trains ?? null)))
  const dueAt = state.adoptedAt + turns * rules.graceMs
  if (now < dueAt) {
    wakeAt(state, dueAt)
    return
  }
  head.rivalDone = true
  state.closing = { parent: parent.cid, rival: head.cid }
  out.push({
    type: 'report',
    code: 'rival_proposed',
    subject: head.cid,
    peer: head.closer,
    round: head.round,
    detail: left.map(part => part.cid).join(' ')
  })
  out.push({ type: 'close', round: head.round, parent: parent.cid, parentAnchor: parent.anchor, contributions: list })
}

function announce(state: RoundsState, out: RoundCommand[]): void {
  const contributions = candidates(state)
    .filter(({ open }) => open.held)
    .map(({ open }) => open.cid)
    .sort()
  const told = contributions.join(' ')
  if (told === state.announced) return
  state.announced = told
  out.push({ type: 'announceHolding', contributions })
}

function hasAnchor(record: TreeRecord): boolean {
  return record.status === 'valid' && (record.ready || record.passed)
}

function mayBeHead(record: TreeRecord): boolean {
  return record.status === 'valid' && (record.ready || record.passed || !record.leftOut)
}

function wakeAt(state: RoundsState, at: number): void {
  state.nextAt = Math.min(state.nextAt, at)
}
