// What a node can tell of its rounds when asked: what held one up and who was silent, how much of the mesh's work is its own, and what was accepted last.
import type { ContributionShare, RunStatus } from '../../protocols/control/messages.ts'
import type { ReasonCode } from '../../protocols/rounds/index.ts'
import type { KeptRound } from './ledger.ts'

/** Rounds over which shares are counted: some minutes of work, so that a node sees soon that it does not count any more. */
export const SHARE_ROUNDS = 20
/** Rounds of which is remembered what held them up: those that can still be adopted, and some that peers claim. */
const MAX_ROUNDS = 16
/** Causes told of one round. */
const MAX_CAUSES = 32

/** Reasons that make a round take longer. */
const HOLDS_UP: Partial<Record<ReasonCode, string>> = {
  peer_silent: 'gave nothing by the deadline',
  waiting_for_quorum: 'too few contributors were in sight',
  fetch_timeout: 'a contribution could not be had in time',
  record_unavailable: 'a record could not be had in time',
  close_failed: 'closing it failed here',
  disk_full: 'the disk was full',
  gap_in_timers: 'this node was stopped or asleep'
}

export interface Cause {
  code: ReasonCode
  peer: string | null
}

/** Collects, while a round is open, what would hold it up. */
export class HeldUp {
  readonly #causes = new Map<number, Cause[]>()

  note(round: number, code: ReasonCode, peer: string | undefined): void {
    if (HOLDS_UP[code] === undefined) return
    const causes = this.#causes.get(round) ?? []
    if (causes.length >= MAX_CAUSES || causes.some(cause => cause.code === code && cause.peer === (peer ?? null))) return
    this.#causes.set(round, [...causes, { code, peer: peer ?? null }])
    // The round that nobody has come to yet goes first: peers may claim any.
    if (this.#causes.size > MAX_ROUNDS) this.#causes.delete(Math.max(...this.#causes.keys()))
  }

  /** What was noted of a round that is adopted now; it and those before it are forgotten. */
  take(round: number): Cause[] {
    const causes = this.#causes.get(round) ?? []
    for (const at of this.#causes.keys()) if (at <= round) this.#causes.delete(at)
    return causes
  }
}

/** One sentence for a round that took longer than its deadline. */
export function slowSentence(round: number, seconds: number, deadlineMs: number, causes: readonly Cause[]): string {
  const silent = causes.flatMap(({ code, peer }) => (code === 'peer_silent' && peer !== null ? [peer] : []))
  const others = causes
    .filter(({ code }) => code !== 'peer_silent')
    .map(({ code, peer }) => `${HOLDS_UP[code]}${peer === null ? '' : ` (${peer})`}`)
  const why = [...(silent.length === 0 ? [] : [`${silent.join(', ')} ${HOLDS_UP.peer_silent}`]), ...new Set(others)]
  const reason = why.length === 0 ? 'nothing that this node saw held it up; its closer may have been slow' : why.join('; ')
  return `round ${round} took ${seconds} s, more than its deadline of ${deadlineMs / 1000} s: ${reason}`
}

/** @param rounds adopted ones, newest first */
export function shareOf(rounds: readonly KeptRound[], peer: string): ContributionShare {
  const parts = rounds.flatMap(({ contributors }) => contributors)
  const sum = (of: typeof parts) => of.reduce((tokens, part) => tokens + part.tokens, 0)
  const allTokens = sum(parts)
  const ownTokens = sum(parts.filter(part => part.peer === peer))
  return { rounds: rounds.length, ownTokens, allTokens, share: allTokens === 0 ? null : ownTokens / allTokens }
}

/** The newest of these rounds that took something of this node's, newest first. */
export function lastAcceptedIn(rounds: readonly KeptRound[], peer: string): RunStatus['lastAccepted'] {
  for (const { round, adoptedAt, contributors } of rounds) {
    const tokens = contributors.filter(part => part.peer === peer).reduce((sum, part) => sum + part.tokens, 0)
    if (contributors.some(part => part.peer === peer)) return { round, tokens, at: adoptedAt }
  }
  return null
}
