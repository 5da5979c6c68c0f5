// Works out what only a run's author can: the tokenizer and the genesis parameters. A process of its own, since it loads a tensor library; it ends when it is done.
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { storedTensor, writeSafetensorsFile } from '../../storage/index.ts'
import { resolveTokenizer } from '../../training/data/resolve-tokenizer.ts'
import { type Tokenizer, tokenizeDocuments } from '../../training/data/tokenizer.ts'
import { tokenizerFromJson } from '../../training/data/tokenizer-json.ts'
import { TrainingError } from '../../training/errors.ts'
import { GPT2_LAYER_NORM_EPSILON } from '../../training/models/gpt2.ts'
import { initialParameters } from '../../training/models/initial-parameters.ts'
import { LLAMA_RMS_NORM_EPSILON, LLAMA_ROPE_THETA } from '../../training/models/llama.ts'
import { createModel, type ModelConfig } from '../../training/models/model.ts'
import { readLocal } from '../checkpoints/local-checkpoint.ts'
import { documentsOf, readCorpora } from '../corpora.ts'
import { DaemonError } from '../errors.ts'
import type { Manifest, RunSpec } from '../manifest.ts'
import { answerOnce } from '../one-shot.ts'
import type { GenesisReply, GenesisRequest } from './genesis.ts'

/** More characters than a token of any real text has. */
const CHARACTERS_A_TOKEN_MAX = 1000

async function make({ spec, baseDir, parametersFile }: GenesisRequest): Promise<GenesisReply> {
  const from = spec.genesis.from === undefined ? null : await readLocal(resolve(baseDir, spec.genesis.from))
  const tokenizer = from !== null && spec.tokenizer === undefined ? from.tokenizer : await tokenizerOf(spec, baseDir)
  const config = from?.config ?? modelConfig(spec, tokenizer)
  if (config.vocabulary < tokenizer.vocabulary) {
    throw new DaemonError(
      'genesis_unusable',
      `The tokenizer has ${tokenizer.vocabulary} tokens, the model of ${spec.genesis.from} only ${config.vocabulary}`,
      { hint: "Leave out tokenizer to take the checkpoint's own" }
    )
  }
  const model = createModel(config)
  if (spec.data.corpus === 'files') await requireTrainable(corpusFiles(spec.data.files, baseDir), tokenizer, config.context)
  const parameters = from?.parameters ?? initialParameters(model, spec.seed)
  await writeSafetensorsFile(
    parametersFile,
    parameters.map(({ name, shape, values }) => storedTensor(name, shape, values))
  )
  return {
    model: withDefaults(config),
    // A trained or given tokenizer is the author's: members take it as it is. The other kinds are the same everywhere.
    tokenizer: { kind: tokenizer.kind, json: ['bytes', 'gpt2'].includes(tokenizer.kind) ? null : tokenizer.files()['tokenizer.json']! },
    stages: model.stages.map(({ name, parameters }) => ({ name, tensors: parameters.map(parameter => parameter.name) }))
  }
}

async function tokenizerOf(spec: RunSpec, baseDir: string): Promise<Tokenizer> {
  const { tokenizer, data } = spec
  if (tokenizer === undefined)
    throw new DaemonError('manifest_missing_key', 'tokenizer is missing, and there is no checkpoint that brings one')
  if (tokenizer.kind === 'json') return tokenizerFromJson(await readFile(resolve(baseDir, tokenizer.file), 'utf8'))
  // Private data never leaves its node, so its author cannot train a tokenizer on it for everybody: the built-in text stands in.
  const sources = data.corpus === 'files' ? corpusFiles(data.files, baseDir) : ['sotu']
  const documents = tokenizer.kind === 'bpe' ? await readCorpora(sources) : []
  return resolveTokenizer(tokenizer, () => documents)
}

function corpusFiles(files: string[], baseDir: string): string[] {
  return files.map(file => resolve(baseDir, file))
}

/** Text that no trainer could read is refused before the run is signed: once it is, nobody can mend it, and every member's trainer would end with that. */
async function requireTrainable(files: string[], tokenizer: Tokenizer, context: number): Promise<void> {
  let tokens = 0
  for await (const text of documentsOf(files)) {
    // The rest of a long text need not be counted, and with some tokenizers takes minutes.
    if (tokens <= context) tokens += tokenizeDocuments(tokenizer, [text.slice(0, CHARACTERS_A_TOKEN_MAX * (context + 1))]).length
  }
  if (tokens > context) return
  throw new TrainingError('corpus_too_small', `The files have ${tokens} tokens, and a context of ${context} needs ${context + 1}`, {
    hint: 'Give more text, or a smaller context',
    details: { tokens, needed: context + 1 }
  })
}

function modelConfig(spec: RunSpec, tokenizer: Tokenizer): ModelConfig {
  if (spec.model === undefined)
    throw new DaemonError('manifest_missing_key', 'model is missing, and there is no checkpoint that brings one')
  return { ...spec.model, vocabulary: tokenizer.vocabulary }
}

/** A manifest says every number, so that no later default changes what a run computes. */
function withDefaults(config: ModelConfig): Manifest['model'] {
  return config.family === 'gpt2'
    ? { layerNormEpsilon: GPT2_LAYER_NORM_EPSILON, ...config }
    : { rmsNormEpsilon: LLAMA_RMS_NORM_EPSILON, ropeTheta: LLAMA_ROPE_THETA, ...config }
}

answerOnce(make)
