import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  ageDiscount,
  checkDelta,
  contributionWeight,
  createOuterStrategy,
  deltaNorm,
  type OuterStrategySpec
} from '../../../../training/outer/index.ts'
import { type Given, oneStep } from './one-step.ts'

const AVERAGING: OuterStrategySpec = { outer: { name: 'averaging' } }
const NESTEROV: OuterStrategySpec = { outer: { name: 'nesterov', learningRate: 0.7, momentum: 0.9 } }
const finite = fc.double({ min: -100, max: 100, noNaN: true }).map(Math.fround)

describe('averaging', () => {
  const step = (anchor: Float32Array, given: Given[]) => oneStep(AVERAGING, anchor, {}, given)

  it('gives the weighted mean of the nodes, rounded once', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 1e6 }), finite, finite), { minLength: 1, maxLength: 8 }),
        finite,
        (nodes, start) => {
          const anchor = Float32Array.of(start, -start)
          const contributions = nodes.map(([tokens, a, b]) => ({ tokens, delta: Float32Array.of(a, b) }))
          const { anchor: next } = step(anchor, contributions)
          const total = nodes.reduce((sum, [tokens]) => sum + tokens, 0)
          const mean = nodes.reduce((sum, [tokens, a]) => sum + tokens * (start - a), 0) / total
          assert.ok(Math.abs(next[0]! - mean) <= 1e-5 * (1 + Math.abs(mean)))
          assert.deepEqual(anchor, Float32Array.of(start, -start))
        }
      )
    )
  })

  it('with one node is plain training: anchor - delta to the bit, whatever its weight', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 536_870_912 }), finite, finite, (tokens, start, delta) => {
        const { anchor } = step(Float32Array.of(start), [{ tokens, delta: Float32Array.of(delta) }])
        // A sum starts at +0, so only the sign of a zero may differ.
        assert.ok(anchor[0] === Math.fround(start - delta))
      })
    )
  })

  it('adds nodes one after the other, whatever their number', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 1e6 }), finite), { minLength: 1, maxLength: 13 }), finite, (nodes, start) => {
        let sum = 0
        let total = 0
        for (const [tokens, delta] of nodes) {
          sum += tokens * delta
          total += tokens
        }
        const contributions = nodes.map(([tokens, delta]) => ({ tokens, delta: Float32Array.of(delta) }))
        assert.equal(step(Float32Array.of(start), contributions).anchor[0], Math.fround(start - sum / total))
      })
    )
  })

  it('refuses nobody, bad weights and other shapes', () => {
    const one = Float32Array.of(1)
    assert.throws(() => step(one, []), { code: 'bad_weight' })
    for (const tokens of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      assert.throws(() => step(one, [{ tokens, delta: one }]), { code: 'bad_weight' })
    assert.throws(() => step(one, [{ delta: new Float32Array(2) }]), { code: 'shape_mismatch' })
  })
})

