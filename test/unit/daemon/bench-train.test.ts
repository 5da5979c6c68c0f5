// A workload's files: what stands in them is checked before anything is made of it. And a benchmark on them ends when it is told to.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { benchTrain } from '../../../daemon/bench-train.ts'
import { workloadBatch, workloadParameters, workloadSpecs } from '../../reference/train-step.ts'
import { temporaryHome } from '../storage/temporary-home.ts'

const ADAMW = { learningRate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 }
const config = { V: 11, T: 4, B: 2, D: 8, L: 1, H: 2 }

describe('benchTrain() on files', () => {
  const home = temporaryHome()

  it('looks before each step whether it was told to end', async () => {
    const workload = join(home(), 'tiny')
    const { inputs, targets } = workloadBatch(config)
    writeFileSync(`${workload}.json`, JSON.stringify({ config, specs: workloadSpecs(config), adamw: ADAMW }))
    writeFileSync(`${workload}.params.bin`, Float32Array.from(workloadParameters(config).flatMap(({ values }) => [...values])))
    writeFileSync(`${workload}.batch.bin`, Int32Array.from([...inputs, ...targets]))
    const { signal } = new AbortController()
    let looks = 0
    signal.throwIfAborted = () => {
      if (++looks === 4) throw new Error('enough')
    }
    await assert.rejects(benchTrain({ workload, steps: 5, warmup: 0, threads: 1, engine: 'js', signal }), /enough/)
  })
})

describe("a workload's files", () => {
  const home = temporaryHome()
  const refusal = async (specs: unknown, adamw: object, message: RegExp) => {
    const workload = join(home(), 'odd')
    writeFileSync(`${workload}.json`, JSON.stringify({ config, specs, adamw }))
    writeFileSync(`${workload}.params.bin`, '')
    writeFileSync(`${workload}.batch.bin`, Buffer.alloc(2 * 4 * 2 * 4))
    return assert.rejects(benchTrain({ workload, steps: 1, warmup: 0, threads: 1, engine: 'js' }), {
      code: 'data_unreadable',
      message
    })
  }

  it('are refused where a parameter has no name or no shape', async () => {
    for (const specs of [[['x', null]], [[5, 7]], [['x']], [['x', [2, -1]]], [['x', [0.5]]], [[5, [2]]], 'x'])
      await refusal(specs, ADAMW, /specs/)
  })

  it('are refused where a number of the optimizer is missing', async () => {
    for (const key of Object.keys(ADAMW)) await refusal([], { ...ADAMW, [key]: undefined }, new RegExp(`adamw\\.${key}`))
  })
})
