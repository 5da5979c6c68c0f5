// Tensors are worked on in slices, so that memory does not grow with their size.
import { SLICE_VALUES } from './constants.ts'

/** The lengths of a tensor's slices, in order. */
export function* sliceLengths(count: number): Generator<number> {
  for (let start = 0; start < count; start += SLICE_VALUES) yield Math.min(SLICE_VALUES, count - start)
}
