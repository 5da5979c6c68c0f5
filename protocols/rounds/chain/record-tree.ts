// The records that a node remembers: a tree under the oldest of them, with what each needs before it can be the head.
import type { Part } from '../events.ts'
import type { RoundRecord } from '../messages.ts'
import type { ReasonCode } from '../reasons.ts'

export interface TreeRecord {
  cid: string
  round: number
  anchor: string
  /** Null only at the tree's root. */
  parent: TreeRecord | null
  /** CID of the parent; of the genesis: the empty text. */
  parentCid: string
  /** Null only for the genesis. */
  record: RoundRecord | null
  closer: string
  children: TreeRecord[]
  /** Of its contributions, in the record's order; empty until all envelopes are known. */
  parts: Part[]
  /** incomplete: envelopes are missing. valid: by everything but the anchor. */
  status: 'incomplete' | 'valid' | 'invalid'
  invalidReason: ReasonCode | null
  /** Its anchor was computed here and agrees, or was taken as it is. */
  ready: boolean
  /** Not ready itself, but a descendant is: history that rests on its signers. */
  passed: boolean
  /** Its parts could not be had in time: not in the choice until they can. */
  leftOut: boolean
  /** What was asked for and not answered yet. */
  asked: 'nothing' | 'compute' | 'anchor'
  askedAt: number
  computeFailures: number
  retryAt: number
  /** ms: when it came; when its parts were first wanted; when it became our head. */
  seenAt: number
  wantedSince: number | null
  /** What was known of holders when its parts were last wanted from them. */
  wantedFrom: number | null
  adoptedAt: number | null
  /** ms: from when on it counts as having ended its round here; null while it has not. */
  endedRoundAt: number | null
  /** It came in time to take us back from a sibling, or everybody went there. */
  takesBack: boolean
  /** Authors accepted in the last k records, the newest first, this one included. */
  recent: readonly (readonly string[])[]
  /** All of them, each once; made when first asked for. */
  authors: readonly string[] | null
  /** Those of them that are waited for; made when first asked for. */
  members: ReadonlySet<string> | null
  rivalDone: boolean
  /** Our own record was gossiped. */
  published: boolean
}

export interface RecordTree {
  root: TreeRecord
  /** Peers that the manifest names. */
  named: ReadonlySet<string>
  /** Authors accepted up to and with the root. */
  known: Set<string>
  byCid: Map<string, TreeRecord>
  /** Counts records that came and went. */
  changes: number
}

/** Record 0: its authors are the peers that the manifest names. */
export function genesisTree(run: string, anchor: string, genesisPeers: readonly string[]): RecordTree {
  const root: TreeRecord = { ...blank(run, 0, anchor, '', '', 0), status: 'valid', ready: true, recent: [genesisPeers] }
  return { root, named: new Set(genesisPeers), known: new Set(), byCid: new Map([[run, root]]), changes: 0 }
}

/** Where the rules begin when not at the genesis: an adopted record, and what is left of the history before it. */
export interface Trunk {
  cid: string
  record: RoundRecord
  parts: Part[]
  /** Authors accepted before this record. */
  known: Iterable<string>
  /** Authors of the last k records, the newest first, this one included. */
  recent: readonly (readonly string[])[]
}

/** What `prune` would have left of a whole history. */
export function laterTree({ cid, record, parts, known, recent }: Trunk, genesisPeers: readonly string[], now: number): RecordTree {
  const { round, anchor, parent, closer } = record
  const trunk: TreeRecord = { ...blank(cid, round, anchor, parent, closer, now), record, parts, recent, status: 'valid', ready: true }
  trunk.published = true
  const accepted = new Set([...known, ...parts.map(({ peer }) => peer)])
  return { root: trunk, named: new Set(genesisPeers), known: accepted, byCid: new Map([[cid, trunk]]), changes: 0 }
}

export function plant(tree: RecordTree, parent: TreeRecord, cid: string, record: RoundRecord, now: number): TreeRecord {
  const entry: TreeRecord = { ...blank(cid, record.round, record.anchor, record.parent, record.closer, now), parent, record }
  parent.children.push(entry)
  tree.byCid.set(cid, entry)
  tree.changes++
  return entry
}

/** The authors ranked to close the round after this record: all of the last k records, each once. */
export function recentAuthors(record: TreeRecord): readonly string[] {
  record.authors ??= [...new Set(record.recent.flat())]
  return record.authors
}

/**
 * The authors that the round after this record waits for: those accepted in at least half as many of the last k records as whoever was accepted in most.
 * An identity that gave once, or a new one every round, holds nobody up.
 */
