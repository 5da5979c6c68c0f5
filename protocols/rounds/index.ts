// Rounds: how nodes that trust nobody agree which contributions make the next anchor. ROUND BY ROUND: every author signs a contribution and holds
// its bytes ready; one of the ranked authors closes the round with a signed record of what was held by two; everybody computes the anchor that the record
// names and moves on. Two records for one parent resolve to one everywhere, by a pure choice. The rules here are pure: (state, event, now) -> state and
// commands, with no socket, clock, randomness or await. The same code runs in the daemon and, hundreds of times over, in test/simulation.
export { acceptedBefore, electorateOf, hasAccepted, isAuthor } from './acceptance.ts'
export type { Trunk } from './chain/record-tree.ts'
export { FORK_WINDOW_ROUNDS, MAX_LISTED_OFF_CHAIN, MAX_RECORDS_OFF_CHAIN, RECENT_ROUNDS } from './constants.ts'
export type { Fate, InvitationRules, Part, RoundCommand, RoundEvent, RunRules } from './events.ts'
export {
  type Contribution,
  decodeContribution,
  decodeRecord,
  encodeContribution,
  encodeRecord,
  openContribution,
  openRecord,
  type RoundRecord,
  signContribution,
  signRecord
} from './messages.ts'
export { advancePace, createPace, type PaceCommand, type PaceEvent, type PaceRules, type PaceStart, type PaceState } from './pace.ts'
export { closerOf } from './proposing.ts'
export { isReasonCode, REASONS, type ReasonCode } from './reasons.ts'
export { advance, createRounds, type RoundsStart, type RoundsView, reopenRounds, viewOf } from './rules.ts'
export { isTooOld, neededBy, type RoundsState, remembers, targetRound } from './state.ts'
export { holdingToTell, isNews, type RoundGossip } from './telling.ts'
