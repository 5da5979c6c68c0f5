// What must hold on a node after each thing that touches it, worked out here a second time from what is on its disk, without a line of the rules: so that a rule that is wrong cannot agree with itself.
import {
  BRANCH_KEEP_ROUNDS,
  FORK_WINDOW_ROUNDS,
  HOLDERS_NEEDED,
  KEEP_ROUNDS,
  MAX_HOLDERS,
  MAX_LISTED_OFF_CHAIN,
  MAX_OPEN_CONTRIBUTIONS,
  MAX_ORPHAN_RECORDS,
  MAX_PASSED_OVER,
  MAX_PEERS,
  MAX_PER_AUTHOR_AND_PARENT,
  MAX_RECORDS_ASKED,
  MAX_RECORDS_OFF_CHAIN,
  MAX_REMEMBERED_REFUSALS,
  MAX_STRAY_CONTRIBUTIONS,
  MAX_UNKNOWN_CONTRIBUTIONS,
  MAX_WATCHED,
  RECENT_ROUNDS
} from '../../protocols/rounds/constants.ts'
import type { Contribution, Part, RoundRecord, RoundsState, RunRules } from '../../protocols/rounds/index.ts'
import type { Invariant } from './invariants.ts'
import { anchorOf, flawOf, rankOf } from './names.ts'
import type { SimNode } from './node.ts'
import type { World } from './world.ts'

/** A record as the whole history makes it, whoever signed it. */
interface Judged {
  cid: string
  round: number
  closer: string
  parent: Judged | null
  parts: readonly Part[]
  /** Author and round of each contribution. */
  places: ReadonlySet<string>
  /** Authors of the last k records, this one included. */
  recent: readonly (readonly string[])[]
  /** What the anchor is, whatever the record says. */
  anchor: string
  /** What is wrong with the record itself. */
  wrong: string | null
  twice: string | null
}

const judgedIn = new WeakMap<World, Map<string, Judged>>()

/** Reads the whole chain below a record on a node's disk, once for each record of a world. Null where something is not on the disk. */
function judge(node: SimNode, cid: string): Judged | null {
  const { world } = node
  let known = judgedIn.get(world)
  if (known === undefined) {
    known = new Map([['run', genesis(world)]])
    judgedIn.set(world, known)
  }
  const unread: [string, RoundRecord][] = []
  let at = cid
  for (let parent = known.get(at); parent === undefined; parent = known.get(at)) {
    const record = node.disk.records.get(at)?.record
    if (record === undefined) return null
    unread.push([at, record])
    at = record.parent
  }
  for (const [name, record] of unread.reverse()) {
    const judged = judgeRecord(node, known.get(record.parent)!, name, record)
    if (judged === null) return null
    known.set(name, judged)
  }
  return known.get(cid)!
}

function genesis({ rules }: World): Judged {
  const { genesisPeers, genesisAnchor } = rules
  return {
    cid: 'run',
    round: 0,
    closer: '',
    parent: null,
    parts: [],
    places: new Set(),
    recent: [genesisPeers],
    anchor: genesisAnchor,
    wrong: null,
    twice: null
  }
}

