// Aggregation `centeredClip` (Karimireddy, He, Jaggi 2021, "Learning from history"): from v = the last round's aggregate, a few times
//   v += 1/n SUM (x_i - v) min(1, tau / ||x_i - v||),
// over all tensors at once: nobody moves it further than tau/n an iteration, and what many rounds agreed on outlasts one.
//
// v is always c_0 v_0 + SUM c_i x_i, so that only these n + 1 numbers are kept between looks, and no model.
import { TrainingError } from '../../errors.ts'
import type { Aggregation, AggregationSpec, Combining, Contributed, Values } from './aggregation.ts'
import { middleOf } from './median.ts'
import { addWeighted } from './sums.ts'
import { Voices } from './voices.ts'

type Settings = Omit<Extract<AggregationSpec, { name: 'centeredClip' }>, 'name'>

/** Iterations that a manifest may ask for: each reads every contribution once more. */
export const ITERATIONS_MAX = 16

/** @throws TrainingError bad_strategy */
export function createCenteredClip({ tau, iterations }: Settings): Aggregation {
  const radius = typeof tau === 'number' ? tau : tau.times
  if (!(radius > 0 && radius < Number.POSITIVE_INFINITY))
    throw new TrainingError('bad_strategy', `cannot clip at the radius ${radius}: a finite number above 0`)
  if (!(Number.isInteger(iterations) && iterations >= 1 && iterations <= ITERATIONS_MAX))
    throw new TrainingError('bad_strategy', `cannot clip in ${iterations} iterations: a whole number from 1 to ${ITERATIONS_MAX}`)
  return {
    name: 'centeredClip',
    stateNames: ['aggregate'],
    begin: (contributed, scales) => new Clipping({ tau, iterations }, contributed, scales)
  }
}

class Clipping implements Combining {
  looksLeft: number
  readonly #voices: Voices
  readonly #tau: Settings['tau']
  /** In units of the norm; known after the first look. */
  #radius: number | null
  /** c_0 and c_i of v as it is so far. */
  #ofLast = 1
  readonly #ofVoices: number[]
  /** ||x_i - v||^2 over what this look has shown. */
  readonly #squares: Float64Array

  constructor({ tau, iterations }: Settings, contributed: readonly Contributed[], scales: readonly number[]) {
    this.#voices = new Voices(contributed, scales)
    this.#tau = tau
    this.#radius = typeof tau === 'number' ? tau : null
    this.#ofVoices = new Array<number>(this.#voices.count).fill(0)
    this.#squares = new Float64Array(this.#voices.count)
    this.looksLeft = iterations
  }

  look(values: Values): void {
    const voices = this.#voices.of(values)
    const center = this.#center(values, voices)
    for (const [i, voice] of voices.entries()) this.#squares[i] = addSquaredDistance(this.#squares[i]!, voice, center)
  }

  looked(): void {
    const distances = this.#squares.map(Math.sqrt)
    this.#radius ??= (this.#tau as { times: number }).times * middleOf(distances.toSorted())
    const radius = this.#radius
    const count = distances.length
    let taken = 0
    const factors = Array.from(distances, distance => (distance <= radius ? 1 : radius / distance))
    for (const factor of factors) taken += factor
    const left = 1 - taken / count
    this.#ofLast *= left
    for (const [i, factor] of factors.entries()) this.#ofVoices[i] = this.#ofVoices[i]! * left + factor / count
    this.#squares.fill(0)
    this.looksLeft--
  }

  combine(values: Values) {
    const gradient = this.#center(values, this.#voices.of(values))
    return { gradient, state: { aggregate: Float32Array.from(gradient) } }
  }

  /** v of the values at hand. */
  #center({ count, state }: Values, voices: readonly (Float32Array | Float64Array)[]): Float64Array {
    const last = state.aggregate
    if (last?.length !== count)
      throw new TrainingError('shape_mismatch', `cannot clip ${count} values around ${last?.length ?? 'no'} values of the last aggregate`)
    return addWeighted(addWeighted(new Float64Array(count), [this.#ofLast], [last]), this.#ofVoices, voices)
  }
}

function addSquaredDistance(sum: number, values: Float32Array | Float64Array, center: Float64Array): number {
  let total = sum
  for (let i = 0; i < center.length; i++) {
    const difference = values[i]! - center[i]!
    total += difference * difference
  }
  return total
}
