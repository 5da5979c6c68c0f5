// What every engine must do, run on each that works on this machine.
import assert from 'node:assert/strict'
import { benchTrain } from '../../training/bench.ts'
import { type EngineName, openEngine } from '../../training/engines/engine.ts'
import {
  ADAMW,
  LEARNING_RATE,
  PYTORCH_LOSSES,
  WORKLOADS,
  workloadBatch,
  workloadParameters,
  workloadSpecs
} from '../reference/train-step.ts'

const ENGINES: EngineName[] = ['js', 'wasm']

export async function referenceLosses(engine: EngineName, name: 'tiny' | 'small'): Promise<number[]> {
  const config = WORKLOADS[name]
  const { inputs, targets } = workloadBatch(config)
  const params = Float32Array.from(workloadParameters(config).flatMap(({ values }) => [...values]))
  const report = await benchTrain({
    name,
    config,
    specs: workloadSpecs(config),
    adamw: { ...ADAMW, learningRate: LEARNING_RATE },
    params,
    batch: Int32Array.from([...inputs, ...targets]),
    steps: PYTORCH_LOSSES[name].length - 1,
    warmup: 1,
    threads: 2,
    engine
  })
  return report.losses
}

export function assertClose(got: readonly number[], want: readonly number[], tolerance: number): void {
  assert.equal(got.length, want.length)
  for (const [i, value] of want.entries()) assert.ok(Math.abs(got[i]! - value) <= tolerance, `at ${i}: ${got[i]} is not ${value}`)
}

for (const name of ENGINES)
  describe(`engine ${name}`, () => {
    it("gives PyTorch's losses on the tiny workload", async () => {
      assertClose(await referenceLosses(name, 'tiny'), PYTORCH_LOSSES.tiny, 1e-4)
    })
    it('opens', async () => {
      await (await openEngine(name, { threads: 1 })).dispose()
    })
  })
