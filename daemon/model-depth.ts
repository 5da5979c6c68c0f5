// The one dial for a model's size: a description may say `depth` where it would say layers, width, heads and so on. It is turned into those sizes before
// anything else looks at it, so that a run's manifest holds the sizes: what a depth means may change one day, a run may not.
import { DEPTH_MAX, DEPTH_MIN, sizesOfDepth } from '../training/models/sizes.ts'
import type { Issue } from './errors.ts'

/** A description with sizes in place of `model.depth`, and what is wrong with how it gives it. Anything else passes as it is. */
export function withSizes(input: unknown): { value: unknown; issues: Issue[] } {
  if (!isMap(input) || !isMap(input.model) || input.model.depth === undefined) return { value: input, issues: [] }
  const { depth, ...model } = input.model
  const { family } = model
  // The family is named first as what is wrong: without it no size is known.
  if (family !== 'gpt2' && family !== 'llama') return { value: { ...input, model }, issues: [] }
  const possible = Number.isSafeInteger(depth) && (depth as number) >= DEPTH_MIN && (depth as number) <= DEPTH_MAX
  const known = possible ? (depth as number) : DEPTH_MIN
  const { sizes, defaults } = sizesOfDepth(family, known)
  const issues = Object.keys(sizes)
    .filter(size => size in model)
    .map(
      (size): Issue => ({
        code: 'manifest_value',
        path: `model.${size}`,
        value: model[size],
        allowed: 'left out, since model.depth says it'
      })
    )
  if (!possible)
    issues.unshift({ code: 'manifest_value', path: 'model.depth', value: depth, allowed: `an integer from ${DEPTH_MIN} to ${DEPTH_MAX}` })
  return { value: { ...input, model: { ...defaults, ...model, ...sizes } }, issues }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
