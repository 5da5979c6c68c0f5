// Weighted sums of several nodes' values: f64, in the order given, value by value.
import { TrainingError } from '../../errors.ts'
import type { Values } from './aggregation.ts'

/** @throws TrainingError shape_mismatch */
export function checkLengths({ count, deltas }: Values): void {
  for (const delta of deltas)
    if (delta.length !== count) throw new TrainingError('shape_mismatch', `cannot combine ${delta.length} values into ${count}`)
}

/** sum += SUM factor x values, one array after the other; answers `sum`. */
export function addWeighted(sum: Float64Array, factors: readonly number[], arrays: readonly (Float32Array | Float64Array)[]): Float64Array {
  let at = 0
  for (; at + 4 <= arrays.length; at += 4) addFour(sum, factors, arrays, at)
  for (; at < arrays.length; at++) addOne(sum, factors[at]!, arrays[at]!)
  return sum
}

export function dividedBy(values: Float64Array, divisor: number): Float64Array {
  for (let i = 0; i < values.length; i++) values[i] = values[i]! / divisor
  return values
}

function addOne(sum: Float64Array, factor: number, values: Float32Array | Float64Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + factor * values[i]!
}

/** The same additions in the same order as four times `addOne`, in half the time: each sum is read and written once. */
function addFour(sum: Float64Array, factors: readonly number[], arrays: readonly (Float32Array | Float64Array)[], at: number): void {
  const [wa, wb, wc, wd] = [factors[at]!, factors[at + 1]!, factors[at + 2]!, factors[at + 3]!]
  const [da, db, dc, dd] = [arrays[at]!, arrays[at + 1]!, arrays[at + 2]!, arrays[at + 3]!]
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + wa * da[i]! + wb * db[i]! + wc * dc[i]! + wd * dd[i]!
}
