// What a node knows about a run's rounds, and the plain questions that all rules ask of it.

import { isAuthor } from './acceptance.ts'
import { fell, membersAfter, type RecordTree, subtree, type TreeRecord } from './chain/record-tree.ts'
import { ageAfter } from './chain/validity.ts'
import { HOLDERS_NEEDED, MAX_HOLDERS, MAX_ORPHAN_RECORDS } from './constants.ts'
import type { Fate, Part, RunRules } from './events.ts'
import type { Contribution, RoundRecord } from './messages.ts'
import type { ReasonCode } from './reasons.ts'

export interface Open {
  cid: string
  contribution: Contribution
  held: boolean
  /** ms; not known for what was held before a restart, so that it never makes a rival. */
  heldAt: number | null
  refused: ReasonCode | null
  seenAt: number
  holders: Set<string>
  /** Others were told that it is held here. */
  told: boolean
  asked: boolean
  retryAt: number
  failures: number
}

export interface Placed {
  open: Open
  age: 0 | 1
}

/** What has a place in the open round's record. */
export interface Places {
  all: Placed[]
  /** Those made for the round itself, by author. */
  fresh: Map<string, Open[]>
  /** The order in which nodes may close the round; made when first asked for. */
  order: readonly string[] | null
}

export interface Unknown {
  holders: Set<string>
  askedAt: number | null
}

export interface Live {
  head: string
  round: number
  trains: boolean
  /** The unknown head that this peer claims, and since when: it may hold up our closing for a fetch. */
  claim: { head: string; since: number } | null
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
  /** Authors of the remembered records up to a head; null where nobody asked yet. */
  accepted: { at: TreeRecord; authors: ReadonlySet<string> } | null
  treeChanged: boolean
  /** `tree.changes` when every peer's head was known; null when one was not, or may not be. */
  headsKnownAt: number | null
  /** A head was named that we may have to ask for. */
  headsChanged: boolean
  /** ms; when an unanswered question for a head or an envelope is asked again. */
  headsAt: number
  leftOut: Set<TreeRecord>
  incomplete: Set<TreeRecord>
  /** CIDs that records listed which came since the last adoption, and those off our chain before it. */
  listedOffChain: number
  target: TreeRecord
  /** ms; when a record further on became the target. */
  targetGrewAt: number
  /** The child of the target that the choice prefers and that closed its round too early to be followed yet. */
  early: TreeRecord | null
  /** The first record of a branch that the choice prefers, and that came too late to take us back to it yet. */
  late: TreeRecord | null
  orphans: Map<string, RoundRecord>
  /** Heads and ancestors of branches that parted before our root. */
  tooOld: Set<string>
  /** Records asked for, and when. */
  recordsAsked: Map<string, number>
  contributions: Map<string, Open>
  byParent: Map<string, Set<string>>
  /** How many contributions an author has for a parent: parent -> author. */
  perAuthor: Map<string, Map<string, number>>
  /** Null: to be looked up anew. */
  placed: Places | null
  /** What we held in time and the head's closer left out. */
  missed: Open[]
  unknown: Map<string, Unknown>
  refusals: Map<string, ReasonCode>
  /** Contributions that had no place here; asked for again only if a record needs them, or after the next adoption. */
  passedOver: Map<string, ReasonCode>
  /** Envelopes that records in the tree lack: contribution -> records. */
  lacking: Map<string, Set<string>>
  toFetch: Set<string>
  peers: Map<string, Live>
  /** Counts changes of who is live and at which head, and contributions that came. */
  moves: number
  /** Live peers that train and we, if we do. Null: to be counted anew. */
  trainers: string[] | null
  /** Peers whose claim of an unknown head may hold up our closing. */
  claims: Set<string>
  silent: Set<string>
  /** Peers whom this node does not trust: those it only does not wait for, and those it has nothing to do with. */
  watched: Set<string>
  shunned: Set<string>
  silenceChecked: boolean
  own: Map<string, { round: number; parent: string; told: Fate | null }>
  sync: { since: number; asked: boolean } | null
  /** The record that is being computed to be shown: on what, and what it lists. */
  closing: { parent: string; list: string; since: number } | null
  /** How long an anchor takes to compute here, as far as it was seen: whoever is ahead of us needs that long before we can hear of its record. */
  computeMs: number
  closeRetryAt: number
  /** How long closing the open round has been held up, and since when it is again (ms). */
  heldUp: { ms: number; since: number | null }
  /** ms; when the open round could first be closed by somebody. */
  closableSince: number | null
  /** The member found lacking last: as long as it lacks, nobody else need be looked at. */
  awaited: string | null
  /** ms; since when nothing is lacking of the live trainers who were accepted in recent rounds. */
  membersInSince: number | null
  /** Contributions of the open round that came to be held, or were when it opened: looked at once for whether others must hear of them at once. */
  newlyHeld: string[]
  waitingReported: boolean
  /** Something happened since the questions were last asked. Otherwise they are asked again at `nextAt`: most of what arrives is a repetition. */
  changed: boolean
  nextAt: number
}

export function wakeAt(state: RoundsState, at: number): void {
  state.nextAt = Math.min(state.nextAt, at)
}

/** Contributions that have a place in the open round's record. */
export function placedIn(state: RoundsState): Placed[] {
  return placesIn(state).all
}

export function placesIn(state: RoundsState): Places {
  if (state.placed !== null) return state.placed
  const { head } = state
  const placed: Places = { all: [], fresh: new Map(), order: null }
  for (const parent of head.round > 0 ? [head.cid, head.parentCid] : [head.cid]) {
    for (const cid of state.byParent.get(parent) ?? []) {
      const open = state.contributions.get(cid)!
      if (open.refused !== null) continue
      const age = ageAfter(head, open.contribution)
      if (age !== null) place(placed, open, age)
    }
  }
  state.placed = placed
  return placed
}

