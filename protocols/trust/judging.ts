// Whom this node trusts: (state, event, now) -> state and commands, with no socket, disk or clock. The state is changed in place.
// What a peer does to us is worth points, which fade; enough of them are probation, more a ban. Others' opinions are worth probation at most, and only where
// enough of those say so whom the history had accepted before: a crowd of new identities has no voice, and a clique of old ones cannot ban.
import {
  ACCUSERS_LEAST,
  ACCUSERS_SHARE,
  BAN_AT,
  BAN_FACTOR,
  BAN_FIRST_MS,
  BAN_MAX_MS,
  BANS_FORGOTTEN_MS,
  GOOD_BELOW,
  HALF_LIFE_MS,
  MAX_ACCUSED,
  MAX_ACCUSERS,
  MAX_JUDGED,
  MAX_MARKS,
  MAX_OPINIONS_PER_AUTHOR,
  MAX_SAID,
  MAX_STRANGERS,
  OPINION_NEWS_MS,
  OPINION_REPEAT_MS,
  OPINION_ROUNDS,
  OPINION_VALID_MS,
  POINTS_AFTER_BAN,
  PROBATION_AT
} from './constants.ts'
import { pointsOf } from './offences.ts'

export type Standing = 'good' | 'probation' | 'banned'

/** One thing that counted against a peer. */
export interface Mark {
  /** Unix ms. */
  at: number
  code: string
  points: number
  /** CID, or what else tells which. */
  subject: string | null
}

/** What this node makes of one peer: a row on its disk. */
export interface Judged {
  peer: string
  /** Worth `points` at `at` (Unix ms); they halve every HALF_LIFE_MS. */
  points: number
  at: number
  /** The part of `points` that audits gave: texts differ, so it bans nobody. */
  audited: number
  /** True where a run's history had accepted it: others are strangers, who are judged in a bounded part of their own and never spoken of. */
  accepted: boolean
  standing: Standing
  /** Code or operator's words for which it is not good. */
  reason: string | null
  /** Unix ms until which a ban lasts; null: for ever, or no ban. Probation lasts as long as its cause. */
  until: number | null
  /** True where the operator said so: then nothing but the operator or `until` changes it. */
  byOperator: boolean
  /** Bans by this node itself, and when the last one began. */
  bans: number
  bannedAt: number | null
  /** Oldest first. */
  marks: Mark[]
  /** Where it was last seen offending: what this node tells others. Null: nothing that they could judge. */
  seen: { run: string; round: number; code: string } | null
  saidAt: number | null
}

/** Somebody's word about a peer. */
export interface Accusation {
  author: string
  run: string
  round: number
  code: string
  /** How many authors it is weighed against. */
  electorate: number
  /** Unix ms when it came. */
  at: number
}

export interface TrustState {
  self: string
  judged: Map<string, Judged>
  /** Those of `judged` whom no history had accepted. */
  strangers: Set<string>
  /** By accused, then by author. */
  accused: Map<string, Map<string, Accusation>>
  /** Unix ms when an author's word about this node was last passed on, by author and code. */
  accusedOurselves: Map<string, { author: string; at: number }>
  /** Unix ms of what this node said, oldest first. */
  said: number[]
  /** Unix ms of the first event; null before. */
  startedAt: number | null
}

export type TrustEvent =
  /** This node saw it. `run` and `round` where it belongs to a round. `accepted`: the history of that run, or of any where there is none, had accepted the peer. */
  | { type: 'offence'; peer: string; code: string; subject?: string; run?: string; round?: number; accepted: boolean }
  /**
   * An opinion whose signature was verified. `aboutAccepted`: a history has accepted by now whom it is about; `electorate`: how many authors it is weighed against,
   * null where its author has no voice.
   */
  | {
      type: 'opinion'
      author: string
      about: string
      code: string
      run: string
      round: number
      aboutAccepted: boolean
      electorate: number | null
    }
  /** `untilMs`: Unix; null for ever. */
  | { type: 'ban'; peer: string; reason: string; until: number | null }
  | { type: 'unban'; peer: string }
  /** Time passes; once a minute will do. `heads`: the rounds of the heads of the runs that this node is in. */
  | { type: 'tick'; heads: ReadonlyMap<string, number> }

export type TrustCommand =
  | { type: 'keep'; row: Judged }
  | { type: 'forget'; peer: string }
  | { type: 'standing'; peer: string; standing: Standing; was: Standing; code: string; reason: string; until: number | null }
  /** Tell the run's others what this node saw. */
  | { type: 'say'; about: string; run: string; round: number; code: string }
  /** Others have an opinion about this node. */
  | { type: 'accusedOurselves'; author: string; code: string; run: string; round: number }

