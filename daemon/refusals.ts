// What is told of what others do wrong, however often they do it: they must not fill the event log, and whoever asks `why` must still find most codes.
// Pure: the time is given.
import { type Allowance, Purses } from '../protocols/purses.ts'
import { REASONS, type ReasonCode } from '../protocols/rounds/reasons.ts'

/** How many are told of one code about one peer, and of all together. */
export interface RefusalsTold {
  each: Allowance
  all: Allowance
}

/** Ids cost nothing: one of a kind a minute, and a crowd pushes nothing else out of the log for two days. */
export const STRANGERS_REFUSALS: RefusalsTold = { each: { perSecond: 1 / 60, burst: 1 }, all: { perSecond: 0.1, burst: 120 } }
/** Of members each one, for `why`, as long as they are honest: one that is late in every round of ten seconds. They, too, may be any number where a run is open. */
export const MEMBERS_REFUSALS: RefusalsTold = { each: { perSecond: 0.1, burst: 20 }, all: { perSecond: 0.2, burst: 600 } }

/** Peers and codes of which is counted what goes untold. */
const MAX_COUNTED = 4_096
/** Whose purse it is that all share. */
const ALL = 'all'

/**
 * Whether others bring it about, as often as they like: whatever is told of another peer, and of names of something that nobody has. The rest is what this
 * node has to say of itself and of its rounds.
 */
export function isOthersDoing({ peer, code }: { peer?: string; code: ReasonCode }, { self }: { self: string }): boolean {
  // A record's closer need not be who showed it.
  if (code === 'too_many_records') return true
  // Nobody is named for what was only heard of: that it could not be had, or was not what it should be.
  if (peer === undefined) return code === 'fetch_timeout' || REASONS[code].content
  return peer !== self
}

export class Refusals {
  readonly #each: Purses
  readonly #all: Purses
  readonly #untold = new Map<string, number>()

  constructor({ each, all }: RefusalsTold) {
    this.#each = new Purses(each)
    this.#all = new Purses(all)
  }

  /** @returns `isFirst`: there is room for this code about this peer; `untold`: how many of the same went before it untold, null where it is only counted itself */
  note({ peer, code }: { peer: string; code: string }, nowMs: number): { isFirst: boolean; untold: number | null } {
    const kind = `${peer}/${code}`
    const isFirst = this.#each.has(kind, 1, nowMs)
    const isTold = isFirst && this.#all.has(ALL, 1, nowMs)
    if (isFirst) this.#each.pay(kind, 1, nowMs)
    if (isTold) this.#all.pay(ALL, 1, nowMs)
    const untold = this.#untold.get(kind) ?? 0
    this.#untold.delete(kind)
    if (!isTold) this.#count(kind, untold + 1)
    return { isFirst, untold: isTold ? untold : null }
  }

  #count(kind: string, untold: number): void {
    if (this.#untold.size >= MAX_COUNTED) this.#untold.delete(this.#untold.keys().next().value!)
    this.#untold.set(kind, untold)
  }
}
