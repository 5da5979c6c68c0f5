import assert from 'node:assert/strict'
import { type BenchTrainOptions, benchTrain } from '../../../training/bench.ts'
import { ADAMW, workloadBatch, workloadParameters, workloadSpecs } from '../../reference/train-step.ts'

const config = { V: 11, T: 4, B: 2, D: 8, L: 1, H: 2 }
const { inputs, targets } = workloadBatch(config)
const options: BenchTrainOptions = {
  name: 'test',
  config,
  specs: workloadSpecs(config),
  adamw: { ...ADAMW, learningRate: 1e-3 },
  params: Float32Array.from(workloadParameters(config).flatMap(({ values }) => [...values])),
  batch: Int32Array.from([...inputs, ...targets]),
  steps: 2,
  warmup: 1,
  threads: 1,
  engine: 'js'
}

describe('benchTrain()', () => {
  it("reports under the PyTorch script's keys, with the loss of every step", async () => {
    const report = await benchTrain(options)
    assert.deepEqual(Object.keys(report), [
      ...['engine', 'name', 'threads', 'ms', 'tokensPerSecond', 'gflops', 'rssMB', 'residentMB', 'tensorsLeft', 'losses', 'compileMs']
    ])
    assert.deepEqual([report.engine, report.name, report.threads, report.losses.length], ['js', 'test', 1, 3])
    assert.ok(report.losses[2]! < report.losses[0]! && report.ms > 0 && report.rssMB > 0)
    assert.ok(report.residentMB.every(resident => resident > 0))
    assert.equal(report.tensorsLeft, 0)
  })

  it('refuses files that do not fit one another', async () => {
    await assert.rejects(benchTrain({ ...options, params: options.params.slice(1) }), { code: 'bad_workload' })
    await assert.rejects(benchTrain({ ...options, batch: options.batch.slice(1) }), { code: 'bad_workload' })
    await assert.rejects(benchTrain({ ...options, steps: 0 }), { code: 'bad_workload', message: /steps/ })
    await assert.rejects(benchTrain({ ...options, specs: options.specs.map(spec => (spec[0] === 'wte' ? ['other', spec[1]] : spec)) }), {
      code: 'bad_workload',
      message: /other/
    })
  })

  it("refuses parameters that are not the model's before it opens an engine", async () => {
    const nowhere = { ...options, engine: 'none' as BenchTrainOptions['engine'] }
    await assert.rejects(benchTrain({ ...nowhere, specs: [], params: new Float32Array() }), {
      code: 'bad_parameters',
      message: /is missing/
    })
    await assert.rejects(benchTrain(nowhere), { code: 'unknown_engine' })
  })
})
