import assert from 'node:assert/strict'
import { type CompiledTraining, openEngine, type TokenBatch, type TrainingOptions } from '../../../../../training/engines/engine.ts'
import { probeWebgpu } from '../../../../../training/engines/webgpu/probe.ts'
import { openWebgpuEngine, type WebgpuEngine } from '../../../../../training/engines/webgpu/webgpu.ts'
import { initialParameters } from '../../../../../training/models/initial-parameters.ts'
import { createModel } from '../../../../../training/models/model.ts'

const { reason } = await probeWebgpu()
const BATCH = 2
const CONTEXT = 8
const VOCABULARY = 23
const model = createModel({
  ...{ family: 'gpt2', vocabulary: VOCABULARY, context: CONTEXT, width: 12, layers: 1, heads: 3, biases: true },
  tiedEmbeddings: true
})
const options: TrainingOptions = {
  ...{ batch: BATCH, context: CONTEXT, accumulation: 3 },
  optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipNorm: 0.5 }
}

function batches(seed: number): TokenBatch[] {
  const tokens = (shift: number) =>
    Int32Array.from({ length: BATCH * CONTEXT }, (_, i) => ((i + shift) * (i + seed) * 5 + seed) % VOCABULARY)
  return [0, 1, 2].map(one => ({ inputs: tokens(3 * seed + one), targets: tokens(3 * seed + one + 1) }))
}

async function train(compiled: CompiledTraining, steps: number): Promise<number[]> {
  const losses: number[] = []
  for (let step = 0; step < steps; step++) losses.push((await compiled.step(batches(step % 4), 1e-2)).loss)
  return losses
}

describe(`engine webgpu, on its device${reason === null ? '' : ` (not tried: ${reason})`}`, function () {
  // A GPU made of software compiles each of its shaders for a second or more.
  this.timeout(300_000)
  let engine: WebgpuEngine
  before(async function () {
    if (reason !== null) this.skip()
    engine = await openWebgpuEngine()
  })
  after(() => engine?.dispose())

  it("follows the CPU's losses within 1e-3, with accumulation and clipping", async () => {
    const cpu = await openEngine('traced', { threads: 1 })
    const [got, want] = await Promise.all(
      [engine, cpu].map(async each => {
        const compiled = await each.compileTraining(model, options)
        await compiled.load(initialParameters(model, 1))
        const losses = await train(compiled, 20)
        await compiled.dispose()
        return losses
      })
    )
    assert.ok(want![0]! - want![19]! > 0.1, 'the loss did not fall')
    for (const [step, loss] of want!.entries()) assert.ok(Math.abs(got![step]! - loss) < 1e-3, `step ${step}: ${got![step]} is not ${loss}`)
    await cpu.dispose()
  })

  it('moves tokens, three scalars, losses and the norm in a step, and no parameter', async () => {
    const compiled = await engine.compileTraining(model, options)
    await compiled.load(initialParameters(model, 1))
    for (let step = 0; step < 2; step++) {
      const before = engine.account()
      await train(compiled, 1)
      const after = engine.account()
      assert.equal(after.uploadedBytes - before.uploadedBytes, 3 * 2 * BATCH * CONTEXT * 4 + 3 * 4)
      assert.equal(after.downloadedBytes - before.downloadedBytes, 3 * 4 + 4)
    }
    await compiled.dispose()
  })

  it('leaves no session open where a step could not be compiled to its end', async () => {
    const other = await openWebgpuEngine()
    const compiling = assert.rejects(other.compileTraining(model, options), { code: 'engine_disposed' })
    await other.dispose()
    await compiling
    assert.equal(other.account().sessions, 0)
  })

  it('leaves no tensor on the device', async () => {
    const start = engine.account()
    const compiled = await engine.compileTraining(model, options)
    await compiled.load(initialParameters(model, 1))
    await train(compiled, 1)
    const resident = engine.account()
    await train(compiled, 3)
    await compiled.setParameters(await compiled.parameters())
    await compiled.load(await compiled.parameters(), await compiled.moments(), 4)
    await train(compiled, 1)
    assert.equal(engine.account().residentTensors, resident.residentTensors)
    assert.equal(engine.account().residentBytes, resident.residentBytes)
    await compiled.dispose()
    assert.equal(engine.account().residentTensors, start.residentTensors)
    assert.equal(engine.account().residentBytes, start.residentBytes)
  })
})