export function createTrust(self: string, rows: Judged[]): TrustState {
  const strangers = new Set(rows.filter(row => !row.accepted).map(({ peer }) => peer))
  return {
    self,
    judged: new Map(rows.map(row => [row.peer, row])),
    strangers,
    accused: new Map(),
    accusedOurselves: new Map(),
    said: [],
    startedAt: null
  }
}

export function standingOf(state: TrustState, peer: string): Standing {
  return state.judged.get(peer)?.standing ?? 'good'
}

/** What the points of a peer are worth at `now`. */
export function pointsNow({ points, at }: Pick<Judged, 'points' | 'at'>, now: number): number {
  return points * 0.5 ** (Math.max(0, now - at) / HALF_LIFE_MS)
}

function auditedNow({ audited, at }: Judged, now: number): number {
  return pointsNow({ points: audited ?? 0, at }, now)
}

/** Opinions about a peer that count now. */
export function opinionsAbout(state: TrustState, peer: string, now: number): Accusation[] {
  return [...(state.accused.get(peer)?.values() ?? [])].filter(({ at }) => now - at < OPINION_VALID_MS)
}

/**
 * @param now Unix ms: it outlives restarts; a clock that is set back only makes points fade and bans end later
 * @returns `counted`: false for an opinion that changed nothing here
 */
export function judge(
  state: TrustState,
  event: TrustEvent,
  now: number
): { state: TrustState; commands: TrustCommand[]; counted: boolean } {
  const out: TrustCommand[] = []
  let counted = true
  state.startedAt ??= now
  switch (event.type) {
    case 'offence':
      takeOffence(state, event, now, out)
      break
    case 'opinion':
      counted = takeOpinion(state, event, now, out)
      break
    case 'ban':
    case 'unban':
      takeWord(state, event, now, out)
      break
    case 'tick':
      takeTick(state, event.heads, now, out)
      break
    default:
      event satisfies never
  }
  return { state, commands: out, counted }
}

function takeOffence(state: TrustState, event: Extract<TrustEvent, { type: 'offence' }>, now: number, out: TrustCommand[]): void {
  const { peer, code, subject, run, round, accepted } = event
  const worth = pointsOf(code)
  if (worth === 0 || peer === state.self) return
  const row = rowOf(state, { peer, accepted }, now, out)
  // Once for each thing: many tell us of the same one.
  if (subject !== undefined && row.marks.some(mark => mark.code === code && mark.subject === subject)) return
  row.audited = auditedNow(row, now) + (code === 'audit_harmful' ? worth : 0)
  row.points = pointsNow(row, now) + worth
  row.at = now
  row.marks = [...row.marks, { at: now, code, points: worth, subject: subject ?? null }].slice(-MAX_MARKS)
  const isOfRound = accepted && run !== undefined && round !== undefined
  if (isOfRound) row.seen = { run, round, code }
  settle(row, code, now, out, row.reason === 'opinions')
  // What it did long ago is no news where it did something else now.
  if (isOfRound) sayIfDue(state, row, now, out)
  out.push({ type: 'keep', row })
}

/** Probation while points or enough opinions say so; a ban by points alone. The operator's word stands above both. */
function settle(row: Judged, code: string, now: number, out: TrustCommand[], isOpined: boolean): void {
  if (row.byOperator) return
  if (row.standing === 'banned') {
    if (row.until === null || now < row.until) return
    row.points = POINTS_AFTER_BAN
    row.audited = 0
    row.at = now
    become(row, 'probation', 'ban_ended', null, out)
    return
  }
  const points = pointsNow(row, now)
  if (points - auditedNow(row, now) >= BAN_AT) {
    row.bans = row.bannedAt !== null && now - row.bannedAt < BANS_FORGOTTEN_MS ? row.bans + 1 : 1
    row.bannedAt = now
    become(row, 'banned', code, now + Math.min(BAN_MAX_MS, BAN_FIRST_MS * BAN_FACTOR ** (row.bans - 1)), out)
    return
  }
  const isByOpinions = row.reason === 'opinions'
  const byPoints = points >= (row.standing === 'probation' && !isByOpinions ? GOOD_BELOW : PROBATION_AT)
  if (byPoints || isOpined) {
    if (row.standing !== 'probation') become(row, 'probation', byPoints ? code : 'opinions', null, out)
    // Now this node has seen enough itself: it says so, and holds to it when others do not any more.
    else if (byPoints && isByOpinions) row.reason = code
  } else if (row.standing === 'probation') become(row, 'good', isByOpinions ? 'opinions_faded' : 'points_faded', null, out)
}

