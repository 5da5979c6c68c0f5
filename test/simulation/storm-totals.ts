// What many storms come to: counts by name and the worst of each bound, taken in the order of seeds, so that a run that was cut off goes on where it was and ends with the same figures.
import type { StormReport } from './big-storm.ts'

export interface Worst {
  ms: number
  seed: number | null
}

export interface Totals {
  /** Seeds lived through, from the first on, without a gap. */
  storms: number
  checks: { [invariant: string]: number }
  faults: { [fault: string]: number }
  trainers: number
  liars: { [liar: string]: number }
  progress: Worst
  agreement: Worst
  rounds: number
  forks: number
  virtualMs: number
  /** ms that the storms took, each by itself. */
  stormMs: number
  broken: { seed: number; problems: string[] } | null
}

export function noTotals(): Totals {
  const none: Worst = { ms: 0, seed: null }
  return {
    storms: 0,
    checks: {},
    faults: {},
    trainers: 0,
    liars: {},
    progress: none,
    agreement: none,
    rounds: 0,
    forks: 0,
    virtualMs: 0,
    stormMs: 0,
    broken: null
  }
}

/** @param stormMs ms that it took */
export function withStorm(totals: Totals, report: StormReport, stormMs: number): Totals {
  const { seed, problems } = report
  return {
    storms: totals.storms + 1,
    checks: summed(totals.checks, report.checks),
    faults: summed(totals.faults, report.faults),
    trainers: totals.trainers + report.trainers,
    liars: summed(totals.liars, report.liars),
    progress: worse(totals.progress, report.progressMs, seed),
    agreement: worse(totals.agreement, report.agreementMs, seed),
    rounds: totals.rounds + report.rounds,
    forks: totals.forks + report.forks,
    virtualMs: totals.virtualMs + report.virtualMs,
    stormMs: totals.stormMs + stormMs,
    broken: totals.broken ?? (problems.length > 0 ? { seed, problems } : null)
  }
}

function worse(worst: Worst, ms: number, seed: number): Worst {
  return worst.seed === null || ms > worst.ms ? { ms, seed } : worst
}

function summed(a: { [name: string]: number }, b: { [name: string]: number }): { [name: string]: number } {
  const sum = { ...a }
  for (const [name, count] of Object.entries(b)) sum[name] = (sum[name] ?? 0) + count
  return sum
}
