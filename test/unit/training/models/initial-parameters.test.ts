import assert from 'node:assert/strict'
import { initialParameters } from '../../../../training/models/initial-parameters.ts'
import { createModel } from '../../../../training/models/model.ts'

describe('initialParameters()', () => {
  const model = createModel({
    family: 'gpt2',
    vocabulary: 300,
    context: 32,
    width: 64,
    layers: 2,
    heads: 4,
    biases: true,
    tiedEmbeddings: true
  })

  it('depends on the seed and on nothing else', () => {
    assert.deepEqual(initialParameters(model, 7), initialParameters(model, 7))
    assert.notDeepEqual(initialParameters(model, 7)[0], initialParameters(model, 8)[0])
  })

  it('spreads as each specification says', () => {
    for (const [i, { name, values }] of initialParameters(model, 1).entries()) {
      const { init } = model.parameters[i]!
      if (init.kind !== 'normal') {
        assert.ok(values.every(value => value === (init.kind === 'ones' ? 1 : 0)))
        continue
      }
      const mean = values.reduce((a, b) => a + b, 0) / values.length
      const std = Math.sqrt(values.reduce((a, b) => a + b * b, 0) / values.length)
      assert.ok(Math.abs(mean) < init.std * 0.1 && Math.abs(std / init.std - 1) < 0.1, `${name}: mean ${mean}, std ${std}`)
    }
  })

  it('gives each tensor numbers of its own', () => {
    const first = initialParameters(model, 1)
      .filter((_, i) => model.parameters[i]!.init.kind === 'normal')
      .map(({ values }) => values[0])
    assert.equal(new Set(first).size, first.length)
  })
})
