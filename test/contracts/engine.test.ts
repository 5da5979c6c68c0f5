// What every engine must do, run on each that works here. Gradients are read from the first moment after one step: m = (1 - beta1) g.
import assert from 'node:assert/strict'
import { benchTrain } from '../../training/bench.ts'
import {
  type AdamWOptions,
  type CompiledTraining,
  describeEngine,
  type Engine,
  type EngineName,
  openEngine,
  type TokenBatch
} from '../../training/engines/engine.ts'
import { tf } from '../../training/engines/tensorflow.ts'
import { initialParameters } from '../../training/models/initial-parameters.ts'
import { createModel, type Model, type NamedTensor } from '../../training/models/model.ts'
import {
  ADAMW,
  LEARNING_RATE,
  LLAMA_LOSSES,
  LLAMA_WORKLOAD,
  llamaBatch,
  PYTORCH_LOSSES,
  WORKLOADS,
  workloadBatch,
  workloadParameters,
  workloadSpecs
} from '../reference/train-step.ts'

const ENGINES: EngineName[] = ['traced', 'wasm', 'js']
for (const [name, how] of [
  ['webgpu', 'README, Tests, says how to try it without a GPU'],
  ['tfjs-node', 'test/peers/with-tfjs-node.py tries it'],
  ['tfjs-node-gpu', 'it needs a GPU of its own']
] as const) {
  const { available, reason } = await describeEngine(name)
  if (available) ENGINES.push(name)
  else it.skip(`engine ${name} is not tried: ${reason} (${how})`)
}
const BATCH = 2
const CONTEXT = 8
const VOCABULARY = 23
const optimizer: AdamWOptions = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipNorm: null }
const modelOf = (biases: boolean, tiedEmbeddings: boolean) =>
  createModel({ family: 'gpt2', vocabulary: VOCABULARY, context: CONTEXT, width: 12, layers: 2, heads: 3, biases, tiedEmbeddings })

const LLAMA = { family: 'llama', vocabulary: VOCABULARY, context: CONTEXT, width: 16, layers: 2, heads: 4, hidden: 24 } as const
const VARIANTS: [string, Model][] = [
  ['gpt2 with biases, tied', modelOf(true, true)],
  ['gpt2 with biases, untied', modelOf(true, false)],
  ['gpt2 without biases, tied', modelOf(false, true)],
  ['llama with shared keys, untied', createModel({ ...LLAMA, keyValueHeads: 2, tiedEmbeddings: false })],
  ['llama with a key for each head, tied', createModel({ ...LLAMA, keyValueHeads: 4, tiedEmbeddings: true })]
]

async function referenceLosses(engine: EngineName, name: 'tiny' | 'small'): Promise<number[]> {
  const config = WORKLOADS[name]
  const { inputs, targets } = workloadBatch(config)
  const params = joined(workloadParameters(config).map(({ values }) => values))
  const batch = Int32Array.from([...inputs, ...targets])
  const adamw = { ...ADAMW, learningRate: LEARNING_RATE }
  const steps = PYTORCH_LOSSES[name].length - 1
  return (await benchTrain({ name, config, specs: workloadSpecs(config), adamw, params, batch, steps, warmup: 1, threads: 2, engine }))
    .losses
}

