// The part of a manifest that the round rules go by.
import type { RunRules } from '../../protocols/rounds/index.ts'
import type { Manifest } from '../manifest.ts'

/** @param run CID of the signed manifest */
export function rulesOf(run: string, { genesis, admission, strategy, optimizer, model }: Manifest): RunRules {
  const { quorum, deadlineMs, graceMs, fetchTimeoutMs, maxTokensPerRound, keepRounds } = strategy
  return {
    run,
    genesisAnchor: genesis.anchor,
    genesisPeers: genesis.peers,
    admission: admission === 'open' || Array.isArray(admission) ? admission : admission.invitation,
    quorum,
    deadlineMs,
    graceMs,
    fetchTimeoutMs,
    maxTokensPerRound,
    // Every microbatch is full (training/data/batches.ts).
    tokensPerStep: optimizer.batch * optimizer.accumulation * model.context,
    // Pace lets a trainer come to the larger of the two since its last snapshot (protocols/rounds/pace.ts). What is put back after a lost round or a fork is change
    // without steps, so nobody honest comes near the sum.
    maxSteps: strategy.innerSteps + strategy.maxStepsAhead,
    keepRounds
  }
}
