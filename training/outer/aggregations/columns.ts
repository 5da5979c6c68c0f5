// Coordinate by coordinate: what all authors say of one value, in order of size.

/** Up to this many voices are sorted by insertion, which is faster than a call for so few. */
const INSERTION_MAX = 48

/** For each of `count` values, `take` of all voices' values in rising order. The array is reused: take what is needed of it. */
export function combineSorted(
  count: number,
  voices: readonly (Float32Array | Float64Array)[],
  take: (sorted: Float64Array) => number
): Float64Array {
  const result = new Float64Array(count)
  const column = new Float64Array(voices.length)
  for (let i = 0; i < count; i++) {
    if (voices.length <= INSERTION_MAX) insertSorted(column, voices, i)
    else {
      for (let v = 0; v < voices.length; v++) column[v] = voices[v]![i]!
      // A typed array sorts by number, and equal numbers are equal bits but for the sign of zero, whose order the language fixes.
      column.sort()
    }
    result[i] = take(column)
  }
  return result
}

function insertSorted(column: Float64Array, voices: readonly (Float32Array | Float64Array)[], i: number): void {
  for (let v = 0; v < voices.length; v++) {
    const value = voices[v]![i]!
    let at = v
    for (; at > 0 && column[at - 1]! > value; at--) column[at] = column[at - 1]!
    column[at] = value
  }
}
