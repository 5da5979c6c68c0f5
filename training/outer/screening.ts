// Screening: a contribution far larger than the others is scaled down before anything is combined. A pure function of the record's list.
import { TrainingError } from '../errors.ts'
import type { Contributed } from './aggregations/aggregation.ts'
import { middleOf } from './aggregations/median.ts'

export interface ScreeningSpec {
  /** A contribution counts with at most this many times the median author's norm. */
  normFactor: number
}

/** @throws TrainingError bad_strategy */
export function checkScreening({ normFactor }: ScreeningSpec): void {
  if (!(normFactor >= 1 && normFactor < Number.POSITIVE_INFINITY))
    throw new TrainingError('bad_strategy', `cannot cut norms to ${normFactor} times their median: a finite number from 1`)
}

/**
 * What each contribution is multiplied by: 1, or what brings its norm down to the limit.
 * The median is one of authors, each by its newest contribution, so that late second ones do not move it. Where most changed nothing there is no measure, and
 * nothing is cut: else idle liars could silence all who work.
 */
export function normScales(contributed: readonly Contributed[], screening: ScreeningSpec | null): number[] {
  const uncut = contributed.map(() => 1)
  if (screening === null || contributed.length === 0) return uncut
  const newest = new Map<string, Contributed>()
  for (const one of contributed) if (one.age <= (newest.get(one.author)?.age ?? one.age)) newest.set(one.author, one)
  const limit = screening.normFactor * middleOf(Float64Array.from(newest.values(), ({ norm }) => norm).sort())
  return limit > 0 ? contributed.map(({ norm }) => (norm > limit ? limit / norm : 1)) : uncut
}
