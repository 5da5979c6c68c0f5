// The part of a manifest that the round rules go by.
import type { RunRules } from '../../protocols/rounds/index.ts'
import type { Manifest } from '../manifest.ts'

/** @param run CID of the signed manifest */
export function rulesOf(run: string, { genesis, admission, strategy }: Manifest): RunRules {
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
    keepRounds
  }
}
