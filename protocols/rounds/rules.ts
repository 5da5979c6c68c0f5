// The rules of rounds as one transition: (state, event, now) -> state and commands. The state belongs to the rules and is changed in place.
// After every event the same few questions are asked again: which record is the head; which should it be, and what is missing for that; may we close; what do others need to hear.

import { RecentMap } from '../recent-map.ts'
import { askHeads, fetchBodies, pursue, retryLeftOut } from './catching-up.ts'
import { chooseHead } from './chain/choice.ts'
import { fateOf } from './chain/fates.ts'
import {
  ancestorAt,
  commonAncestor,
  fell,
  genesisTree,
  laterTree,
  pathToReady,
  plant,
  prune,
  type TreeRecord,
  type Trunk
} from './chain/record-tree.ts'
import { checkContribution } from './chain/validity.ts'
import {
  BRANCH_KEEP_ROUNDS,
  FATE_ROUNDS,
  FORK_WINDOW_ROUNDS,
  MAX_PASSED_OVER,
  MAX_REMEMBERED_REFUSALS,
  MAX_ROUNDS_AHEAD
} from './constants.ts'
import type { Fate, RoundCommand, RoundEvent, RunRules } from './events.ts'
import { chooseTarget, mayBeHead, reconsider } from './following.ts'
import { drop, examine, fetchAhead, markReady, remember, take } from './intake.ts'
import type { Contribution, RoundRecord } from './messages.ts'
import { closeIfDue, missedBy, noteSilence, orderOf, rivalIfDue, waitingFor } from './proposing.ts'
import { liveHolders, needsEnvelopes, noteTooOld, placedIn, type RoundsState, wakeAt } from './state.ts'
import { announceFirst } from './telling.ts'

