// Our side of with-transformers.py: makes a checkpoint folder, or says what this program makes of one. Run from the repository's root after `npm run build`.
//   node test/peers/checkpoint.mjs make DIR '{"tokenizer":"bpe","biases":true,"tiedEmbeddings":true}'
//   node test/peers/checkpoint.mjs tokens DIR TEXTS.json OUT.json           token ids of each text, and whether they decode to it
//   node test/peers/checkpoint.mjs logits DIR IDS.json OUT.f32 [ENGINE]     logits [rows, columns, vocabulary] of rows of ids, as f32 little-endian
//   node test/peers/checkpoint.mjs copy DIR TARGET                          reads a folder as a genesis is read, and exports it again
import { readFileSync, writeFileSync } from 'node:fs'
import { readCheckpoint, storedTensor, floatsOf, writeCheckpoint } from '../../dist/storage/index.js'
import { openBuiltinCorpus } from '../../dist/training/data/builtin-corpus.js'
import { createRandom } from '../../dist/training/data/random.js'
import { resolveTokenizer } from '../../dist/training/data/resolve-tokenizer.js'
import { tokenizerFromJson } from '../../dist/training/data/tokenizer-json.js'
import { openEngine } from '../../dist/training/engines/engine.js'
import { fromHuggingFace, toHuggingFace } from '../../dist/training/models/huggingface/index.js'
import { initialParameters } from '../../dist/training/models/initial-parameters.js'
import { createModel } from '../../dist/training/models/model.js'

const commands = { make, tokens, logits, copy }
const [command, ...words] = process.argv.slice(2)
if (!(command in commands)) throw new Error(`usage: node test/peers/checkpoint.mjs ${Object.keys(commands).join('|')} DIR ...`)
await commands[command](...words)

async function make(directory, settings) {
  const { tokenizer: kind, ...shape } = JSON.parse(settings)
  const corpus = openBuiltinCorpus(readFileSync(new URL('../../training/data/sotu.txt.br', import.meta.url)))
  const tokenizer = await resolveTokenizer({ kind, vocabulary: 512 }, () => corpus.eras[3].training)
  const size = { vocabulary: tokenizer.vocabulary, context: 64, width: 64, layers: 3, heads: 4 }
  const model = createModel({ family: 'gpt2', ...size, ...shape })
  // Biases begin as zeros and norms as ones, behind which a wrong name or order would hide: everything is shaken, gently. With norms near 4 and
  // logits near 14 PyTorch's own f32 logits are 1.1e-4 away from its f64 ones (measured), and nothing could be said to 1e-4.
  const random = createRandom('checkpoint.mjs')
  const parameters = initialParameters(model, 1).map(({ name, shape, values }) => ({
    name,
    shape,
    values: values.map(value => value + (random.fraction() - 0.5) / 5)
  }))
  const { config, tensors } = toHuggingFace(model, parameters, { endOfText: tokenizer.endOfText })
  await writeCheckpoint(directory, { config, tensors: stored(tensors), files: tokenizer.files() })
}

async function tokens(directory, texts, target) {
  const { files } = await readCheckpoint(directory)
  const tokenizer = await tokenizerFromJson(files['tokenizer.json'])
  const rows = JSON.parse(readFileSync(texts, 'utf8')).map(text => {
    const ids = tokenizer.encode(text)
    return { ids: [...ids], exact: tokenizer.decode(ids) === text }
  })
  writeFileSync(target, JSON.stringify(rows))
}

async function logits(directory, ids, target, engineName = 'js') {
  const { model, parameters } = await open(directory)
  const rows = JSON.parse(readFileSync(ids, 'utf8'))
  const engine = await openEngine(engineName, { threads: 1 })
  const forward = await engine.compileForward(model, { batch: rows.length, context: rows[0].length })
  await forward.load(parameters)
  const values = await forward.logits(Int32Array.from(rows.flat()))
  writeFileSync(target, new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  await forward.dispose()
  await engine.dispose()
}

async function copy(directory, target) {
  const { model, parameters, files } = await open(directory)
  const tokenizer = await tokenizerFromJson(files['tokenizer.json'])
  const { config, tensors } = toHuggingFace(model, parameters, { endOfText: tokenizer.endOfText })
  await writeCheckpoint(target, { config, tensors: stored(tensors), files: tokenizer.files() })
}

async function open(directory) {
  const checkpoint = await readCheckpoint(directory)
  const tensors = checkpoint.tensors.map(tensor => ({ name: tensor.name, shape: tensor.shape, values: floatsOf(tensor) }))
  const { config, parameters } = fromHuggingFace(checkpoint.config, tensors)
  return { model: createModel(config), parameters, files: checkpoint.files }
}

function stored(tensors) {
  return tensors.map(({ name, shape, values }) => storedTensor(name, shape, values))
}
