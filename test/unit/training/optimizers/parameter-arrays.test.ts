import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import wabt from 'wabt'
import { tf } from '../../../../training/engines/tensorflow.ts'
import { type AdamWOptions, adamwScalars, adamwStep } from '../../../../training/optimizers/adamw.ts'
import { allocateParameters, PASSES } from '../../../../training/optimizers/parameter-arrays.ts'

const options: AdamWOptions = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipNorm: null }
/** Sizes around what a pass takes at a time, of a cache line and of a piece. */
const COUNTS = [1, 3, 4, 5, 16, 17, 16_383, 16_384, 16_385]
const array = (count: number, seed: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(seed + i))

/** In memory of its own, and through pieces: a memory of one page is too small for five arrays of more than 3,276 values. */
for (const [where, mostBytes] of [
  ['in one memory', undefined],
  ['in pieces', 64]
] as const)
  describe(`ParameterArrays ${where}`, () => {
    before(() => tf.setBackend('cpu'))

    it('takes the step that AdamW takes in tfjs operations, over several steps, next to parameters of other sizes', () => {
      const all = allocateParameters(COUNTS, { mostBytes })
      for (const [i, arrays] of all.entries()) arrays.parameter.set(array(COUNTS[i]!, i))
      tf.tidy(() => {
        for (const [i, count] of COUNTS.entries()) {
          let want = { parameter: tf.tensor1d(array(count, i)), first: tf.zeros([count]), second: tf.zeros([count]) } as ReturnType<
            typeof adamwStep
          >
          for (let step = 1; step <= 5; step++) {
            const scalars = adamwScalars(options, 0.02, step, step % 2 === 0)
            all[i]!.gradient.set(array(count, step * 3))
            all[i]!.adamw(0.5, options, scalars)
            want = adamwStep({ ...want, gradient: tf.mul(tf.tensor1d(array(count, step * 3)), 0.5) }, options, scalars)
          }
          for (const key of ['parameter', 'first', 'second'] as const)
            for (const [place, value] of want[key].dataSync().entries())
              assert.ok(Math.abs(all[i]![key][place]! - value) < 1e-6, `${key} ${place} of ${count}`)
        }
      })
    })

    it('sums gradients and their squares', () => {
      fc.assert(
        fc.property(
          fc.array(fc.constantFrom(...COUNTS), { minLength: 1, maxLength: 4 }),
          fc.integer({ min: 2, max: 4 }),
          (counts, rounds) => {
            for (const [i, arrays] of allocateParameters(counts, { sums: true, mostBytes }).entries()) {
              const want = new Float32Array(counts[i]!)
              for (let round = 0; round < rounds; round++) {
                if (round > 0) arrays.keepGradient(round === 1)
                arrays.gradient.set(array(counts[i]!, round))
                for (const [place, value] of arrays.gradient.entries()) want[place] = want[place]! + value
              }
              arrays.addKept()
              const squares = want.reduce((sum, value) => sum + value * value, 0)
              for (const [place, value] of want.entries()) assert.ok(Math.abs(arrays.gradient[place]! - value) < 1e-6)
              assert.ok(Math.abs(arrays.sumOfSquares() - squares) <= 1e-5 * squares)
            }
          }
        ),
        { numRuns: 30 }
      )
    })
  })

describe('allocateParameters()', () => {
  it('begins each array on a cache line, and lets none touch another', () => {
    const all = allocateParameters([5, 16, 1], { sums: true })
    for (const [i, arrays] of all.entries())
      for (const key of ['parameter', 'gradient', 'first', 'second'] as const) {
        assert.equal(arrays[key].byteOffset % 64, 0)
        arrays[key].fill(i + 1)
      }
    for (const [i, { parameter }] of all.entries()) assert.ok(parameter.every(value => value === i + 1))
    assert.equal(new Set(all.map(({ parameter }) => parameter.buffer)).size, 1)
  })

  it('opens another memory where one is full', () => {
    const buffers = allocateParameters([1024, 1024, 1024], { mostBytes: 32_768 }).map(({ parameter }) => parameter.buffer)
    assert.deepEqual([buffers[0] === buffers[1], buffers[1] === buffers[2]], [true, false])
  })
})

describe('the compiled passes', () => {
  it('are those of passes.wat', async () => {
    const source = readFileSync(new URL('../../../../../training/optimizers/passes.wat', import.meta.url), 'utf8')
    const { buffer } = (await wabt()).parseWat('passes.wat', source, { simd: true }).toBinary({})
    assert.equal(Buffer.from(buffer).toString('base64'), PASSES)
  })
})
