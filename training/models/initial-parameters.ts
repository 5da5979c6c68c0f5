// A model's parameters before training: a pure function of the configuration and a seed, so that a genesis can be made again.
import { elementCount, type Model, type NamedTensor } from './model.ts'

/**
 * Initial parameters in the model's order. Each tensor has a random stream of its own (seed and position), so one stage can be made alone.
 *
 * @param seed a whole number; its low 32 bits count
 */
export function initialParameters(model: Model, seed: number): NamedTensor[] {
  return model.parameters.map(({ name, shape, init }, index) => {
    const values = new Float32Array(elementCount(shape))
    if (init.kind === 'ones') values.fill(1)
    if (init.kind === 'normal')
      fillNormal(values, init.std, mulberry32(Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) + Math.imul(index + 1, 0x85ebca6b)))
    return { name, shape: [...shape], values }
  })
}

/** Box and Muller's transform. */
function fillNormal(values: Float32Array, std: number, random: () => number): void {
  for (let i = 0; i < values.length; i += 2) {
    // 2^-33 keeps the logarithm finite.
    const radius = std * Math.sqrt(-2 * Math.log(Math.max(random(), 2 ** -33)))
    const angle = 2 * Math.PI * random()
    values[i] = radius * Math.cos(angle)
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle)
  }
}

/** Tommy Ettinger's 32-bit generator: uniform in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
