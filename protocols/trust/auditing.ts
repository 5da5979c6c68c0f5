// Which contributions a node looks at for itself, and what it makes of what it finds.
import { createHash } from 'node:crypto'
import { AUDIT_MARGIN } from './constants.ts'
import type { Standing } from './judging.ts'

export type Verdict = 'fine' | 'harmful'

/**
 * A fraction of all, drawn so that no author can know beforehand, and all of those who are on probation.
 *
 * @param salt known to this node alone
 */
export function isAudited(
  { cid, standing }: { cid: string; standing: Standing },
  { fraction, salt }: { fraction: number; salt: string }
): boolean {
  if (fraction <= 0) return false
  if (standing !== 'good') return true
  return createHash('sha256').update(`${salt}/${cid}`).digest().readUInt32BE(0) < fraction * 2 ** 32
}

/** @param before loss of the anchor that it was made from, nats a token; `after`: with its change alone */
export function verdictOf({ before, after }: { before: number; after: number }): Verdict {
  return Number.isFinite(after) && after <= before * (1 + AUDIT_MARGIN) ? 'fine' : 'harmful'
}
