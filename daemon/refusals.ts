// What is told of refusals that cost their sender nothing, however many there are: they must not fill the event log, and whoever asks `why` must still find most codes.
// The rule is pure: (state, refusal, now) -> whether to tell it, and of how many that were not.
import { REASONS, type ReasonCode } from '../protocols/rounds/reasons.ts'

/** Milliseconds between two events of one code about one peer; what comes between is counted. */
export const SAME_REFUSAL_MS = 60_000
/** Events of refusals a minute, all peers together: ids cost nothing. */
export const REFUSALS_PER_MINUTE = 120
/** Peers and codes that are counted at once. */
const MAX_COUNTED = 4_096

export interface Refusals {
  counted: Map<string, { toldAtMs: number; since: number }>
  /** When those of the last minute were told. */
  told: number[]
}

/**
 * Whether there may be any number of these: identities cost nothing until a run accepts them, whether what they send is a lie or only late, and a name
 * of something that nobody has costs nothing either. What an accepted member did is told each time, for whoever asks why.
 */
export function isCheap(
  { peer, code }: { peer?: string; code: ReasonCode },
  { self, isAccepted }: { self: string; isAccepted(peer: string): boolean }
): boolean {
  // A record's closer need not be who showed it.
  if (code === 'too_many_records') return true
  // Nobody is named for what was only heard of: that it could not be had, or was not what it should be.
  if (peer === undefined) return code === 'fetch_timeout' || REASONS[code].content
  return peer !== self && !isAccepted(peer)
}

export function createRefusals(): Refusals {
  return { counted: new Map(), told: [] }
}

/** @returns null where it is only counted; else how many of the same went before it untold */
export function noteRefusal(state: Refusals, { peer, code }: { peer: string; code: string }, nowMs: number): { untold: number } | null {
  const key = `${peer}/${code}`
  const known = state.counted.get(key)
  const entry = known ?? { toldAtMs: Number.NEGATIVE_INFINITY, since: 0 }
  if (nowMs - entry.toldAtMs < SAME_REFUSAL_MS) {
    entry.since += 1
    return null
  }
  while (state.told.length > 0 && nowMs - state.told[0]! >= 60_000) state.told.shift()
  if (state.told.length >= REFUSALS_PER_MINUTE) {
    entry.since += 1
    keep(state, key, entry)
    return null
  }
  state.told.push(nowMs)
  keep(state, key, { toldAtMs: nowMs, since: 0 })
  return { untold: entry.since }
}

function keep(state: Refusals, key: string, entry: { toldAtMs: number; since: number }): void {
  state.counted.delete(key)
  if (state.counted.size >= MAX_COUNTED) state.counted.delete(state.counted.keys().next().value!)
  state.counted.set(key, entry)
}
