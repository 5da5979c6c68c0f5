// What the engine keeps outside V8's heap: WebAssembly memories, which only the garbage collector frees, and what onnxruntime holds on to.
import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { openEngine } from '../../../../../training/engines/engine.ts'
import { initialParameters } from '../../../../../training/models/initial-parameters.ts'
import { createModel, elementCount } from '../../../../../training/models/model.ts'

const model = createModel({
  ...{ family: 'gpt2', vocabulary: 256, context: 8, width: 64, layers: 2, heads: 2 },
  ...{ biases: false, tiedEmbeddings: false }
})
const options = {
  ...{ batch: 1, context: 8, accumulation: 1 },
  optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipNorm: 1 }
}
const batch = { inputs: new Int32Array(8).fill(1), targets: new Int32Array(8).fill(2) }

async function trainAndDispose(): Promise<void> {
  const engine = await openEngine('traced', { threads: 1 })
  const compiled = await engine.compileTraining(model, options)
  await compiled.load(initialParameters(model, 1))
  for (let step = 0; step < 2; step++) await compiled.step([batch], 1e-3)
  await engine.dispose()
}

/** Bytes of array buffers and WebAssembly memories that are still reachable. */
async function externalBytes(): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  // What native code holds on behalf of what was collected goes a turn later.
  for (let i = 0; i < 3; i++) {
    collect()
    await setImmediate()
  }
  return process.memoryUsage().external
}

describe('engine traced, its memory', () => {
  it('is free again after it was disposed', async () => {
    await trainAndDispose()
    const before = await externalBytes()
    for (let i = 0; i < 10; i++) await trainAndDispose()
    const arrays = 4 * model.parameters.reduce((bytes, { shape }) => bytes + 4 * elementCount(shape), 0)
    assert.ok((await externalBytes()) - before < 2 * arrays, 'ten engines were disposed, and more than two are still there')
  })
})
