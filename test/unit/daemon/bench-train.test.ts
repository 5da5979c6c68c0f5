// A workload's files: what stands in them is checked before anything is made of it.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { benchTrain } from '../../../daemon/bench-train.ts'
import { temporaryHome } from '../storage/temporary-home.ts'

describe("a workload's files", () => {
  const home = temporaryHome()
  const ADAMW = { learningRate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 }
  const refusal = async (specs: unknown, adamw: object, message: RegExp) => {
    const workload = join(home(), 'odd')
    const config = { V: 11, T: 4, B: 2, D: 8, L: 1, H: 2 }
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
