// What every node checks of a contribution's numbers before it counts them.

/** Why a delta is refused; stable codes that `shoal why` shows. */
export type DeltaRefusal = 'non_finite' | 'shape_mismatch' | 'norm_too_large'

/** sum + SUM values^2 in f64, value by value. Not finite if and only if a value is not: f32 squares cannot overflow f64. */
export function addSquares(sum: number, values: Float32Array): number {
  let total = sum
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    total += value * value
  }
  return total
}

/** Euclidean norm over all tensors in the order given: the same bits everywhere, since f64 + x and sqrt are exact to the last one. */
export function deltaNorm(tensors: Iterable<{ values: Float32Array }>): number {
  let sum = 0
  for (const { values } of tensors) sum = addSquares(sum, values)
  return Math.sqrt(sum)
}

/** Null where names, shapes and order are those of the parameters, all values are finite and the norm is at most `normMax`. */
export function checkDelta(
  parameters: readonly { name: string; shape: readonly number[] }[],
  delta: readonly { name: string; shape: readonly number[]; values: Float32Array }[],
  normMax: number
): DeltaRefusal | null {
  if (delta.length !== parameters.length) return 'shape_mismatch'
  for (const [i, parameter] of parameters.entries()) {
    const tensor = delta[i]!
    if (tensor.name !== parameter.name || !sameShape(tensor.shape, parameter.shape)) return 'shape_mismatch'
    if (tensor.values.length !== parameter.shape.reduce((count, size) => count * size, 1)) return 'shape_mismatch'
  }
  const norm = deltaNorm(delta)
  if (!Number.isFinite(norm)) return 'non_finite'
  return norm > normMax ? 'norm_too_large' : null
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i])
}