function judgeRecord(node: SimNode, parent: Judged, cid: string, record: RoundRecord): Judged | null {
  const { rules } = node.world
  const admitted = (peer: string): boolean => !Array.isArray(rules.admission) || rules.admission.includes(peer)
  const wrong: string[] = []
  let twice: string | null = null
  const parts: Part[] = []
  const places = new Set<string>()
  if (record.run !== rules.run || record.round !== parent.round + 1) wrong.push('is of another run or round')
  let last = ''
  for (const name of record.contributions) {
    const contribution = node.disk.contributions.get(name)
    if (contribution === undefined) return null
    const { peer, round, steps, tokens } = contribution
    const age = record.round - round
    const place = `${peer}/${round}`
    const isFresh = age === 0 && contribution.parent === record.parent
    const isLate = age === 1 && parent.parent !== null && contribution.parent === parent.parent.cid
    if (!isFresh && !isLate) wrong.push(`lists ${name} of round ${round}`)
    if (contribution.run !== rules.run || !admitted(peer) || !isInvited(rules, contribution))
      wrong.push(`lists ${name} of ${peer}, who is not admitted`)
    if (rules.tokensPerStep !== undefined && tokens !== steps * rules.tokensPerStep) wrong.push(`lists ${name} of ${tokens} tokens`)
    if (steps > (rules.maxSteps ?? steps)) wrong.push(`lists ${name} of ${steps} steps`)
    const flaw = flawOf(contribution)
    if (flaw !== null) wrong.push(`lists ${name}, which is ${flaw}`)
    // Rounds of one chain have as many digits, or nearly: two contributions of one author are neighbours.
    const key = `${peer} ${String(round).padStart(10, '0')}`
    if (key <= last) wrong.push('is not in order')
    last = key
    if (places.has(place) || parent.places.has(place)) twice = place
    places.add(place)
    parts.push({ cid: name, age: age === 1 ? 1 : 0, peer, tokens: Math.min(tokens, rules.maxTokensPerRound) })
  }
  const authors = [...new Set(parts.map(({ peer }) => peer))]
  if (authors.length < rules.quorum) wrong.push(`has ${authors.length} authors`)
  if (!admitted(record.closer)) wrong.push('was closed by a peer that is not admitted')
  if (!authors.includes(record.closer) && !parent.recent.some(recent => recent.includes(record.closer)))
    wrong.push('was closed by a stranger')
  const anchor = anchorOf(parent.anchor, parts)
  return {
    cid,
    round: record.round,
    closer: record.closer,
    parent,
    parts,
    places,
    recent: [authors, ...parent.recent].slice(0, rules.recentRounds ?? RECENT_ROUNDS),
    anchor,
    wrong: wrong[0] ?? null,
    twice
  }
}

/** In a run by invitation: by its name in the manifest, or with an inviter's word that is its own and of these rounds. */
function isInvited({ admission, genesisPeers, run }: RunRules, { peer, round, grant }: Contribution): boolean {
  if (admission === 'open' || Array.isArray(admission)) return true
  const { inviters, grantRounds } = admission
  if ([...inviters, ...genesisPeers].includes(peer)) return true
  const isOwn = grant?.run === run && grant.peer === peer && inviters.includes(grant.inviter)
  return isOwn && grant.untilRound >= round && grant.untilRound <= round + grantRounds
}

/** Of the records on a branch down to the fork: tokens of those whom the history up to the fork had accepted. */
function weightDownTo(tip: Judged, fork: Judged, isKnown: (peer: string) => boolean): number {
  let weight = 0
  for (let at = tip; at !== fork; at = at.parent!) for (const { peer, tokens } of at.parts) if (isKnown(peer)) weight += tokens
  return weight
}

function acceptedUpTo(fork: Judged, world: World): (peer: string) => boolean {
  const known = new Set(world.rules.genesisPeers)
  for (let at: Judged | null = fork; at !== null; at = at.parent) for (const { peer } of at.parts) known.add(peer)
  return peer => known.has(peer)
}

/** The heaviest chain with an anchor that starts with this record, in a node's memory. */
function heaviest(state: RoundsState, cid: string, isKnown: (peer: string) => boolean): number {
  let most = 0
  const stack = [{ record: state.tree.byCid.get(cid), below: 0 }]
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const { record, below } = at
    if (record === undefined || record.status !== 'valid' || !(record.ready || record.passed)) continue
    let weight = below
    for (const { peer, tokens } of record.parts) if (isKnown(peer)) weight += tokens
    most = Math.max(most, weight)
    for (const child of record.children) stack.push({ record: child, below: weight })
  }
  return most
}

