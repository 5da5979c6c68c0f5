import assert from 'node:assert/strict'
import { type CompiledTraining, type Engine, openEngine, type TokenBatch } from '../../../training/engines/engine.ts'
import { initialParameters } from '../../../training/models/initial-parameters.ts'
import { createModel, type NamedTensor } from '../../../training/models/model.ts'
import type { LearningRateSchedule } from '../../../training/optimizers/schedule.ts'
import { type BatchPosition, type BatchSource, Trainer } from '../../../training/trainer.ts'

const model = createModel({ family: 'gpt2', vocabulary: 17, context: 6, width: 8, layers: 1, heads: 2, biases: true, tiedEmbeddings: true })
const schedule: LearningRateSchedule = { kind: 'cosine', learningRate: 1e-2, warmupSteps: 2, totalSteps: 20, finalFactor: 0.1 }
const options = { schedule, accumulation: 2 }

/** Batches that differ by position. */
function countingSource(): BatchSource {
  let offset = 0
  return {
    next(): TokenBatch {
      const at = offset++
      return {
        inputs: Int32Array.from({ length: 12 }, (_, i) => (at * 5 + i * 3) % 17),
        targets: Int32Array.from({ length: 12 }, (_, i) => (at * 5 + i * 3 + 3) % 17)
      }
    },
    position: (): BatchPosition => ({ epoch: 0, slot: 0, offset }),
    seek(position) {
      offset = position.offset
    }
  }
}

const closeTo = (got: readonly NamedTensor[], want: readonly NamedTensor[], tolerance = 1e-6) => {
  for (const [t, { name, values }] of want.entries())
    for (const [i, value] of values.entries())
      assert.ok(Math.abs(got[t]!.values[i]! - value) <= tolerance, `${name}[${i}]: ${got[t]!.values[i]} is not ${value}`)
}
const moved = (tensors: readonly NamedTensor[], by: number): NamedTensor[] =>
  tensors.map(tensor => ({ ...tensor, values: tensor.values.map(value => value + by) }))
const steps = async (trainer: Trainer, count: number): Promise<number[]> => {
  const losses: number[] = []
  for (let i = 0; i < count; i++) losses.push((await trainer.step()).loss)
  return losses
}

