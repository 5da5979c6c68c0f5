// Who closes a round, and what a closer counts.
import { createHash } from 'node:crypto'
import { HOLDERS_NEEDED, MAX_CONTRIBUTIONS_PER_RECORD, MAX_REMEMBERED_RANKS, REMEMBERED_RANK_ROUNDS } from './constants.ts'
import type { Part } from './events.ts'

/**
 * Decides a node's rank in a round: nobody can choose it by leaving others out. Hex text; the lowest is first.
 * It is known beforehand: what is not could be chosen in every run by whoever gives or closes last, this only by minting ids, which are ranked behind all members.
 */
export function rankHash(run: string, round: number, peer: string): string {
  const ranks = ranksOf(run, round)
  let hash = ranks.get(peer)
  if (hash === undefined) {
    hash = createHash('sha256').update(`${run}/${round}/${peer}`).digest('hex')
    if (ranks.size < MAX_REMEMBERED_RANKS) ranks.set(peer, hash)
  }
  return hash
}

/** Hashes of the rounds asked for last: the order is asked for again and again, and hashing costs more than all else about it. */
const remembered: { run: string; round: number; ranks: Map<string, string> }[] = []

function ranksOf(run: string, round: number): Map<string, string> {
  for (const each of remembered) if (each.round === round && each.run === run) return each.ranks
  if (remembered.length >= REMEMBERED_RANK_ROUNDS) remembered.pop()
  const ranks = new Map<string, string>()
  remembered.unshift({ run, round, ranks })
  return ranks
}

/** The order in which nodes may close a round: the members after the record before it by hash, behind them the others that may, by the same hash. */
export function closingOrder(run: string, round: number, members: ReadonlySet<string>, others: readonly string[]): string[] {
  const rest = new Set(others.filter(peer => !members.has(peer)))
  return [...byHash(run, round, members), ...byHash(run, round, rest)]
}

/** Negative when `a` is the better-ranked closer. `members` are those after the record before the round: of a new id in every round none is one. */
export function compareClosers(run: string, round: number, members: ReadonlySet<string>, a: string, b: string): number {
  if (a === b) return 0
  const behind = Number(!members.has(a)) - Number(!members.has(b))
  if (behind !== 0) return behind
  return rankHash(run, round, a) < rankHash(run, round, b) ? -1 : 1
}

/**
 * How many nodes a node lets go first: the live ones ahead of it. The dead cost nothing; who does not train, or is no member, lets all live members that train go first, because they expect it.
 *
 * @param order from `closingOrder`
 * @param live those ahead who would close: null when a peer is not live (or has had its turn), else whether it is a member that trains
 */
export function turnsBefore(
  order: readonly string[],
  self: string,
  selfFirst: boolean | null,
  live: (peer: string) => boolean | null
): number {
  const own = order.indexOf(self)
  let before = 0
  for (const [at, peer] of order.entries()) {
    if (peer === self) continue
    const first = live(peer)
    if (first === null) continue
    if (first === selfFirst ? at < own : first) before++
  }
  return before
}

/** Live copies that a contribution needs before it counts: two in all, or as many as there are live members. */
export function holdersNeeded(liveMembers: number): number {
  return Math.max(1, Math.min(HOLDERS_NEEDED, liveMembers))
}

/** The list of a record: at most one contribution for each author and round (the lower CID), in the order in which they are summed, bounded; authors accepted before go first when it is full. */
export function listFor(parts: readonly Part[], isKnown: (peer: string) => boolean): Part[] {
  const chosen = new Map<string, Part>()
  for (const part of parts) {
    const place = `${part.peer}/${part.age}`
    const other = chosen.get(place)
    if (other === undefined || part.cid < other.cid) chosen.set(place, part)
  }
  let list = [...chosen.values()]
  if (list.length > MAX_CONTRIBUTIONS_PER_RECORD) {
    const behind = new Map(list.map(({ peer }) => [peer, isKnown(peer) ? 0 : 1]))
    list = list.sort((a, b) => behind.get(a.peer)! - behind.get(b.peer)! || compareParts(a, b)).slice(0, MAX_CONTRIBUTIONS_PER_RECORD)
  }
  return list.sort(compareParts)
}

/** The order of summation: by author, then by round (the older contribution first). */
export function compareParts(a: Part, b: Part): number {
  if (a.peer !== b.peer) return a.peer < b.peer ? -1 : 1
  return b.age - a.age
}

export function distinctAuthors(parts: readonly Part[]): number {
  return new Set(parts.map(part => part.peer)).size
}

function byHash(run: string, round: number, peers: Iterable<string>): string[] {
  return [...peers]
    .map(peer => ({ peer, hash: rankHash(run, round, peer) }))
    .sort((a, b) => (a.hash < b.hash ? -1 : 1))
    .map(({ peer }) => peer)
}