export function place(places: Places, open: Open, age: 0 | 1): void {
  places.all.push({ open, age })
  if (age === 1) return
  const { peer } = open.contribution
  const others = places.fresh.get(peer)
  if (others !== undefined) {
    others.push(open)
    return
  }
  places.fresh.set(peer, [open])
  // A new author may close too.
  places.order = null
}

/** A list as one text, to be compared. */
export function listed(contributions: readonly string[]): string {
  return contributions.join(' ')
}

/** Live peers that hold it, ourselves not counted; its author holds it as long as he lives. */
export function liveHolders(state: RoundsState, open: Open): string[] {
  const live = [...open.holders].filter(peer => state.peers.has(peer))
  const author = open.contribution.peer
  if (author !== state.self && state.peers.has(author) && !live.includes(author)) live.push(author)
  return live
}

/** Whether further copies of it change nothing here. */
export function isCountedHere(state: RoundsState, cid: string): boolean {
  const open = state.contributions.get(cid)
  return open !== undefined && isCounted(state, open, HOLDERS_NEEDED)
}

/** Held here and by as many live nodes as it takes, ourselves and its author counted. */
export function isCounted(state: RoundsState, open: Open, needed: number): boolean {
  if (!open.held) return false
  let copies = 1
  const author = open.contribution.peer
  if (author !== state.self && state.peers.has(author)) copies++
  if (copies >= needed) return true
  for (const holder of open.holders) {
    if (copies >= needed) return true
    if (holder !== author && state.peers.has(holder)) copies++
  }
  return copies >= needed
}

export function trainersOf(state: RoundsState): string[] {
  if (state.trainers !== null) return state.trainers
  const trainers = state.trains && state.self !== null ? [state.self] : []
  for (const [peer, { trains }] of state.peers) if (trains) trainers.push(peer)
  state.trainers = trainers
  return trainers
}

/** Live peers with that head, as many as are asked: authors first, since anybody may name an author's head. */
export function peersAt(state: RoundsState, head: string): string[] {
  const at: string[] = []
  for (const [peer, live] of state.peers) if (live.head === head) at.push(peer)
  if (at.length <= MAX_HOLDERS) return at
  const authors: string[] = []
  const others: string[] = []
  for (const peer of at) {
    if (authors.length === MAX_HOLDERS) break
    if (isAuthor(state, peer)) authors.push(peer)
    else others.push(peer)
  }
  return [...authors, ...others].slice(0, MAX_HOLDERS)
}

export function addHolder(state: RoundsState, open: Open, peer: string): void {
  if (open.holders.has(peer) || (open.holders.size >= MAX_HOLDERS && !makeWay(state, open, peer))) return
  // Further copies change nothing: two are enough to count.
  if (!isCounted(state, open, HOLDERS_NEEDED)) state.changed = true
  open.holders.add(peer)
  // Somebody new has it: no need to wait out the delay after a failure.
  if (!open.held && !open.asked && open.failures > 0) open.retryAt = Math.min(open.retryAt, state.now)
}

/** A member takes the place of somebody who is none: identities cost nothing, and may all say that they hold it. */
function makeWay(state: RoundsState, { holders }: Open, peer: string): boolean {
  const members = membersAfter(state.head)
  if (!members.has(peer)) return false
  for (const holder of holders) if (!members.has(holder)) return holders.delete(holder)
  return false
}

/** Forgets a record with all that grew on it. */
export function uproot(state: RoundsState, record: TreeRecord): void {
  for (const gone of subtree(record)) if (!gone.ready && !gone.passed) state.listedOffChain -= gone.record?.contributions.length ?? 0
  fell(state.tree, record)
  state.treeChanged = true
}

/** Whether the envelopes that a record lacks are of any use: one whose anchor was taken as it is needs none any more. */
export function needsEnvelopes({ tree }: RoundsState, record: string): boolean {
  return tree.byCid.get(record)?.ready === false
}

/** The bodies of a record that are not here. */
export function missingParts(state: RoundsState, record: TreeRecord): Part[] {
  return record.parts.filter(part => state.contributions.get(part.cid)?.held !== true)
}

export function isMissingParts(state: RoundsState, record: TreeRecord): boolean {
  return record.parts.some(part => state.contributions.get(part.cid)?.held !== true)
}

/** It parted from our chain before all that is remembered. */
export function noteTooOld({ tooOld }: RoundsState, cid: string): void {
  tooOld.add(cid)
  if (tooOld.size > MAX_ORPHAN_RECORDS) tooOld.delete(tooOld.keys().next().value!)
}

export function isTooOld({ tooOld }: RoundsState, cid: string): boolean {
  return tooOld.has(cid)
}

/** Whether the rules keep this contribution or record. */
export function remembers(state: RoundsState, cid: string): boolean {
  return state.contributions.has(cid) || state.tree.byCid.has(cid) || state.orphans.has(cid)
}

/** Says of a contribution or record whether it must be on disk for the rules: what they keep, and what a record lists that may be adopted yet. As they stand now. */
export function neededBy(state: RoundsState): (cid: string) => boolean {
  let listed: Set<string> | null = null
  return cid => {
    if (remembers(state, cid)) return true
    listed ??= new Set([...state.tree.byCid.values()].flatMap(({ record }) => record?.contributions ?? []))
    return listed.has(cid)
  }
}

/** Round of the record that should become the head, as far as its chain is known; of the head itself where nothing is to come. */
export function targetRound(state: RoundsState): number {
  return state.target.round
}
