// What is told of refusals that cost their sender nothing, however many there are: they must not fill the event log, and whoever asks `why` must still find most codes.
// The rule is pure: (state, refusal, now) -> whether it is the first of its kind, whether to tell it, and of how many that were not.
import { REASONS, type ReasonCode } from '../protocols/rounds/reasons.ts'

/** Milliseconds between two events of one code about one peer; what comes between is counted. */
export const SAME_REFUSAL_MS = 60_000
/** Events of refusals a minute, all peers together: ids cost nothing. */
export const REFUSALS_PER_MINUTE = 120
/** Peers and codes that are counted at once. */
const MAX_COUNTED = 4_096

export interface Refusals {
  counted: Map<string, { notedAtMs: number; untold: number }>
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

/** @returns `isFirst`: of this code about this peer for a while; `untold`: how many of the same went before it untold, null where it is only counted itself */
export function noteRefusal(
  state: Refusals,
  { peer, code }: { peer: string; code: string },
  nowMs: number
): { isFirst: boolean; untold: number | null } {
  const key = `${peer}/${code}`
  const { notedAtMs, untold } = state.counted.get(key) ?? { notedAtMs: Number.NEGATIVE_INFINITY, untold: 0 }
  const isFirst = nowMs - notedAtMs >= SAME_REFUSAL_MS
  while (state.told.length > 0 && nowMs - state.told[0]! >= 60_000) state.told.shift()
  const isTold = isFirst && state.told.length < REFUSALS_PER_MINUTE
  if (isTold) state.told.push(nowMs)
  keep(state, key, { notedAtMs: isFirst ? nowMs : notedAtMs, untold: isTold ? 0 : untold + 1 })
  return { isFirst, untold: isTold ? untold : null }
}

function keep(state: Refusals, key: string, entry: { notedAtMs: number; untold: number }): void {
  state.counted.delete(key)
  if (state.counted.size >= MAX_COUNTED) state.counted.delete(state.counted.keys().next().value!)
  state.counted.set(key, entry)
}
