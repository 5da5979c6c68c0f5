// What a contribution counts with where the others are far smaller.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { createOuterStrategy, normScales } from '../../../../training/outer/index.ts'
import { oneStep } from './one-step.ts'

const facts = (norms: readonly number[]) => norms.map((norm, i) => ({ author: `${i}`, tokens: 1, age: 0, norm }))

describe('normScales()', () => {
  it('cuts what is more than so many times the median norm down to that', () => {
    assert.deepEqual(normScales(facts([1, 2, 3, 100]), { normFactor: 4 }), [1, 1, 1, 0.1])
    assert.deepEqual(normScales(facts([1, 2, 10]), { normFactor: 1 }), [1, 1, 0.2])
    assert.deepEqual(normScales(facts([7]), { normFactor: 1 }), [1])
    assert.deepEqual(normScales([], { normFactor: 1 }), [])
  })

  it('cuts nothing without screening, nor where most changed nothing', () => {
    assert.deepEqual(normScales(facts([1, 1, 1e9]), null), [1, 1, 1])
    assert.deepEqual(normScales(facts([0, 0, 5]), { normFactor: 4 }), [1, 1, 1])
  })

  it('leaves nobody above the limit, and everybody else alone', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0.01, max: 1000, noNaN: true }), { minLength: 1, maxLength: 9 }), norms => {
        const sorted = norms.toSorted((a, b) => a - b)
        const middles = sorted.slice((sorted.length - 1) >> 1, (sorted.length >> 1) + 1)
        const limit = (3 * middles.reduce((sum, norm) => sum + norm, 0)) / middles.length
        for (const [i, scale] of normScales(facts(norms), { normFactor: 3 }).entries()) {
          if (norms[i]! <= limit) assert.equal(scale, 1)
          else assert.ok(Math.abs(scale * norms[i]! - limit) <= 1e-9 * limit)
        }
      })
    )
  })

  it('takes the median of authors: late second contributions do not move it', () => {
    const late = (norm: number) => ({ author: 'liar', tokens: 1, age: 1, norm })
    const fresh = [...facts([1, 1]), { author: 'liar', tokens: 1, age: 0, norm: 50 }]
    assert.deepEqual(normScales([...fresh, late(50)], { normFactor: 5 }), [1, 1, 0.1, 0.1])
  })
})

describe('screening', () => {
  const AVERAGING = { outer: { name: 'averaging' }, screening: { normFactor: 2 } } as const

  it('keeps the weight of what it cuts', () => {
    const given = [3, 1, 100].map(norm => ({ norm, tokens: norm === 100 ? 2 : 1, delta: Float32Array.of(norm) }))
    // 100 counts as 6, with its two tokens.
    assert.equal(oneStep(AVERAGING, new Float32Array(1), {}, given).anchor[0], -(3 + 1 + 2 * 6) / 4)
  })

  it('goes with every aggregation', () => {
    const given = [3, 1, 100].map(norm => ({ norm, delta: Float32Array.of(norm) }))
    const step = oneStep({ ...AVERAGING, aggregation: { name: 'trimmedMean', trim: 0 } }, new Float32Array(1), {}, given)
    assert.equal(step.anchor[0], Math.fround(-(3 + 1 + 6) / 3))
  })

  it('changes no bit where nobody is cut', () => {
    const given = [3.1, 1.7, 2.3].map((norm, i) => ({ norm, tokens: 100 + i, delta: Float32Array.of(norm * Math.PI, -norm) }))
    const anchor = Float32Array.of(0.1, 0.2)
    assert.deepEqual(oneStep(AVERAGING, anchor, {}, given), oneStep({ outer: AVERAGING.outer }, anchor, {}, given))
  })

  it('refuses a factor that would cut the median itself', () => {
    for (const normFactor of [0.5, Number.NaN, Number.POSITIVE_INFINITY])
      assert.throws(() => createOuterStrategy({ ...AVERAGING, screening: { normFactor } }), { code: 'bad_strategy' })
  })
})