describe('nesterov', () => {
  it('takes the published two steps', () => {
    // theta = 1, averages 0.9 then 0.8, rate 0.7, momentum 0.9: 0.867, then 0.72119.
    const first = oneStep(NESTEROV, Float32Array.of(1), { momentum: new Float32Array(1) }, [{ tokens: 3, delta: Float32Array.of(1 - 0.9) }])
    assert.ok(Math.abs(first.anchor[0]! - 0.867) < 1e-7)
    assert.ok(Math.abs(first.state.momentum![0]! - 0.1) < 1e-8)
    const second = oneStep(NESTEROV, first.anchor, first.state, [{ tokens: 3, delta: Float32Array.of(first.anchor[0]! - 0.8) }])
    assert.ok(Math.abs(second.anchor[0]! - 0.72119) < 1e-7)
    assert.ok(Math.abs(second.state.momentum![0]! - 0.157) < 1e-7)
  })

  it('with rate 1 and momentum 0 is averaging to the bit', () => {
    const nesterov: OuterStrategySpec = { outer: { name: 'nesterov', learningRate: 1, momentum: 0 } }
    fc.assert(
      fc.property(fc.array(fc.tuple(finite, finite, finite), { minLength: 1, maxLength: 20 }), rows => {
        const anchor = Float32Array.from(rows, row => row[0])
        const contributions = [1, 2].map(i => ({ tokens: 10 * i + 1, delta: Float32Array.from(rows, row => row[i]!) }))
        const stepped = oneStep(nesterov, anchor, { momentum: new Float32Array(anchor.length).fill(3) }, contributions)
        assert.deepEqual(stepped.anchor, oneStep(AVERAGING, anchor, {}, contributions).anchor)
      })
    )
  })

  it('refuses settings out of range and a missing momentum', () => {
    for (const [learningRate, momentum] of [
      [0, 0.9],
      [Number.NaN, 0.9],
      [11, 0.9],
      [0.7, 1],
      [0.7, -0.1]
    ])
      assert.throws(() => createOuterStrategy({ outer: { name: 'nesterov', learningRate: learningRate!, momentum: momentum! } }), {
        code: 'bad_strategy'
      })
    assert.throws(() => createOuterStrategy({ outer: { name: 'adam' } } as never), { code: 'bad_strategy' })
    assert.throws(() => oneStep(NESTEROV, Float32Array.of(1), {}, [{ delta: Float32Array.of(1) }]), { code: 'shape_mismatch' })
  })
})

describe('an outer step', () => {
  it('taken slice by slice gives the bits of the whole', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(finite, finite, finite, finite), { minLength: 2, maxLength: 40 }), fc.nat(), (rows, at) => {
        const column = (i: number, rows2 = rows): Float32Array => Float32Array.from(rows2, row => row[i]!)
        for (const spec of [AVERAGING, NESTEROV]) {
          const step = (part: typeof rows): Float32Array =>
            oneStep(spec, column(0, part), { momentum: column(1, part) }, [
              { tokens: 7, delta: column(2, part) },
              { tokens: 5, age: 1, delta: column(3, part) }
            ]).anchor
          const cut = at % rows.length
          assert.deepEqual([...step(rows)], [...step(rows.slice(0, cut)), ...step(rows.slice(cut))])
        }
      })
    )
  })
})

describe('weights', () => {
  it('halve with age and never vanish', () => {
    assert.deepEqual([0, 1, 2, 3].map(ageDiscount), [1, 0.5, 0.25, 0.125])
    assert.equal(ageDiscount(1000), ageDiscount(8))
    assert.equal(contributionWeight(1001, 1), 500.5)
  })

  it('refuse what is no count', () => {
    for (const tokens of [0, -1, 1.5, Number.NaN, 2 ** 30]) assert.throws(() => contributionWeight(tokens, 0), { code: 'bad_weight' })
    for (const age of [-1, 0.5, Number.NaN]) assert.throws(() => ageDiscount(age), { code: 'bad_weight' })
  })
})

describe('checkDelta()', () => {
  const parameters = [
    { name: 'a', shape: [2, 2] },
    { name: 'b', shape: [3] }
  ]
  const delta = (): { name: string; shape: number[]; values: Float32Array }[] => [
    { name: 'a', shape: [2, 2], values: Float32Array.of(1, 2, 3, 4) },
    { name: 'b', shape: [3], values: Float32Array.of(0, -1, 1) }
  ]

  it('accepts what fits and measures its norm', () => {
    assert.equal(deltaNorm(delta()), Math.sqrt(32))
    assert.equal(checkDelta(parameters, delta(), 6), null)
  })

  it('names what is wrong', () => {
    assert.equal(checkDelta(parameters, delta(), 5), 'norm_too_large')
    assert.equal(checkDelta(parameters, delta().reverse(), 6), 'shape_mismatch')
    assert.equal(checkDelta(parameters, delta().slice(1), 6), 'shape_mismatch')
    const flat = delta()
    flat[0]!.shape = [4]
    assert.equal(checkDelta(parameters, flat, 6), 'shape_mismatch')
    for (const bad of [Number.NaN, Number.NEGATIVE_INFINITY]) {
      const broken = delta()
      broken[1]!.values[2] = bad
      assert.equal(checkDelta(parameters, broken, 6), 'non_finite')
    }
  })
})
