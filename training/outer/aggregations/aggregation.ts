// What an aggregation is: the contributions of one round to one gradient. What the outer optimizer then does with the gradient is another idea (../optimizer.ts).

/** What a manifest says of an aggregation. */
export type AggregationSpec =
  | { name: 'mean' }
  /** A part of all authors below one half, or a number of authors, left out at either end of every coordinate. */
  | { name: 'trimmedMean'; trim: number }
  | { name: 'median' }
  /** `tau`: how far an author may pull, as a norm, or so many times the median author's distance from the last aggregate. */
  | { name: 'centeredClip'; tau: number | { times: number }; iterations: number }

/** What is known of a contribution before its values are read, in the record's order. */
export interface Contributed {
  /** Who made it: one identity has one voice, however many contributions it has in a round. */
  author: string
  /** As accepted: at least 1. */
  tokens: number
  /** Rounds. */
  age: number
  /** Euclidean norm of its values over all tensors, as every node has checked it. */
  norm: number
}

/** The values at hand: a tensor or a slice of one, of every contribution, and what was kept beside them. */
export interface Values {
  count: number
  /** One array for each of `stateNames`. */
  state: Readonly<Record<string, Float32Array>>
  /** In the record's order; not changed. */
  deltas: readonly Float32Array[]
}

export interface Combined {
  /** f64: rounded only where it is stored. */
  gradient: Float64Array
  /** The next of each of `stateNames`. */
  state: Record<string, Float32Array>
}

/** One round's combining. Values do not depend on one another but by what the looks found, so that they may come slice by slice with the same bits. */
export interface Combining {
  /** Times that all values must still be looked at before any can be combined. */
  readonly looksLeft: number
  /** Part of a look: every value once, in the same order each time. */
  look(values: Values): void
  /** The look is over: all values were shown. */
  looked(): void
  /** @throws TrainingError shape_mismatch */
  combine(values: Values): Combined
}

export interface Aggregation {
  readonly name: AggregationSpec['name']
  /** What is kept beside the anchor from round to round, zeros at the genesis. */
  readonly stateNames: readonly string[]
  /**
   * @param scales what each contribution's values are to be multiplied by: 1, or less where screening cut it
   * @throws TrainingError bad_weight: nobody, or weights that are no positive numbers
   */
  begin(contributed: readonly Contributed[], scales: readonly number[]): Combining
}