describe('Trainer', () => {
  let engine: Engine
  let compiled: CompiledTraining
  let trainer: Trainer
  const compile = () =>
    engine.compileTraining(model, {
      batch: 2,
      context: 6,
      accumulation: 2,
      optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipNorm: 1 }
    })

  before(async () => {
    engine = await openEngine('js', { threads: 1 })
  })
  beforeEach(async () => {
    compiled = await compile()
    trainer = await Trainer.open({ compiled, data: countingSource() }, { parameters: initialParameters(model, 1) }, options)
  })
  afterEach(() => compiled.dispose())
  after(() => engine.dispose())

  it('step() reports step, rate and tokens, and learns', async () => {
    const first = await trainer.step()
    assert.deepEqual([first.step, first.learningRate, first.tokens], [1, 0.005, 24])
    assert.ok(first.gradNorm! > 0)
    const losses = await steps(trainer, 9)
    assert.ok(losses.at(-1)! < first.loss - 0.2, `${first.loss} -> ${losses.at(-1)}`)
  })

  it('steps as far as a new one where it begins late, at once and after a restart: its moments are new', async () => {
    const parameters = initialParameters(model, 1)
    const constant = { ...options, schedule: { ...schedule, kind: 'constant', warmupSteps: 0 } as const }
    const lateCompiled = await compile()
    const late = await Trainer.open({ compiled: lateCompiled, data: countingSource() }, { parameters, step: 1_000 }, constant)
    const early = await Trainer.open({ compiled, data: countingSource() }, { parameters }, constant)
    await Promise.all([steps(late, 3), steps(early, 3)])
    assert.deepEqual(await late.parameters(), await early.parameters())
    const state = await late.state()
    const resumed = await Trainer.open({ compiled: lateCompiled, data: countingSource() }, { state }, constant)
    assert.equal(resumed.steps, 1_003)
    await Promise.all([steps(resumed, 3), steps(early, 3)])
    assert.deepEqual(await resumed.parameters(), await early.parameters())
    await lateCompiled.dispose()
  })

  it('snapshot() takes nothing of a model that diverged in the last step, whose loss could not say so', async () => {
    const diverging = await Trainer.open(
      { compiled, data: countingSource() },
      { parameters: initialParameters(model, 1) },
      { ...options, schedule: { ...schedule, learningRate: 1e300 } }
    )
    assert.ok(Number.isFinite((await diverging.step()).loss))
    await assert.rejects(diverging.snapshot(), { code: 'non_finite' })
    assert.equal(diverging.stepsSinceSnapshot, 1)
    assert.ok(diverging.base().every(({ values }) => values.every(Number.isFinite)))
  })

  it('restore() refuses a change that is not finite, and stays as it was', async () => {
    await steps(trainer, 1)
    const before = await trainer.parameters()
    const delta = moved(before, 0)
    delta[1]!.values[0] = Number.NaN
    await assert.rejects(trainer.restore(delta), { code: 'non_finite_delta', message: new RegExp(delta[1]!.name) })
    assert.deepEqual(await trainer.parameters(), before)
  })

  it('restore() refuses a change that is too large to be training, and stays as it was', async () => {
    const before = await trainer.parameters()
    await assert.rejects(trainer.restore(moved(before, 1e6)), { code: 'norm_too_large' })
    assert.deepEqual(await trainer.parameters(), before)
  })

  it('snapshot() gives base minus local once, with the mean loss', async () => {
    const start = await trainer.parameters()
    const losses = await steps(trainer, 3)
    const { delta, steps: count, tokens, loss } = await trainer.snapshot()
    assert.deepEqual([count, tokens], [3, 72])
    assert.ok(Math.abs(loss - losses.reduce((a, b) => a + b) / 3) < 1e-12)
    const local = await trainer.parameters()
    closeTo(
      delta,
      start.map((tensor, t) => ({ ...tensor, values: tensor.values.map((value, i) => value - local[t]!.values[i]!) }))
    )
    assert.deepEqual(trainer.base(), local)
    const second = await trainer.snapshot()
    assert.equal(second.steps, 0)
    assert.ok(second.delta.every(({ values }) => values.every(value => value === 0)))
  })

  it('adopt() with shift carries unreported progress to the new anchor', async () => {
    await steps(trainer, 2)
    const local = await trainer.parameters()
    const anchor = moved(trainer.base(), 0.5)
    await trainer.adopt(anchor, 'shift')
    closeTo(await trainer.parameters(), moved(local, 0.5))
    assert.deepEqual(trainer.base(), anchor)
    assert.equal(trainer.stepsSinceSnapshot, 2)
  })

  it('adopt() with shift right after a snapshot lands on the anchor exactly', async () => {
    await steps(trainer, 2)
    await trainer.snapshot()
    const anchor = moved(trainer.base(), 0.25)
    await trainer.adopt(anchor, 'shift')
    assert.deepEqual(await trainer.parameters(), anchor)
  })

  it('adopt() with keep leaves local where it is and measures from the new anchor', async () => {
    await steps(trainer, 2)
    const local = await trainer.parameters()
    const anchor = moved(trainer.base(), 0.5)
    await trainer.adopt(anchor, 'keep')
    assert.deepEqual(await trainer.parameters(), local)
    const { delta } = await trainer.snapshot()
    closeTo(
      delta,
      anchor.map((tensor, t) => ({ ...tensor, values: tensor.values.map((value, i) => value - local[t]!.values[i]!) }))
    )
  })

  it('adopt() with leave begins at the anchor anew, also where parameters and moments are no numbers', async () => {
    const anchor = moved(trainer.base(), 0)
    const fresh = await compile()
    const other = await Trainer.open({ compiled: fresh, data: countingSource() }, { parameters: anchor }, options)
    await steps(trainer, 1)
    await trainer.adopt(moved(anchor, Number.NaN), 'keep')
    await trainer.adopt(moved(anchor, Number.NaN), 'shift')
    await assert.rejects(trainer.step(), { code: 'non_finite' })
    await trainer.adopt(anchor, 'leave')
    assert.deepEqual([await trainer.parameters(), trainer.base()], [anchor, anchor])
    assert.deepEqual([trainer.stepsSinceSnapshot, trainer.tokensSinceSnapshot], [0, 0])
    const { json, tensors } = await trainer.state()
    assert.equal(json.momentSteps, 0)
    const { tensors: begun } = await other.state()
    assert.deepEqual(tensors, begun)
    await fresh.dispose()
  })

  it('putBack() undoes a snapshot that could not be kept', async () => {
    await steps(trainer, 2)
    const base = trainer.base()
    const lost = await trainer.snapshot()
    await trainer.putBack(base, lost)
    assert.deepEqual([trainer.stepsSinceSnapshot, trainer.tokensSinceSnapshot], [2, lost.tokens])
    const again = await trainer.snapshot()
    assert.deepEqual(again.delta, lost.delta)
    assert.ok(Math.abs(again.loss - lost.loss) < 1e-9)
  })

  it('restore() makes a lost contribution part of the next snapshot', async () => {
    await steps(trainer, 2)
    const lost = await trainer.snapshot()
    await trainer.adopt(moved(trainer.base(), 0.1), 'shift')
    await trainer.restore(lost.delta, lost)
    const again = await trainer.snapshot()
    closeTo(again.delta, lost.delta)
    assert.deepEqual([again.steps, again.tokens], [2, 48])
  })

  it('state() resumes exactly: same losses, parameters and snapshot as without a stop', async () => {
    await steps(trainer, 3)
    await trainer.snapshot()
    await steps(trainer, 2)
    const state = structuredClone(await trainer.state())
    const other = await compile()
    const resumed = await Trainer.open(
      { compiled: other, data: countingSource() },
      { state: { ...state, json: JSON.parse(JSON.stringify(state.json)) } },
      options
    )
    assert.deepEqual(await steps(resumed, 4), await steps(trainer, 4))
    assert.deepEqual(await resumed.parameters(), await trainer.parameters())
    assert.deepEqual(await resumed.snapshot(), await trainer.snapshot())
    await other.dispose()
  })

  it('takes overlapping calls one after the other', async () => {
    const anchor = moved(trainer.base(), 0.5)
    const [report] = await Promise.all([trainer.step(), trainer.adopt(anchor, 'shift'), trainer.step()])
    assert.equal(report.step, 1)
    assert.equal(trainer.steps, 2)
  })

  it('refuses an anchor of another model and stays as it was', async () => {
    const before = await trainer.parameters()
    await assert.rejects(trainer.adopt(trainer.base().slice(1), 'shift'), { code: 'bad_parameters', message: /transformer\.wte\.weight/ })
    assert.deepEqual(await trainer.parameters(), before)
  })

  it('says so when the loss is not finite', async () => {
    await trainer.adopt(
      trainer.base().map(tensor => ({ ...tensor, values: tensor.values.map(() => Number.NaN) })),
      'shift'
    )
    await assert.rejects(trainer.step(), { code: 'non_finite' })
  })
})
