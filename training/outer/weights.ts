// What a contribution weighs in its round's mean.
import { TrainingError } from '../errors.ts'
import { AGE_DISCOUNTS, TOKENS_MAX } from './constants.ts'

/** 1 for a contribution of this round, then halves; older than the table: its last entry. @throws TrainingError bad_weight */
export function ageDiscount(age: number): number {
  if (!Number.isInteger(age) || age < 0)
    throw new TrainingError('bad_weight', `cannot discount an age of ${age} rounds: a whole number from 0 is needed`)
  return AGE_DISCOUNTS[Math.min(age, AGE_DISCOUNTS.length - 1)]!
}

/** tokens x discount, exact in f64. @throws TrainingError bad_weight */
export function contributionWeight(tokens: number, age: number): number {
  if (!Number.isInteger(tokens) || tokens < 1 || tokens > TOKENS_MAX)
    throw new TrainingError('bad_weight', `cannot weigh ${tokens} tokens: a whole number from 1 to ${TOKENS_MAX} is needed`)
  return tokens * ageDiscount(age)
}
