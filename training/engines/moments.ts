// The names of AdamW's moments outside an engine.
import { elementCount, matchParameters, type NamedTensor, type ParameterSpec } from '../models/model.ts'

export const FIRST_MOMENT = 'adam.m/'
export const SECOND_MOMENT = 'adam.v/'

/**
 * Moments in the order m, v for each parameter; zeros where none are given.
 *
 * @throws TrainingError 'bad_parameters'
 */
export function matchMoments(specs: readonly ParameterSpec[], moments: readonly NamedTensor[] | undefined): NamedTensor[] {
  const momentSpecs = specs.flatMap(spec => [FIRST_MOMENT, SECOND_MOMENT].map(prefix => ({ ...spec, name: prefix + spec.name })))
  if (moments) return matchParameters(momentSpecs, moments, 'moments')
  return momentSpecs.map(({ name, shape }) => ({ name, shape, values: new Float32Array(elementCount(shape)) }))
}
