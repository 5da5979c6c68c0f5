// What the families' descriptions have in common: sizes within bounds, and how a parameter starts.
import { TrainingError } from '../errors.ts'
import type { ParameterSpec } from './model.ts'

/** The spread of initial weights, GPT-2's and Llama's. */
export const INITIAL_STD = 0.02
/** Bounds that keep a manifest from asking for absurd arrays; far above any model of these families. */
const LIMITS = { vocabulary: 1 << 24, context: 1 << 20, width: 1 << 16, layers: 1024, heads: 1024, keyValueHeads: 1024, hidden: 1 << 20 }

/** @throws TrainingError 'bad_model_config' for a size that is no whole number within its bound */
export function checkSizes<Config extends object>(config: Config, fields: (keyof Config & keyof typeof LIMITS)[]): void {
  for (const field of fields) {
    const value = config[field] as number
    const limit = LIMITS[field]
    if (!Number.isSafeInteger(value) || value < 1 || value > limit)
      throw new TrainingError(
        'bad_model_config',
        `Cannot create a model with ${field} ${value}: it must be a whole number from 1 to ${limit}`,
        { details: { field, value, limit } }
      )
  }
}

/** @throws TrainingError 'bad_model_config' where `part` of the configuration does not divide `whole` */
export function checkDivides<Config extends object>(config: Config, part: keyof Config & string, whole: keyof Config & string): void {
  const [divisor, size] = [config[part] as number, config[whole] as number]
  if (size % divisor !== 0)
    throw new TrainingError(
      'bad_model_config',
      `Cannot create a model with ${whole} ${size} and ${divisor} ${part}: ${part} must divide the ${whole}`,
      {
        hint: `Choose a ${whole} that is a multiple of the ${part}`
      }
    )
}

/** @throws TrainingError 'bad_model_config' */
export function checkEpsilon<Config extends object>(config: Config, field: keyof Config & string): void {
  const epsilon = config[field] as number | undefined
  if (epsilon !== undefined && !(epsilon > 0 && epsilon < 1))
    throw new TrainingError('bad_model_config', `Cannot create a model with ${field} ${epsilon}: it must lie between 0 and 1`)
}

/** Matrices that write into the residual stream start smaller, so that its variance does not grow with depth (GPT-2, section 2.3). */
export function residualStd(layers: number): number {
  return INITIAL_STD / Math.sqrt(2 * layers)
}

export function matrix(name: string, shape: number[], std = INITIAL_STD): ParameterSpec {
  return { name, shape, init: { kind: 'normal', std }, decay: true }
}

export function vector(name: string, size: number, kind: 'ones' | 'zeros'): ParameterSpec {
  return { name, shape: [size], init: { kind }, decay: false }
}