/** What each part of a node's memory may come to. Beside what is open, a node keeps the contributions that a record it looks at lists. */
const BOUNDS: readonly [what: string, size: (state: RoundsState) => number, most: (state: RoundsState) => number][] = [
  ['contributions', state => state.contributions.size, state => MAX_OPEN_CONTRIBUTIONS + state.listedOffChain],
  ['contributions to records that it does not have', strays, state => MAX_STRAY_CONTRIBUTIONS + state.listedOffChain],
  ['records', state => state.tree.byCid.size, () => FORK_WINDOW_ROUNDS + BRANCH_KEEP_ROUNDS + MAX_RECORDS_OFF_CHAIN],
  // An orphan comes in with the record that it waits for, whatever it lists: storms are far from that many.
  ['contributions that records off its chain list', state => state.listedOffChain, () => MAX_LISTED_OFF_CHAIN],
  ['orphans', state => state.orphans.size, () => MAX_ORPHAN_RECORDS],
  ['heads that parted too long ago', state => state.tooOld.size, () => MAX_ORPHAN_RECORDS],
  ['rumours', state => state.unknown.size, () => MAX_UNKNOWN_CONTRIBUTIONS],
  ['contributions passed over', state => state.passedOver.size, () => MAX_PASSED_OVER],
  ['refusals', state => state.refusals.size, () => MAX_REMEMBERED_REFUSALS],
  ['envelopes that records lack', state => state.lacking.size, mayLack],
  ['bodies to fetch', state => state.toFetch.size, state => state.contributions.size],
  ['records asked for', state => state.recordsAsked.size, () => MAX_RECORDS_ASKED],
  ['peers', state => state.peers.size, () => MAX_PEERS],
  ['claims', state => state.claims.size, state => state.peers.size],
  ['silent peers', state => state.silent.size, () => MAX_PEERS],
  ['contributions of its own', state => state.own.size, () => MAX_WATCHED],
  ['records left out', state => state.leftOut.size, state => state.tree.byCid.size],
  ['incomplete records', state => state.incomplete.size, state => state.tree.byCid.size]
]

/** Which bound this memory is beyond, or null. */
export function beyondBounds(state: RoundsState): string | null {
  for (const [what, size, most] of BOUNDS) if (size(state) > most(state)) return `keeps ${size(state)} ${what}, at most ${most(state)}`
  return null
}

/** Beside what records off our chain list: a branch that grows on history which rests on its signers is computed from before it, and what that listed was forgotten. */
function mayLack({ lacking, listedOffChain, tree }: RoundsState): number {
  if (lacking.size <= listedOffChain) return listedOffChain
  let most = listedOffChain
  for (const { passed, ready, record } of tree.byCid.values()) if (passed && !ready) most += record?.contributions.length ?? 0
  return most
}

function strays({ byParent, contributions, tree }: RoundsState): number {
  // Counted only where there could be too many.
  if (contributions.size <= MAX_STRAY_CONTRIBUTIONS) return 0
  let count = 0
  for (const [parent, siblings] of byParent) if (!tree.byCid.has(parent)) count += siblings.size
  return count
}

