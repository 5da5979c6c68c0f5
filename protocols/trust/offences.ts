// What counts against a peer, and how much. Codes that are not here do not: they depend on time and place, or our own fault would explain them as well.
import { FAULT, HARM, LIE } from './constants.ts'

/**
 * Not here on purpose: `anchor_mismatch` and `bad_parent`. If our own arithmetic were wrong, everybody's records would seem so, and this node would ban the whole mesh.
 * Nor `not_admitted`: a grant ends while its holder sleeps.
 */
const POINTS: { [code: string]: number } = {
  bad_message: LIE,
  message_too_large: LIE,
  bad_signature: LIE,
  shape_mismatch: LIE,
  bad_body: LIE,
  norm_mismatch: LIE,
  bad_codec_bytes: LIE,
  wrong_codec: LIE,
  body_too_large: LIE,
  wrong_round: LIE,
  too_many_steps: LIE,
  tokens_mismatch: LIE,
  wrong_order: LIE,
  below_quorum: LIE,
  closer_unranked: LIE,
  bad_contribution: LIE,
  non_finite: FAULT,
  norm_too_large: FAULT,
  wrong_bytes: FAULT,
  duplicate_author: FAULT,
  too_many_records: FAULT,
  audit_harmful: HARM
}

/** Points of an offence; 0 for a code that is none. */
export function pointsOf(code: string): number {
  return Object.hasOwn(POINTS, code) ? POINTS[code]! : 0
}
