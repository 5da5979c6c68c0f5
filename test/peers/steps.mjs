// Our side of with-torch.py: takes training steps on a workload when told to. Each line on stdin is a number of steps; the answer is one line of JSON:
// milliseconds and loss of each, and the peak of resident memory so far.
//   node test/peers/steps.mjs FOLDER/NAME THREADS ENGINE
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { openEngine } from '../../dist/training/engines/engine.js'
import { createModel } from '../../dist/training/models/model.js'

const [workload, threads, name] = process.argv.slice(2)
const bytes = ending => new Uint8Array(readFileSync(workload + ending)).buffer
const { config, specs, adamw } = JSON.parse(readFileSync(`${workload}.json`, 'utf8'))
const model = createModel(config.model)
const values = new Float32Array(bytes('.params.bin'))
let at = 0
const parameters = specs.map(([name, shape]) => {
  const count = shape.reduce((product, size) => product * size, 1)
  at += count
  return { name, shape, values: values.subarray(at - count, at) }
})
const tokens = new Int32Array(bytes('.batch.bin'))
const half = tokens.length / 2
const microbatch = { inputs: tokens.subarray(0, half), targets: tokens.subarray(half) }

const engine = await openEngine(name, { threads: Number(threads) })
const { batch } = config
const optimizer = { ...adamw, clipNorm: null }
const compiled = await engine.compileTraining(model, { batch, context: config.model.context, accumulation: 1, optimizer })
await compiled.load(parameters)
console.log(JSON.stringify({ engine: engine.name, compileMs: compiled.compileMs }))
for await (const line of createInterface({ input: process.stdin })) {
  const [ms, losses] = [[], []]
  for (let step = 0; step < Number(line); step++) {
    const start = performance.now()
    losses.push((await compiled.step([microbatch], adamw.learningRate)).loss)
    ms.push(performance.now() - start)
  }
  console.log(JSON.stringify({ ms, losses, rssMB: Math.round(process.resourceUsage().maxRSS / 1024) }))
}
await engine.dispose()