export function membersAfter(record: TreeRecord): ReadonlySet<string> {
  if (record.members !== null) return record.members
  const accepted = new Map<string, number>()
  for (const peer of record.recent.flat()) accepted.set(peer, (accepted.get(peer) ?? 0) + 1)
  const most = Math.max(...accepted.values())
  record.members = new Set([...accepted].filter(([, times]) => 2 * times >= most).map(([peer]) => peer))
  return record.members
}

/** Had the history up to and with this record accepted the author? Those that the manifest names are in from the start. */
export function knownAt(tree: RecordTree, record: TreeRecord, peer: string): boolean {
  return tree.named.has(peer) || acceptedAt(tree, record, peer)
}

/** Had it accepted any work of theirs? Whoever writes a manifest names whom they like. */
export function acceptedAt(tree: RecordTree, record: TreeRecord, peer: string): boolean {
  if (tree.known.has(peer)) return true
  for (let at: TreeRecord | null = record; at !== null; at = at.parent) {
    if (at.parts.some(part => part.peer === peer)) return true
  }
  return false
}

export function commonAncestor(a: TreeRecord, b: TreeRecord): TreeRecord {
  let left = a
  let right = b
  while (left !== right) {
    if (left.round >= right.round) left = left.parent!
    else right = right.parent!
  }
  return left
}

/** The ancestor of that round (the record itself, if it is of that round), or null when it is older than the tree. */
export function ancestorAt(record: TreeRecord, round: number): TreeRecord | null {
  let at: TreeRecord | null = record
  while (at !== null && at.round > round) at = at.parent
  return at?.round === round ? at : null
}

/** The records from the first that is not ready down to this one, oldest first. */
export function pathToReady(record: TreeRecord): TreeRecord[] {
  const path: TreeRecord[] = []
  for (let at = record; !at.ready && at.parent !== null; at = at.parent) path.push(at)
  return path.reverse()
}

export function* subtree(record: TreeRecord): Generator<TreeRecord> {
  const stack = [record]
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    yield at
    stack.push(...at.children)
  }
}

/** Forgets a record with everything that grew on it. */
export function fell(tree: RecordTree, record: TreeRecord): void {
  tree.changes++
  for (const gone of subtree(record)) tree.byCid.delete(gone.cid)
  const siblings = record.parent?.children
  siblings?.splice(siblings.indexOf(record), 1)
}

/**
 * Moves the root up to `window` rounds behind the head, but not past the fork to a branch that may yet win, and forgets branches whose tips are more than `branchKeep` rounds behind the head.
 *
 * @param target the record that should become the head; often the head itself
 * @param held heads of others: their branches stay as long as the root allows
 */
export function prune(
  tree: RecordTree,
  head: TreeRecord,
  target: TreeRecord,
  held: Iterable<TreeRecord>,
  window: number,
  branchKeep: number
): void {
  const chain: TreeRecord[] = []
  for (let at: TreeRecord | null = head; at !== null; at = at.parent) chain.push(at)
  if (tree.byCid.size > chain.length) {
    const kept = new Set(chain)
    for (const tip of [target, ...held]) for (let at: TreeRecord | null = tip; at !== null && !kept.has(at); at = at.parent) kept.add(at)
    for (const record of [...kept]) {
      if (record === head) continue
      for (const branch of [...record.children]) {
        if (kept.has(branch)) continue
        let tip = 0
        for (const { round } of subtree(branch)) tip = Math.max(tip, round)
        if (tip < head.round - branchKeep) fell(tree, branch)
      }
    }
  }
  const rootRound = Math.min(head.round - window, commonAncestor(head, target).round)
  while (tree.root.round < rootRound) {
    const next = chain[head.round - tree.root.round - 1]!
    for (const branch of [...tree.root.children]) if (branch !== next) fell(tree, branch)
    tree.byCid.delete(tree.root.cid)
    tree.changes++
    next.parent = null
    tree.root = next
    for (const part of next.parts) tree.known.add(part.peer)
  }
}

function blank(cid: string, round: number, anchor: string, parentCid: string, closer: string, now: number): TreeRecord {
  return {
    cid,
    round,
    anchor,
    parent: null,
    parentCid,
    record: null,
    closer,
    children: [],
    parts: [],
    status: 'incomplete',
    invalidReason: null,
    ready: false,
    passed: false,
    leftOut: false,
    asked: 'nothing',
    askedAt: 0,
    computeFailures: 0,
    retryAt: 0,
    seenAt: now,
    wantedSince: null,
    wantedFrom: null,
    adoptedAt: null,
    endedRoundAt: null,
    takesBack: false,
    recent: [],
    authors: null,
    members: null,
    rivalDone: false,
    published: false
  }
}