export const SAFETY: readonly Invariant[] = [
  {
    name: 'every queue is within its bound',
    told({ index, rounds }, events, holds) {
      const beyond = beyondBounds(rounds)
      holds(beyond === null, () => `${index} ${beyond}`)
      for (const event of events) {
        if (event.type !== 'contribution' || !rounds.contributions.has(event.cid)) continue
        const { peer, parent } = event.contribution
        const { holders } = rounds.contributions.get(event.cid)!
        if (holders.size > MAX_HOLDERS) holds(false, () => `${index} remembers ${holders.size} holders of ${event.cid}`)
        let count = 0
        for (const cid of rounds.byParent.get(parent) ?? []) if (rounds.contributions.get(cid)!.contribution.peer === peer) count++
        // Those that records list come in whatever their number; a record lists one.
        const most = MAX_PER_AUTHOR_AND_PARENT + (rounds.tree.byCid.get(parent)?.children.length ?? 0)
        if (count > most) holds(false, () => `${index} keeps ${count} contributions of ${peer} to ${parent}`)
      }
    }
  },
  {
    name: 'what is found to be lost is held no more',
    told({ index, rounds }, events, holds) {
      for (const event of events) {
        if (event.type !== 'closeFailed' && event.type !== 'recordUnavailable') continue
        for (const cid of event.missing ?? []) holds(rounds.contributions.get(cid)?.held !== true, () => `${index} goes on holding ${cid}`)
      }
    }
  },
  {
    name: 'an adopted anchor is the function of its history',
    adopted(node, { cid, anchor }, holds) {
      const judged = judge(node, cid)
      holds(judged?.anchor === anchor, () => `${node.index} adopts ${cid} with ${anchor}, which is ${judged?.anchor}`)
    }
  },
  {
    name: 'nothing invalid is adopted',
    adopted(node, { cid, ancestor }, holds) {
      for (let at = judge(node, cid); at !== null && at.cid !== ancestor.cid && at.round > ancestor.round; at = at.parent) {
        const { wrong, cid: name } = at
        holds(wrong === null, () => `${node.index} adopts ${name}, which ${wrong}`)
      }
    }
  },
  {
    name: 'no contribution is accepted twice',
    adopted(node, { cid, ancestor }, holds) {
      for (let at = judge(node, cid); at !== null && at.cid !== ancestor.cid && at.round > ancestor.round; at = at.parent) {
        const { twice, cid: name } = at
        holds(twice === null, () => `${node.index} adopts ${name}, which has ${twice} again`)
      }
    }
  },
  {
    name: 'a head gives way only to a branch that is preferred',
    adopted(node, { cid, previous, ancestor, fork }, holds) {
      if (!fork) return
      const to = judge(node, cid)
      const from = judge(node, previous)
      if (to === null || from === null) return
      const { rounds, world } = node
      // It went back because something was found to be wrong with it.
      if (rounds.tree.byCid.get(previous)?.status === 'invalid') return
      const [better, worse] = [childAbove(to, ancestor.cid), childAbove(from, ancestor.cid)]
      if (better === null || worse === null) return
      const isKnown = acceptedUpTo(better.parent!, world)
      // What lies below the oldest record in memory is on the disk only.
      const gained = Math.max(weightDownTo(to, better.parent!, isKnown), heaviest(rounds, better.cid, isKnown))
      const lost = Math.max(weightDownTo(from, better.parent!, isKnown), heaviest(rounds, worse.cid, isKnown))
      const isPreferred = gained > lost || (gained === lost && isAhead(better, worse, world))
      holds(isPreferred, () => `${node.index} goes from ${previous} of weight ${lost} to ${cid} of ${gained}`)
    }
  },
  {
    name: 'a closer lists what it holds and another has had',
    closing(node, { contributions, round }, holds) {
      const { disk, rounds, world } = node
      const alone = ![...rounds.peers.values()].some(({ trains }) => trains)
      const needed = alone ? 1 : HOLDERS_NEEDED
      for (const { cid } of contributions) {
        const contribution = disk.contributions.get(cid)!
        holds(disk.bodies.has(cid) || disk.lost.has(cid), () => `${node.index} closes round ${round} with ${cid}, which it does not hold`)
        holds(flawOf(contribution) === null, () => `${node.index} closes round ${round} with ${cid}, which is ${flawOf(contribution)}`)
        let copies = 1
        for (const other of world.nodes) if (other !== node && mayHaveHad(other, cid, contribution.round)) copies++
        // Its author speaks through somebody's disk, or is gone.
        if (!world.nodes.some(({ peer }) => peer === contribution.peer)) copies++
        holds(copies >= needed, () => `${node.index} closes round ${round} with ${cid}, which nobody else ever had`)
      }
    }
  }
]

/** It has it, or had it and lost or forgot it, or says so. */
function mayHaveHad({ conduct, disk, furthest, startedAt, up, world }: SimNode, cid: string, round: number): boolean {
  if (disk.bodies.has(cid) || disk.lost.has(cid) || !up || conduct.holds !== undefined) return true
  return startedAt > world.madeAt.get(cid)! || round < furthest - (world.options.keepRounds ?? KEEP_ROUNDS)
}

/** Of two records of one round and of equal weight: whose closer is ranked, and before the other's; else the lower name. */
function isAhead(a: Judged, b: Judged, { rules }: World): boolean {
  const { recent } = a.parent!
  const timesIn = (peer: string): number => recent.filter(authors => authors.includes(peer)).length
  const most = Math.max(...recent.flat().map(timesIn))
  const placeOf = ({ closer, round }: Judged): string => `${2 * timesIn(closer) >= most ? 0 : 1}${rankOf(rules.run, round, closer)}`
  return placeOf(a) === placeOf(b) ? a.cid < b.cid : placeOf(a) < placeOf(b)
}

/** The record on the way to the tip that comes right after this ancestor. */
function childAbove(tip: Judged, ancestor: string): Judged | null {
  for (let at: Judged | null = tip; at !== null; at = at.parent) if (at.parent?.cid === ancestor) return at
  return null
}
