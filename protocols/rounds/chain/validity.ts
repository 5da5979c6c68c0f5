// Validity by content alone: given a record, its parent and its contributions, no clock, presence or arrival order plays a part. The anchor is compared by whoever computes it.
import { compareParts, distinctAuthors } from '../closing.ts'
import type { Part, RunRules } from '../events.ts'
import type { Contribution, RoundRecord } from '../messages.ts'
import type { ReasonCode } from '../reasons.ts'
import { recentAuthors, type TreeRecord } from './record-tree.ts'

export type RecordCheck = { missing: string[] } | { reason: ReasonCode } | { parts: Part[] }

/** What a record may see of a contribution: unknown, refused by content, or its signed facts. */
export type LookUp = (cid: string) => undefined | { refused: ReasonCode } | { contribution: Contribution }

/** May this peer take part, as far as its name alone can tell? In a run by invitation that is said by what it contributes: a record's closer is an author. */
export function isAdmitted({ admission }: RunRules, peer: string): boolean {
  return !Array.isArray(admission) || admission.includes(peer)
}

/** By content alone: the grant that a contribution carries is compared with its own round, never with a clock. Its signature was verified when the contribution was opened. */
function mayContribute(rules: RunRules, { peer, round, grant }: Contribution): boolean {
  const { admission, genesisPeers, run } = rules
  if (admission === 'open' || Array.isArray(admission)) return isAdmitted(rules, peer)
  const { inviters, grantRounds } = admission
  if (inviters.includes(peer) || genesisPeers.includes(peer)) return true
  if (grant === undefined || grant.run !== run || grant.peer !== peer || !inviters.includes(grant.inviter)) return false
  return round <= grant.untilRound && grant.untilRound - round <= grantRounds
}

/** What is wrong with a contribution by its facts alone. */
export function checkContribution(rules: RunRules, contribution: Contribution): ReasonCode | null {
  if (contribution.run !== rules.run) return 'wrong_run'
  if (!mayContribute(rules, contribution)) return 'not_admitted'
  if ((contribution.round === 1) !== (contribution.parent === rules.run)) return 'wrong_round'
  return checkClaim(rules, contribution)
}

/** Tokens are weight: whoever trained says no more of them than its steps had. */
function checkClaim({ tokensPerStep, maxSteps }: RunRules, { tokens, steps }: Contribution): ReasonCode | null {
  if (maxSteps !== undefined && steps > maxSteps) return 'too_many_steps'
  if (tokensPerStep !== undefined && tokens !== steps * tokensPerStep) return 'tokens_mismatch'
  return null
}

/** How old a contribution is in the round after `parent`: 0 when made from it, 1 when made from its own parent for the round that it closed; null when it has no place there. */
export function ageAfter(parent: TreeRecord, contribution: Contribution): 0 | 1 | null {
  if (contribution.parent === parent.cid && contribution.round === parent.round + 1) return 0
  if (parent.round > 0 && contribution.parent === parent.parentCid && contribution.round === parent.round) {
    // Already accepted there, this one or another of the same author for the same round.
    return parent.parts.some(part => part.age === 0 && part.peer === contribution.peer) ? null : 1
  }
  return null
}

export function partOf(rules: RunRules, cid: string, contribution: Contribution, age: 0 | 1): Part {
  return { cid, age, peer: contribution.peer, tokens: Math.min(contribution.tokens, rules.maxTokensPerRound) }
}

/** `missing` names envelopes that must be known first. */
export function checkRecord(rules: RunRules, parent: TreeRecord, record: RoundRecord, lookUp: LookUp): RecordCheck {
  if (record.run !== rules.run) return { reason: 'wrong_run' }
  if (record.round !== parent.round + 1) return { reason: 'wrong_round' }
  if (!isAdmitted(rules, record.closer)) return { reason: 'not_admitted' }
  const parts: Part[] = []
  const missing: string[] = []
  for (const cid of record.contributions) {
    const found = lookUp(cid)
    if (found === undefined) {
      missing.push(cid)
      continue
    }
    if ('refused' in found || checkContribution(rules, found.contribution) !== null) return { reason: 'bad_contribution' }
    const age = ageAfter(parent, found.contribution)
    if (age === null) return { reason: 'bad_contribution' }
    const part = partOf(rules, cid, found.contribution, age)
    const last = parts.at(-1)
    // One order and no second place for an author and round, in one comparison.
    if (last !== undefined && compareParts(last, part) >= 0) return { reason: 'wrong_order' }
    parts.push(part)
  }
  if (missing.length > 0) return { missing }
  if (distinctAuthors(parts) < rules.quorum) return { reason: 'below_quorum' }
  if (!parts.some(part => part.peer === record.closer) && !recentAuthors(parent).includes(record.closer))
    return { reason: 'closer_unranked' }
  return { parts }
}