/** @returns whether it counted: what is too much, and what is no news, does not */
function takeOpinion(state: TrustState, event: Extract<TrustEvent, { type: 'opinion' }>, now: number, out: TrustCommand[]): boolean {
  const { author, about, code, run, round, aboutAccepted, electorate } = event
  if (electorate === null || author === about || author === state.self || standingOf(state, author) !== 'good') return false
  // Anybody may make a run and be its authors: they judge nobody who was never of it.
  if (!aboutAccepted && about !== state.self) return false
  forgetOld(state, now)
  if (about === state.self) {
    if (!isNewOfUs(state, author, code, now)) return false
    out.push({ type: 'accusedOurselves', author, code, run, round })
    return true
  }
  let accusers = state.accused.get(about)
  const last = accusers?.get(author)
  if (last !== undefined && now - last.at < OPINION_NEWS_MS) return false
  if (!accusers?.has(author)) {
    let ofAuthor = 0
    for (const others of state.accused.values()) if (others.has(author)) ofAuthor++
    if (ofAuthor >= MAX_OPINIONS_PER_AUTHOR || (accusers?.size ?? 0) >= MAX_ACCUSERS) return false
    if (accusers === undefined && state.accused.size >= MAX_ACCUSED) return false
  }
  accusers ??= new Map()
  state.accused.set(about, accusers)
  accusers.set(author, { author, run, round, code, electorate, at: now })
  if (!isEnough(accusers, run)) return true
  const row = rowOf(state, { peer: about, accepted: aboutAccepted }, now, out)
  settle(row, code, now, out, true)
  out.push({ type: 'keep', row })
  return true
}

/** Once an author and code in a while: codes are anybody's words, so one author has only so many. */
function isNewOfUs({ accusedOurselves }: TrustState, author: string, code: string, now: number): boolean {
  const key = `${author}/${code}`
  if (accusedOurselves.has(key) || accusedOurselves.size >= MAX_ACCUSED) return false
  let ofAuthor = 0
  for (const told of accusedOurselves.values()) if (told.author === author) ofAuthor++
  if (ofAuthor >= MAX_OPINIONS_PER_AUTHOR) return false
  accusedOurselves.set(key, { author, at: now })
  return true
}

/** Whether some of the accusers of one run are enough against as many authors as any of these was weighed against: who names a round of many raises nobody else's bar. */
function isEnough(accusers: ReadonlyMap<string, Accusation>, run: string): boolean {
  const electorates = [...accusers.values()]
    .flatMap(accusation => (accusation.run === run ? [accusation.electorate] : []))
    .sort((a, b) => a - b)
  return electorates.some((electorate, at) => at + 1 >= Math.max(ACCUSERS_LEAST, Math.ceil(electorate * ACCUSERS_SHARE)))
}

function isStillSaid({ accused }: TrustState, peer: string): boolean {
  const accusers = accused.get(peer) ?? new Map<string, Accusation>()
  return [...accusers.values()].some(({ run }) => isEnough(accusers, run))
}

function takeWord(state: TrustState, event: Extract<TrustEvent, { type: 'ban' | 'unban' }>, now: number, out: TrustCommand[]): void {
  const { peer } = event
  if (peer === state.self) return
  const row = rowOf(state, { peer, accepted: false }, now, out)
  if (event.type === 'ban') {
    row.byOperator = true
    become(row, 'banned', event.reason, event.until, out)
  } else {
    // A clean sheet: the operator knows what was wrong.
    Object.assign(row, { byOperator: false, points: 0, audited: 0, at: now, bans: 0, bannedAt: null, seen: null })
    state.accused.delete(peer)
    become(row, 'good', 'unbanned', null, out)
  }
  out.push({ type: 'keep', row })
}

/** More rounds than any run has. */
const NEVER = Number.MAX_SAFE_INTEGER

