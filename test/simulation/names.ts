// Names of things that are only names: content hashes, and anchors that are the hash of their parent and the list, so that two nodes that sum differently cannot agree.
import { createHash } from 'node:crypto'
import { type Contribution, isReasonCode, type Part, type ReasonCode } from '../../protocols/rounds/index.ts'

export const hashOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 20)
export const anchorOf = (parent: string, parts: readonly Part[]): string => `a${hashOf([parent, parts])}`
export const contributionCid = (contribution: Contribution): string => `c${hashOf(contribution)}`
export const recordCid = (record: object): string => `r${hashOf(record)}`
/** A peer's rank in a round, worked out without the rules: the lowest is first. */
export const rankOf = (run: string, round: number, peer: string): string =>
  createHash('sha256').update(`${run}/${round}/${peer}`).digest('hex')
export const peerName = (index: number): string => `P${hashOf(index).slice(0, 6)}-${index}`

/** A body that is not as it should be says so in its name: everybody who has it whole finds the same. */
export const flawedBody = (body: string, flaw: ReasonCode): string => `${body}!${flaw}`

/** What whoever checks the body finds, or null. */
export function flawOf({ body }: Contribution): ReasonCode | null {
  const flaw = body.slice(body.lastIndexOf('!') + 1)
  return isReasonCode(flaw) ? flaw : null
}
