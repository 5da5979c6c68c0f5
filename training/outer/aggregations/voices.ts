// One author, one voice. The robust rules hold as long as liars are few among those counted, so they count authors: tokens are claimed, and a second, late
// contribution would be a second voice. An author with both a late and a fresh one speaks with their discounted mean.
import { TrainingError } from '../../errors.ts'
import { ageDiscount } from '../weights.ts'
import type { Contributed, Values } from './aggregation.ts'
import { addWeighted, checkLengths } from './sums.ts'

/** The contributions of one author by their places in the record, and what each is multiplied by. */
interface Voice {
  places: number[]
  shares: number[]
}

export class Voices {
  readonly #voices: Voice[]

  /** @throws TrainingError bad_weight: nobody, or an age that is none */
  constructor(contributed: readonly Contributed[], scales: readonly number[]) {
    if (contributed.length === 0) throw new TrainingError('bad_weight', 'cannot combine the contributions of nobody')
    const byAuthor = new Map<string, number[]>()
    for (const [place, { author }] of contributed.entries()) byAuthor.set(author, [...(byAuthor.get(author) ?? []), place])
    this.#voices = [...byAuthor.values()].map(places => {
      const discounts = places.map(place => ageDiscount(contributed[place]!.age))
      const total = discounts.reduce((sum, discount) => sum + discount, 0)
      return { places, shares: places.map((place, i) => (scales[place]! * discounts[i]!) / total) }
    })
  }

  get count(): number {
    return this.#voices.length
  }

  /** What each author says. A lone contribution that was not cut is given as it is, not copied. @throws TrainingError shape_mismatch */
  of(values: Values): (Float32Array | Float64Array)[] {
    checkLengths(values)
    return this.#voices.map(({ places, shares }) => {
      const deltas = places.map(place => values.deltas[place]!)
      return deltas.length === 1 && shares[0] === 1 ? deltas[0]! : addWeighted(new Float64Array(values.count), shares, deltas)
    })
  }
}
