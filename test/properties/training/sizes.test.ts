// Laws of a model's size: what is counted is what is made, and depth is a dial that only turns one way.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { createModel, elementCount, type ModelConfig } from '../../../training/models/model.ts'
import { DEPTH_MAX, DEPTH_MIN, parameterCount, sizesOfDepth } from '../../../training/models/sizes.ts'

const size = fc.integer({ min: 1, max: 9 })
const config: fc.Arbitrary<ModelConfig> = fc
  .record({
    family: fc.constantFrom('gpt2', 'llama'),
    a: size,
    b: size,
    c: size,
    layers: size,
    vocabulary: size,
    context: size,
    hidden: size,
    tied: fc.boolean(),
    biases: fc.boolean()
  })
  .map(({ family, a, b, c, tied: tiedEmbeddings, biases, hidden, ...rest }) => {
    const shape = { ...rest, width: 2 * a * b * c, heads: a * b, tiedEmbeddings }
    return family === 'gpt2' ? { family: 'gpt2', ...shape, biases } : { family: 'llama', ...shape, keyValueHeads: a, hidden }
  })
const family = fc.constantFrom('gpt2' as const, 'llama' as const)

/** A model of this depth on bytes, or on GPT-2's tokens. */
function ofDepth(name: 'gpt2' | 'llama', depth: number, vocabulary = 257): ModelConfig {
  const { sizes, defaults } = sizesOfDepth(name, depth)
  return { family: name, vocabulary, biases: true, tiedEmbeddings: true, ...defaults, ...sizes } as ModelConfig
}

describe("laws of a model's size", () => {
  it('parameterCount() is what the model has', () => {
    fc.assert(
      fc.property(config, each => {
        const made = createModel(each).parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0)
        assert.equal(parameterCount(each), made)
      })
    )
  })

  it('parameters grow with depth, and every depth makes a model', () => {
    fc.assert(
      fc.property(family, fc.integer({ min: DEPTH_MIN, max: DEPTH_MAX - 1 }), (name, depth) => {
        assert.ok(parameterCount(ofDepth(name, depth)) < parameterCount(ofDepth(name, depth + 1)))
        assert.ok(createModel(ofDepth(name, depth)).parameters.length > 0)
      })
    )
  })

  it('both families have about as many in their layers', () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: DEPTH_MAX }), depth => {
        const [gpt2, llama] = [parameterCount(ofDepth('gpt2', depth, 1)), parameterCount(ofDepth('llama', depth, 1))]
        assert.ok(Math.abs(llama / gpt2 - 1) < 0.08, `${depth}: ${gpt2} ${llama}`)
      })
    )
  })

  it('goes from one million to one billion, and past GPT-2', () => {
    assert.ok(parameterCount(ofDepth('gpt2', 3)) > 1e6 && parameterCount(ofDepth('gpt2', 2)) < 1e6)
    assert.equal(parameterCount(ofDepth('gpt2', 12, 50_257)), 124_439_808)
    assert.ok(parameterCount(ofDepth('gpt2', 27, 50_257)) > 1e9 && parameterCount(ofDepth('gpt2', 26, 50_257)) < 1e9)
  })
})
