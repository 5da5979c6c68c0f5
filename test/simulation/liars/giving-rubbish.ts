// Gives bodies that everybody who checks them refuses, from some round on, and claims as many tokens, or steps, as can be written.
import type { ReasonCode } from '../../../protocols/rounds/index.ts'
import type { Conduct } from '../conduct.ts'
import { flawedBody } from '../names.ts'
import { TOKENS_A_STEP } from '../training.ts'

const FLAWS: readonly ReasonCode[] = ['non_finite', 'shape_mismatch', 'norm_too_large', 'norm_mismatch', 'bad_body', 'wrong_codec']

export const givingRubbishFrom = (round: number): Conduct => ({
  // Cut off from all others, it closes with its own.
  forges: true,
  contribution: (_node, honest) =>
    honest.round < round ? honest : { ...honest, body: flawedBody(honest.body, FLAWS[honest.round % FLAWS.length]!) }
})

export const claimingTokens: Conduct = {
  // Where a run says how many tokens a step has.
  forges: true,
  contribution: (_node, honest) => ({ ...honest, tokens: Number.MAX_SAFE_INTEGER })
}

/** Of its tokens every one is a step's. */
export const claimingSteps: Conduct = {
  // Where a run says how many steps a round has.
  forges: true,
  contribution: (_node, honest) => ({ ...honest, steps: 1_000_000, tokens: 1_000_000 * TOKENS_A_STEP })
}
