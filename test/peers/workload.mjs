// Writes workloads of the presets below for `shoal bench train` and for with-torch.py: one model, its initial parameters and one batch, the same for both.
// Run from the repository's root after `npm run build`: node test/peers/workload.mjs DIR NAME
import { mkdirSync, writeFileSync } from 'node:fs'
import { createRandom } from '../../dist/training/data/random.js'
import { initialParameters } from '../../dist/training/models/initial-parameters.js'
import { createModel } from '../../dist/training/models/model.js'

const gpt2 = { family: 'gpt2', vocabulary: 512, biases: false, tiedEmbeddings: false }
const llama = { family: 'llama', vocabulary: 512, tiedEmbeddings: false }
/** The first three are of the reference's sizes. A step has 1,024 tokens, in the tiny ones 32, in the least 8. */
const WORKLOADS = {
  tiny: { model: { ...gpt2, vocabulary: 64, context: 16, width: 32, layers: 2, heads: 2 }, batch: 2 },
  small: { model: { ...gpt2, context: 128, width: 256, layers: 4, heads: 4 }, batch: 8 },
  big: { model: { ...gpt2, context: 256, width: 512, layers: 8, heads: 8 }, batch: 4 },
  // For a GPU, GPT-2 of 12 layers with an output of its own: a step has 4,096 tokens.
  'gpt2-163m': { model: { ...gpt2, vocabulary: 50_257, context: 1024, width: 768, layers: 12, heads: 12 }, batch: 4 },
  // For engines that take minutes for what others do in a second.
  least: { model: { ...gpt2, vocabulary: 16, context: 8, width: 16, layers: 1, heads: 2 }, batch: 1 },
  'llama-tiny': { model: { ...llama, vocabulary: 64, context: 16, width: 32, layers: 2, heads: 4, keyValueHeads: 2, hidden: 88 }, batch: 2 },
  'llama-25m': { model: { ...llama, context: 256, width: 512, layers: 8, heads: 8, keyValueHeads: 4, hidden: 1408 }, batch: 4 }
}
/** At 1e-3 the greater ones blow rounding up: after 15 steps PyTorch's own f32 losses are 3e-4 away from its f64 ones. */
const learningRate = name => (/big|25m|163m/.test(name) ? 1e-4 : 1e-3)
const ADAMW = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 }

const [directory, name] = process.argv.slice(2)
const config = WORKLOADS[name]
if (!directory || !config) throw new Error(`usage: node test/peers/workload.mjs DIR ${Object.keys(WORKLOADS).join('|')}`)
const model = createModel(config.model)
const { context, vocabulary } = config.model
const random = createRandom('workload.mjs')
const rows = Array.from({ length: config.batch }, () => Array.from({ length: context + 1 }, () => Math.floor(random.fraction() * vocabulary)))
const batch = Int32Array.from([...rows.flatMap(row => row.slice(0, -1)), ...rows.flatMap(row => row.slice(1))])

mkdirSync(directory, { recursive: true })
const specs = model.parameters.map(({ name, shape }) => [name, shape])
writeFileSync(`${directory}/${name}.json`, JSON.stringify({ config, specs, adamw: { learningRate: learningRate(name), ...ADAMW } }))
writeFileSync(`${directory}/${name}.params.bin`, Buffer.concat(initialParameters(model, 1).map(({ values }) => Buffer.from(values.buffer))))
writeFileSync(`${directory}/${name}.batch.bin`, Buffer.from(batch.buffer))