function takeTick(state: TrustState, heads: ReadonlyMap<string, number>, now: number, out: TrustCommand[]): void {
  forgetOld(state, now)
  /** Rounds since a peer was last seen offending. */
  const ageOf = ({ seen }: Judged): number => (seen === null ? NEVER : (heads.get(seen.run) ?? NEVER) - seen.round)
  // The freshest first: they are what others have not heard, and all cannot be said.
  for (const row of [...state.judged.values()].sort((a, b) => ageOf(a) - ageOf(b))) {
    const before = row.standing
    if (row.byOperator && row.until !== null && now >= row.until) {
      Object.assign(row, { byOperator: false, points: 0, audited: 0, at: now })
      become(row, 'good', 'ban_ended', null, out)
    }
    // Opinions keep whom they put on probation there as long as they are enough. Those of before a restart are not known, and come again if they still hold.
    const isHeld = now - state.startedAt! < OPINION_VALID_MS || isStillSaid(state, row.peer)
    settle(row, row.reason ?? 'tick', now, out, row.reason === 'opinions' && isHeld)
    const saidAt = row.saidAt
    // What is further back counts nowhere, nor does what is of no round yet.
    if (ageOf(row) >= -1 && ageOf(row) <= OPINION_ROUNDS) sayIfDue(state, row, now, out)
    if (row.standing === 'good' && pointsNow(row, now) < 1) {
      state.judged.delete(row.peer)
      state.strangers.delete(row.peer)
      out.push({ type: 'forget', peer: row.peer })
    } else if (row.standing !== before || row.saidAt !== saidAt) out.push({ type: 'keep', row })
  }
}

/**
 * What this node saw itself, said while it does not trust the peer: never what it only heard, and only of whom the run had accepted. A stranger's ids would
 * otherwise have this node say so much that its neighbours drop what else it says.
 */
function sayIfDue({ said }: TrustState, row: Judged, now: number, out: TrustCommand[]): void {
  if (row.seen === null || row.standing === 'good' || row.reason === 'opinions') return
  if (row.saidAt !== null && now - row.saidAt < OPINION_REPEAT_MS) return
  while (said.length > 0 && now - said[0]! >= OPINION_REPEAT_MS) said.shift()
  if (said.length >= MAX_SAID) return
  said.push(now)
  row.saidAt = now
  out.push({ type: 'say', about: row.peer, ...row.seen })
}

function become(row: Judged, standing: Standing, reason: string, until: number | null, out: TrustCommand[]): void {
  const was = row.standing
  row.standing = standing
  row.reason = standing === 'good' ? null : reason
  row.until = until
  out.push({ type: 'standing', peer: row.peer, standing, was, code: CODES[standing], reason, until })
}

const CODES = { good: 'peer_good', probation: 'peer_probation', banned: 'peer_banned' } as const

function rowOf(state: TrustState, { peer, accepted }: { peer: string; accepted: boolean }, now: number, out: TrustCommand[]): Judged {
  const known = state.judged.get(peer)
  if (known !== undefined) {
    known.accepted ||= accepted
    if (accepted) state.strangers.delete(peer)
    return known
  }
  makeRoom(state, accepted, now, out)
  const row: Judged = {
    ...{ peer, points: 0, audited: 0, at: now, accepted, standing: 'good', reason: null, until: null, byOperator: false },
    ...{ bans: 0, bannedAt: null, marks: [], seen: null, saidAt: null }
  }
  state.judged.set(peer, row)
  if (!accepted) state.strangers.add(peer)
  return row
}

/** Whom to forget first: the fewest points, the banned last, never whom the operator spoke of. */
function leastOf(judged: Map<string, Judged>, peers: Iterable<string>, now: number): Judged | null {
  let least: Judged | null = null
  let leastWorth = Number.POSITIVE_INFINITY
  for (const peer of peers) {
    const row = judged.get(peer)!
    const worth = pointsNow(row, now) + (row.standing === 'banned' ? BAN_AT : 0)
    if (row.byOperator || worth >= leastWorth) continue
    least = row
    leastWorth = worth
  }
  return least
}

/** Forgets the least of the strangers, and somebody whom a history had accepted only where there is no stranger. */
function makeRoom({ judged, strangers }: TrustState, accepted: boolean, now: number, out: TrustCommand[]): void {
  if (judged.size < MAX_JUDGED && (accepted || strangers.size < MAX_STRANGERS)) return
  const least = leastOf(judged, strangers, now) ?? (accepted ? leastOf(judged, judged.keys(), now) : null)
  if (least === null) return
  judged.delete(least.peer)
  strangers.delete(least.peer)
  // Who is forgotten is not judged any more, and its connections are not refused.
  if (least.standing !== 'good') become(least, 'good', 'forgotten', null, out)
  out.push({ type: 'forget', peer: least.peer })
}

function forgetOld(state: TrustState, now: number): void {
  for (const [key, { at }] of state.accusedOurselves) if (now - at >= OPINION_REPEAT_MS) state.accusedOurselves.delete(key)
  for (const [about, accusers] of state.accused) {
    for (const [author, { at }] of accusers) if (now - at >= OPINION_VALID_MS) accusers.delete(author)
    if (accusers.size === 0) state.accused.delete(about)
  }
}