/** What a node has on disk when it starts. */
export interface RoundsStart {
  /** Monotonic ms. */
  now: number
  /** Whether this node trains. Default true; later told by `peerLive` with our own peer. */
  trains?: boolean
  /** Where `records` begins, if not at the genesis: a branch that parted before it is `fork_too_old`. */
  trunk?: Trunk
  /** Every record kept (after the trunk), parents before children. `ready`: its anchor was computed or taken over here once. An own record that was never published nor adopted is better left out. */
  records?: { cid: string; record: RoundRecord; ready: boolean }[]
  /** The contributions that those records list, and the open ones. `held`: the body is whole and was checked. */
  contributions?: { cid: string; contribution: Contribution; held: boolean }[]
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
  ranks: readonly string[]
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
  const tree =
    start.trunk === undefined
      ? genesisTree(rules.run, rules.genesisAnchor, rules.genesisPeers)
      : laterTree(start.trunk, rules.genesisPeers, start.now)
  const state: RoundsState = {
    rules,
    self,
    now: start.now,
    trains: self !== null && (start.trains ?? true),
    tree,
    head: tree.root,
    adoptedAt: start.now,
    accepted: null,
    treeChanged: true,
    headsKnownAt: null,
    headsChanged: true,
    headsAt: start.now,
    leftOut: new Set(),
    incomplete: new Set(),
    listedOffChain: 0,
    target: tree.root,
    targetGrewAt: start.now,
    early: null,
    late: null,
    orphans: new Map(),
    tooOld: new Set(),
    recordsAsked: new Map(),
    contributions: new Map(),
    byParent: new Map(),
    perAuthor: new Map(),
    placed: null,
    missed: [],
    unknown: new Map(),
    refusals: new RecentMap(MAX_REMEMBERED_REFUSALS),
    passedOver: new RecentMap(MAX_PASSED_OVER),
    lacking: new Map(),
    toFetch: new Set(),
    peers: new Map(),
    moves: 0,
    trainers: null,
    claims: new Set(),
    silent: new Set(),
    watched: new Set(),
    shunned: new Set(),
    silenceChecked: false,
    own: new Map(),
    sync: { since: start.now, asked: false },
    closing: null,
    computeMs: 0,
    closeRetryAt: 0,
    heldUp: { ms: 0, since: null },
    closableSince: null,
    awaited: null,
    membersInSince: null,
    newlyHeld: [],
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
  state.head.adoptedAt = start.now
  state.target = chooseHead(tree, rules.run, mayBeHead)
  state.placed = null
  forget(state)
  fetchAhead(state)
  return state
}

/**
 * The rules begin again with more history than before: after `fork_too_old`, with both branches back to where they parted.
 * What is known of peers, what is open, and branches that they know already stay, so that nothing has to be heard anew and no second branch undoes the way to a first.
 */
export function reopenRounds(state: RoundsState, start: RoundsStart): RoundsState {
  const open = [...state.contributions.values()].map(({ cid, contribution, held }) => ({ cid, contribution, held }))
  const contributions = [...(start.contributions ?? []), ...open]
  const records = [...(start.records ?? [])]
  for (const { cid, record, ready, published, closer, status } of state.tree.byCid.values())
    if (record !== null && status === 'valid' && (published || closer !== state.self)) records.push({ cid, record, ready })
  const next = createRounds(state.rules, state.self, { trains: state.trains, ...start, contributions, records })
  next.peers = state.peers
  for (const live of next.peers.values()) live.claim = null
  next.silent = state.silent
  next.watched = state.watched
  next.shunned = state.shunned
  next.refusals = state.refusals
  next.computeMs = state.computeMs
  // The same round is open, and has its deadline from when it was opened.
  if (next.head.cid === state.head.cid) {
    next.adoptedAt = state.adoptedAt
    next.head.adoptedAt = state.head.adoptedAt
  }
  // Lighter after all: then it is as far from us as it was, and nobody has to look again. If not, what came of it meanwhile is not too old any more.
  const stays = ancestorAt(next.target, state.head.round)?.cid === state.head.cid
  if (stays) for (const cid of state.tooOld) if (!next.tree.byCid.has(cid)) next.tooOld.add(cid)
  return next
}

/**
 * Takes what happened, in order, at monotonic time `now` (ms), and then asks what follows from it. Pure but for the state, which it changes and returns.
 * Several events at once cost little more than one.
 */
export function advance(
  state: RoundsState,
  events: RoundEvent | readonly RoundEvent[],
  now: number
): { state: RoundsState; commands: RoundCommand[] } {
  const out: RoundCommand[] = []
  state.now = Math.max(state.now, now)
  for (const event of 'type' in events ? [events] : events) take(state, event, out)
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
    openContributions: placedIn(state).map(({ open, age }) => ({
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

function settle(state: RoundsState, out: RoundCommand[]): void {
  if (state.sync !== null) syncing(state, out)
  reconsider(state)
  // Every turn leaves out or adopts a record that it did not before, so this ends.
  do {
    if (state.treeChanged) {
      state.treeChanged = false
      const head = chooseHead(state.tree, state.rules.run, hasAnchor)
      chooseTarget(state, out)
      if (head !== state.head) {
        adopt(state, head, out)
        chooseTarget(state, out)
      }
    }
    pursue(state, state.target, out)
  } while (state.treeChanged)
  retryLeftOut(state, out)
  askHeads(state, out)
  fetchBodies(state, out)
  closeIfDue(state, out)
  rivalIfDue(state, out)
  announceFirst(state, out)
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
  const { self, now, rules } = state
  const previous = state.head
  const ancestor = commonAncestor(previous, head)
  const fork = ancestor !== previous
  // Others' deadlines come a little before ours; and what closed early is followed at ours.
  if (head.parent === previous && now >= state.adoptedAt + rules.deadlineMs - rules.graceMs) noteSilence(state, head.parts, out)
  state.head = head
  state.adoptedAt = now
  head.adoptedAt = now
  head.endedRoundAt ??= head.seenAt
  state.missed = missedBy(state, head)
  state.placed = null
  state.newlyHeld = placedIn(state).flatMap(({ open }) => (open.held ? [open.cid] : []))
  state.closableSince = null
  state.awaited = null
  state.membersInSince = null
  state.closeRetryAt = 0
  state.heldUp = { ms: 0, since: null }
  state.silenceChecked = false
  state.waitingReported = false
  // What we were computing was decided on another head: it is not shown.
  state.closing = null
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
  fetchAhead(state)
}

/** Drops everything that the new head has made pointless. What a record in the tree still needs stays. */
function forget(state: RoundsState): void {
  const { head, tree } = state
  const target = tree.byCid.get(state.target.cid) ?? head
  const named = [...state.peers.values()].flatMap(live => tree.byCid.get(live.head) ?? [])
  prune(tree, head, target, named, FORK_WINDOW_ROUNDS, BRANCH_KEEP_ROUNDS)
  // Who stands where we stood once is asked for it no more. A branch that we are on the way to is looked at again.
  for (const { adoptedAt, cid } of named) if (adoptedAt !== null && !tree.byCid.has(cid)) noteTooOld(state, cid)
  const needed = new Set(state.lacking.keys())
  for (const record of [...pathToReady(target), ...state.leftOut]) for (const cid of record.record!.contributions) needed.add(cid)
  // A rival lists all that the head does, and what was late for the round before has no other place any more.
  if (state.missed.length > 0) for (const { cid } of head.parts) needed.add(cid)
  const parents = new Set([head.cid, head.parentCid, target.cid, ...pathToReady(target).map(record => record.cid)])
  for (const open of [...state.contributions.values()]) {
    const { round, parent } = open.contribution
    const hasPlace = round >= head.round && round <= head.round + 1 + MAX_ROUNDS_AHEAD && (parents.has(parent) || !tree.byCid.has(parent))
    if (!hasPlace && !needed.has(open.cid)) drop(state, open)
  }
  state.listedOffChain = 0
  for (const record of tree.byCid.values())
    if (!record.ready && !record.passed) state.listedOffChain += record.record?.contributions.length ?? 0
  for (const [cid, waiting] of state.lacking) {
    for (const record of waiting) if (!needsEnvelopes(state, record)) waiting.delete(record)
    if (waiting.size === 0) state.lacking.delete(cid)
  }
  for (const [cid, { askedAt }] of state.unknown) {
    if (!state.lacking.has(cid) && askedAt !== null && state.now - askedAt > state.rules.fetchTimeoutMs) state.unknown.delete(cid)
  }
  for (const [cid, record] of state.orphans) if (record.round <= tree.root.round + 1) state.orphans.delete(cid)
  for (const [cid, code] of state.passedOver) if (code !== 'stale_round') state.passedOver.delete(cid)
  for (const [cid, own] of state.own) if (own.round < head.round - FATE_ROUNDS) state.own.delete(cid)
  for (const [cid, askedAt] of state.recordsAsked) if (state.now - askedAt > 4 * state.rules.fetchTimeoutMs) state.recordsAsked.delete(cid)
  for (const cid of state.toFetch) if (!state.contributions.has(cid)) state.toFetch.delete(cid)
  for (const record of state.incomplete) if (tree.byCid.get(record.cid) !== record) state.incomplete.delete(record)
}

function hasAnchor(record: TreeRecord): boolean {
  return record.status === 'valid' && (record.ready || record.passed)
}
