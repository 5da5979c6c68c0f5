// Trust: what a node makes of the others, for itself alone. Whoever sends what is wrong by content collects points, which fade; enough are PROBATION (watched,
// audited where audits are on, waited for never), more are a BAN (no connection, no fetching ahead, not counted when we close). Nothing of it touches what is
// valid: a record that includes somebody whom we banned is as good as before, so agreement never depends on who trusts whom. What a node saw it also says, as a
// signed OPINION; others' opinions put a peer on probation at most, and only where enough long-accepted authors hold them.
export { isAudited, type Verdict, verdictOf } from './auditing.ts'
export { OPINION_ROUNDS } from './constants.ts'
export {
  type Accusation,
  createTrust,
  type Judged,
  judge,
  opinionsAbout,
  pointsNow,
  type Standing,
  standingOf,
  type TrustCommand,
  type TrustEvent,
  type TrustState
} from './judging.ts'
export { type Opinion, openOpinion, signOpinion } from './messages.ts'
export { pointsOf } from './offences.ts'
export { OpinionsGossip } from './service.ts'
