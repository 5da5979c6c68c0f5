// Choosing an engine by measuring, with real engines and a model that takes milliseconds.
import assert from 'node:assert/strict'
import { choiceInWords, contenders, measureEngines } from '../../../../training/engines/choose.ts'
import { createModel } from '../../../../training/models/model.ts'

const workload = {
  model: createModel({ family: 'gpt2', vocabulary: 31, context: 8, width: 8, layers: 1, heads: 2, biases: false, tiedEmbeddings: true }),
  options: {
    ...{ batch: 2, context: 8, accumulation: 2 },
    optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clipNorm: null }
  },
  threads: 1
}

describe('choosing an engine', function () {
  this.timeout(60_000)

  it('measures each that can do the step, says the fastest first, and leaves out who cannot', async () => {
    const tried: string[] = []
    const measured = await measureEngines(['tfjs-node', 'wasm', 'traced'], workload, engine => tried.push(engine))
    assert.deepEqual(tried, ['tfjs-node', 'wasm', 'traced'])
    assert.deepEqual(measured.map(({ engine }) => engine).toSorted(), ['traced', 'wasm'])
    assert.ok(measured[0]!.stepMs > 0 && measured[0]!.stepMs <= measured[1]!.stepMs)
  })

  it('leaves out who computes what is not a number, however fast', async () => {
    const optimizer = { ...workload.options.optimizer, weightDecay: Number.NaN }
    assert.deepEqual(await measureEngines(['wasm', 'traced'], { ...workload, options: { ...workload.options, optimizer } }), [])
  })

  it('takes a last resort only where nothing else works', async () => {
    const tried: string[] = []
    const found = await contenders([], engine => tried.push(engine))
    assert.ok(found.includes('traced'))
    assert.ok(!tried.includes('wasm') && !tried.includes('js'))
    assert.deepEqual(await contenders(['tfjs-node-gpu', 'webgpu', 'traced', 'tfjs-node']), ['wasm'])
    assert.deepEqual(await contenders(['tfjs-node-gpu', 'webgpu', 'traced', 'tfjs-node', 'wasm']), ['js'])
    assert.deepEqual(await contenders(['tfjs-node-gpu', 'webgpu', 'traced', 'tfjs-node', 'wasm', 'js']), [])
  })

  it('says by how much the first is faster', () => {
    const measured = [
      { engine: 'webgpu', stepMs: 10 },
      { engine: 'traced', stepMs: 41 }
    ] as const
    assert.equal(choiceInWords(measured), 'webgpu, 4.1x as fast as traced (10 ms a step)')
  })
})
