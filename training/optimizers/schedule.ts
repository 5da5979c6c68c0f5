// Learning rates by step: linear warm-up, then constant or a cosine down to a fraction.
import { TrainingError } from '../errors.ts'

export interface LearningRateSchedule {
  kind: 'constant' | 'cosine'
  /** The rate after warm-up. */
  learningRate: number
  /** Steps over which the rate grows from learningRate / warmupSteps. */
  warmupSteps: number
  /** Where the cosine ends; later steps stay at the end's rate. */
  totalSteps: number
  /** The cosine's end as a fraction of learningRate. */
  finalFactor: number
}

/**
 * The rate of a step, counted from 0.
 *
 * @throws TrainingError 'bad_schedule'
 */
export function learningRateAt(schedule: LearningRateSchedule, step: number): number {
  checkSchedule(schedule)
  const { kind, learningRate, warmupSteps, totalSteps, finalFactor } = schedule
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps
  if (kind === 'constant') return learningRate
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps))
  return learningRate * (finalFactor + (1 - finalFactor) * 0.5 * (1 + Math.cos(Math.PI * progress)))
}

function checkSchedule({ kind, learningRate, warmupSteps, totalSteps, finalFactor }: LearningRateSchedule): void {
  const fail = (field: string, value: unknown, limit: string): never => {
    throw new TrainingError('bad_schedule', `Cannot follow a schedule with ${field} ${value}: it must be ${limit}`, {
      details: { field, value }
    })
  }
  if (kind !== 'constant' && kind !== 'cosine') fail('kind', kind, 'constant or cosine')
  if (!(learningRate >= 0 && Number.isFinite(learningRate))) fail('learningRate', learningRate, 'at least 0')
  if (!(Number.isSafeInteger(warmupSteps) && warmupSteps >= 0)) fail('warmupSteps', warmupSteps, 'a whole number')
  if (kind === 'constant') return
  if (!(Number.isSafeInteger(totalSteps) && totalSteps > 0)) fail('totalSteps', totalSteps, 'a whole number above 0')
  if (!(finalFactor >= 0 && finalFactor <= 1)) fail('finalFactor', finalFactor, 'between 0 and 1')
}