function joined(parts: Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function assertClose(got: ArrayLike<number>, want: ArrayLike<number>, tolerance: number, what = ''): void {
  assert.equal(got.length, want.length)
  for (let i = 0; i < want.length; i++) assert.ok(Math.abs(got[i]! - want[i]!) <= tolerance, `${what} at ${i}: ${got[i]} is not ${want[i]}`)
}

/** A batch in which tokens repeat. */
function batchOf(seed: number, size = BATCH * CONTEXT): TokenBatch {
  const tokens = (shift: number) => Int32Array.from({ length: size }, (_, i) => ((i + shift) * (i + seed) * 5 + seed) % VOCABULARY)
  return { inputs: tokens(0), targets: tokens(1) }
}

/** Initial parameters with biases and scales that are not all zeros and ones, so that each one's gradient is told apart. */
function parametersOf(model: Model): NamedTensor[] {
  return initialParameters(model, 5).map(({ name, shape, values }) => ({
    name,
    shape,
    values: values.map((value, i) => value * 3 + 0.1 * Math.sin(i))
  }))
}

async function firstMoments(engine: Engine, model: Model, options: Partial<AdamWOptions> = {}): Promise<NamedTensor[]> {
  const compiled = await engine.compileTraining(model, {
    batch: BATCH,
    context: CONTEXT,
    accumulation: 1,
    optimizer: { ...optimizer, ...options }
  })
  await compiled.load(parametersOf(model))
  await compiled.step([batchOf(1)], 1e-3)
  const moments = (await compiled.moments()).filter(({ name }) => name.startsWith('adam.m/'))
  await compiled.dispose()
  return moments
}

for (const name of ENGINES)
  describe(`engine ${name}`, function () {
    // A GPU made of software compiles each of its shaders for a second or more.
    if (name === 'webgpu') this.timeout(300_000)
    let engine: Engine
    before(async () => {
      engine = await openEngine(name, { threads: 2 })
    })
    after(() => engine.dispose())
    const model = modelOf(true, true)
    const compile = async (accumulation = 1, batch = BATCH, options: Partial<AdamWOptions> = {}): Promise<CompiledTraining> => {
      const compiled = await engine.compileTraining(model, {
        batch,
        context: CONTEXT,
        accumulation,
        optimizer: { ...optimizer, ...options }
      })
      await compiled.load(parametersOf(model))
      return compiled
    }

    it("gives PyTorch's losses on the tiny workload", async () => {
      assertClose(await referenceLosses(name, 'tiny'), PYTORCH_LOSSES.tiny, 1e-4)
    })

    it("gives PyTorch's losses on a Llama", async () => {
      const model = createModel(LLAMA_WORKLOAD.model)
      const { losses } = await benchTrain({
        config: LLAMA_WORKLOAD,
        specs: model.parameters.map(({ name: parameter, shape }) => [parameter, shape]),
        adamw: { ...ADAMW, learningRate: LEARNING_RATE },
        params: joined(initialParameters(model, 1).map(({ values }) => values)),
        batch: llamaBatch(),
        steps: LLAMA_LOSSES.length - 1,
        warmup: 1,
        threads: 2,
        engine: name
      })
      assertClose(losses, LLAMA_LOSSES, 1e-4)
    })

    for (const [kind, variant] of VARIANTS)
      it(`gives plain JavaScript's gradients, ${kind}`, async () => {
        const js = await openEngine('js', { threads: 1 })
        const want = await firstMoments(js, variant)
        const got = await firstMoments(engine, variant)
        for (const [t, { name: parameter, values }] of want.entries()) {
          assert.ok(values.some(value => value !== 0))
          assertClose(got[t]!.values, values, 3e-6, parameter)
        }
        await js.dispose()
      })

    it('steps on the mean of its microbatches', async () => {
      const [one, two] = [batchOf(1), batchOf(2)]
      const joined = { inputs: Int32Array.from([...one.inputs, ...two.inputs]), targets: Int32Array.from([...one.targets, ...two.targets]) }
      const [apart, together] = [await compile(2), await compile(1, 2 * BATCH)]
      const [a, b] = [await apart.step([one, two], 1e-3), await together.step([joined], 1e-3)]
      assert.ok(Math.abs(a.loss - b.loss) < 1e-5)
      const [m, want] = [await apart.moments(), await together.moments()]
      for (const [t, { name: moment, values }] of want.entries()) assertClose(m[t]!.values, values, 1e-6, moment)
    })

    it('clips by the global norm and reports it as it was', async () => {
      const free = await firstMoments(engine, model)
      const norm = Math.sqrt(free.reduce((sum, { values }) => sum + values.reduce((inner, value) => inner + (value / 0.1) ** 2, 0), 0))
      const compiled = await compile(1, BATCH, { clipNorm: norm / 4 })
      const { gradNorm } = await compiled.step([batchOf(1)], 1e-3)
      assert.ok(Math.abs(gradNorm! / norm - 1) < 1e-4)
      const clipped = (await compiled.moments()).filter(moment => moment.name.startsWith('adam.m/'))
      for (const [t, { name: moment, values }] of free.entries())
        assertClose(
          clipped[t]!.values,
          values.map(value => value / 4),
          1e-6,
          moment
        )
    })

    it('goes on exactly from parameters, moments and step', async () => {
      const compiled = await compile()
      for (const seed of [1, 2, 3]) await compiled.step([batchOf(seed)], 1e-2)
      const other = await engine.compileTraining(model, { batch: BATCH, context: CONTEXT, accumulation: 1, optimizer })
      await other.load(await compiled.parameters(), await compiled.moments(), 3)
      const [got, want] = [await other.step([batchOf(4)], 1e-2), await compiled.step([batchOf(4)], 1e-2)]
      if (name !== 'webgpu') {
        assert.deepEqual(got, want)
        assert.deepEqual(await other.parameters(), await compiled.parameters())
        return
      }
      // A GPU adds where indices repeat, and in some products, in the order in which its threads arrive.
      assertClose([got.loss], [want.loss], 1e-4)
      const parameters = await compiled.parameters()
      for (const [t, { name: parameter, values }] of (await other.parameters()).entries())
        assertClose(values, parameters[t]!.values, 1e-3, parameter)
    })

    it('takes and gives copies', async () => {
      const compiled = await compile()
      const given = parametersOf(model)
      await compiled.setParameters(given)
      given[0]!.values.fill(7)
      ;(await compiled.parameters())[0]!.values.fill(8)
      assert.deepEqual(await compiled.parameters(), parametersOf(model))
    })

    it('keeps moments when parameters are set', async () => {
      const compiled = await compile()
      await compiled.step([batchOf(1)], 1e-2)
      const moments = await compiled.moments()
      await compiled.setParameters(parametersOf(model))
      assert.deepEqual(await compiled.moments(), moments)
    })

    it('forward gives logits whose cross entropy is losses, for contexts shorter than the model too', async () => {
      const context = 5
      const { inputs, targets } = batchOf(3, 2 * context)
      const forward = await engine.compileForward(model, { batch: 2, context })
      await forward.load(parametersOf(model))
      const logits = await forward.logits(inputs)
      assert.equal(logits.length, 2 * context * VOCABULARY)
      const want = [...targets].map((target, row) => {
        const one = logits.subarray(row * VOCABULARY, (row + 1) * VOCABULARY)
        return Math.log(one.reduce((sum, value) => sum + Math.exp(value), 0)) - one[target]!
      })
      assertClose(await forward.losses(inputs, targets), want, 1e-5)
      await forward.dispose()
    })

    it('forward looks at no later token', async () => {
      const forward = await engine.compileForward(model, { batch: 1, context: CONTEXT })
      await forward.load(parametersOf(model))
      const { inputs } = batchOf(1, CONTEXT)
      const first = await forward.logits(inputs)
      const second = await forward.logits(inputs.with(CONTEXT - 1, (inputs[CONTEXT - 1]! + 1) % VOCABULARY))
      const before = (CONTEXT - 1) * VOCABULARY
      assert.deepEqual(first.subarray(0, before), second.subarray(0, before))
      assert.notDeepEqual(first.subarray(before), second.subarray(before))
    })

    for (const [kind, variant] of VARIANTS)
      it(`decoding gives the forward's logits at each place, however the text begins, ${kind}`, async () => {
        const { inputs } = batchOf(2, CONTEXT)
        const forward = await engine.compileForward(variant, { batch: 1, context: CONTEXT })
        await forward.load(parametersOf(variant))
        const logits = await forward.logits(inputs)
        const wanted = (token: number) => logits.subarray(token * VOCABULARY, (token + 1) * VOCABULARY)
        for (const context of [CONTEXT, CONTEXT - 2]) {
          const decoding = await engine.compileDecoding(variant, { context })
          await decoding.load(parametersOf(variant))
          // What an earlier text left must not be seen by a later one.
          for (const begun of [1, context, 3, 0]) {
            if (begun === 0) await decoding.load(parametersOf(variant))
            else assertClose(await decoding.begin(inputs.slice(0, begun)), wanted(begun - 1), 1e-4, `begin(${begun})`)
            for (let token = begun; token < context; token++)
              assertClose(await decoding.next(inputs[token]!), wanted(token), 1e-4, `begin(${begun}), next ${token}`)
          }
          await decoding.dispose()
        }
        await forward.dispose()
      })

    it('decoding has nothing left of the text before once parameters are loaded again', async () => {
      const decoding = await engine.compileDecoding(model, { context: 3 })
      const spoilt = parametersOf(model).map(tensor => ({ ...tensor, values: tensor.values.map(() => Number.NaN) }))
      await decoding.load(spoilt)
      await decoding.begin(Int32Array.of(1, 2))
      await decoding.load(parametersOf(model))
      const wanted = [await decoding.next(3), await decoding.next(4)]
      assert.ok(wanted.every(logits => logits.every(Number.isFinite)))
      await decoding.dispose()
    })

    it('decoding refuses what it cannot take, with a code, and goes on', async () => {
      const decoding = await engine.compileDecoding(model, { context: 3 })
      await assert.rejects(decoding.begin(Int32Array.of(1)), { code: 'not_loaded' })
      await assert.rejects(decoding.next(1), { code: 'not_loaded' })
      await decoding.load(parametersOf(model))
      await assert.rejects(decoding.begin(Int32Array.of()), { code: 'bad_batch' })
      await assert.rejects(decoding.begin(Int32Array.of(1, 2, 3, 4)), { code: 'bad_batch', message: /4 tokens after 0/ })
      const want = await decoding.begin(Int32Array.of(1, 2, 3))
      await assert.rejects(decoding.next(4), { code: 'bad_batch', message: /1 tokens after 3/ })
      await decoding.begin(Int32Array.of(1, 2))
      await assert.rejects(decoding.next(VOCABULARY), { code: 'bad_batch', message: /token 23 at place 0/ })
      assertClose(await decoding.next(3), want, 1e-4)
      await decoding.dispose()
      await assert.rejects(decoding.begin(Int32Array.of(1)), { code: 'engine_disposed' })
      await assert.rejects(engine.compileDecoding(model, { context: CONTEXT + 1 }), { code: 'bad_batch' })
    })

    it('leaks no tensor', async () => {
      const start = tf.memory().numTensors
      const compiled = await compile(2, BATCH, { clipNorm: 1 })
      const forward = await engine.compileForward(model, { batch: BATCH, context: CONTEXT })
      await forward.load(parametersOf(model))
      const decoding = await engine.compileDecoding(model, { context: CONTEXT })
      await decoding.load(parametersOf(model))
      await decoding.begin(Int32Array.of(1))
      const { inputs, targets } = batchOf(1)
      const resident = tf.memory().numTensors
      for (let i = 0; i < 3; i++) {
        await compiled.step([batchOf(1), batchOf(2)], 1e-3)
        await compiled.setParameters(await compiled.parameters())
        await forward.losses(inputs, targets)
        await decoding.next(i)
      }
      assert.equal(tf.memory().numTensors, resident)
      await compiled.dispose()
      await decoding.dispose()
      await forward.dispose()
      assert.equal(tf.memory().numTensors, start)
    })

    it('refuses what it cannot take, with a code, and goes on', async () => {
      const compiled = await compile()
      const batch = batchOf(1)
      await assert.rejects(compiled.step([{ ...batch, inputs: batch.inputs.with(3, VOCABULARY) }], 1e-3), {
        code: 'bad_batch',
        message: /token 23 at place 3/
      })
      await assert.rejects(compiled.step([{ ...batch, targets: batch.targets.slice(1) }], 1e-3), { code: 'bad_batch' })
      await assert.rejects(compiled.step([batch, batch], 1e-3), { code: 'bad_batch', message: /compiled for 1/ })
      await assert.rejects(compiled.setParameters(parametersOf(model).slice(1)), { code: 'bad_parameters' })
      assert.ok(Number.isFinite((await compiled.step([batch], 1e-3)).loss))
      const fresh = await engine.compileTraining(model, { batch: BATCH, context: CONTEXT, accumulation: 1, optimizer })
      await assert.rejects(fresh.step([batch], 1e-3), { code: 'not_loaded' })
      await fresh.dispose()
      await assert.rejects(fresh.load(parametersOf(model)), { code: 'engine_disposed' })
      await assert.rejects(engine.compileForward(model, { batch: 1, context: CONTEXT + 1 }), { code: 'bad_batch' })
    })
  })

describe('engine traced', () => {
  it("gives PyTorch's losses on the small workload", async function () {
    // 15 steps of half a second, on a machine that has other work.
    this.timeout(120_000)
    assertClose(await referenceLosses('traced', 'small'), PYTORCH_LOSSES.small, 1e-4)
  })
})
