// One outer step over values in memory, with all the looks that its aggregation takes.
import { type Contributed, createOuterStrategy, type OuterStep, type OuterStrategySpec } from '../../../../training/outer/index.ts'

/** One contribution; what is left out is an author of its own with one token, fresh, of no particular norm. */
export interface Given extends Partial<Contributed> {
  delta: Float32Array
}

export function oneStep(
  spec: OuterStrategySpec,
  anchor: Float32Array,
  state: Record<string, Float32Array>,
  given: readonly Given[],
  /** Values in a slice. @default all */
  slice = anchor.length
): OuterStep {
  const strategy = createOuterStrategy(spec)
  const round = strategy.begin(
    given.map(({ author, tokens, age, norm }, i) => ({ author: author ?? `${i}`, tokens: tokens ?? 1, age: age ?? 0, norm: norm ?? 1 }))
  )
  const slices = Array.from({ length: Math.ceil(anchor.length / slice) }, (_, i) => [i * slice, Math.min(anchor.length, (i + 1) * slice)])
  const cut = (values: Float32Array, [from, to]: number[]) => values.subarray(from, to)
  const stateAt = (at: number[]) => Object.fromEntries(Object.entries(state).map(([name, values]) => [name, cut(values, at)]))
  const deltasAt = (at: number[]) => given.map(({ delta }) => (slice === anchor.length ? delta : cut(delta, at)))
  while (round.looksLeft > 0) {
    for (const at of slices) round.look({ count: at[1]! - at[0]!, state: stateAt(at), deltas: deltasAt(at) })
    round.looked()
  }
  const next = new Float32Array(anchor.length)
  const nextState = Object.fromEntries(strategy.stateNames.map(name => [name, new Float32Array(anchor.length)]))
  for (const at of slices) {
    const step = round.step(cut(anchor, at), stateAt(at), deltasAt(at))
    next.set(step.anchor, at[0])
    for (const name of strategy.stateNames) nextState[name]!.set(step.state[name]!, at[0])
  }
  return { anchor: next, state: nextState }
}
