// Opens a checkpoint folder on this machine for looking at: loss on a text, sampled text. No daemon is needed.
import { floatsOf, openCheckpoint } from '../../storage/index.ts'
import type { Tokenizer } from '../../training/data/tokenizer.ts'
import { tokenizerFromJson } from '../../training/data/tokenizer-json.ts'
import { type Engine, type EngineName, openEngine } from '../../training/engines/engine.ts'
import { type Evaluation, evaluate } from '../../training/evaluation.ts'
import { generate } from '../../training/generation.ts'
import { fromHuggingFace } from '../../training/models/huggingface/index.ts'
import { createModel, type Model, type ModelConfig, type NamedTensor } from '../../training/models/model.ts'
import { DaemonError } from '../errors.ts'

export interface LocalOptions {
  /** @default 'auto' */
  engine?: EngineName | 'auto'
  /** @default 2 */
  threads?: number
  signal?: AbortSignal
}

export interface EvaluateOptions extends LocalOptions {
  /** Look at so many windows only, evenly spaced. @default all */
  maxWindows?: number
}

export interface GenerateOptions extends LocalOptions {
  prompt: string
  tokens: number
  /** @default 0.8 */
  temperature?: number
  /** @default 40 */
  topK?: number
  /** @default 1 */
  seed?: number
}

/** Sequences scored at once. */
const EVALUATION_BATCH = 16

/** How well the checkpoint in `directory` knows each group of texts. @throws StorageError, TrainingError, DaemonError `genesis_unusable` */
export async function evaluateCheckpoint(directory: string, groups: string[][], options: EvaluateOptions = {}): Promise<Evaluation[]> {
  const { signal, maxWindows } = options
  return withLocal(directory, options, async ({ engine, model, parameters, tokenizer }) => {
    const shape = { batch: EVALUATION_BATCH, context: model.config.context }
    const forward = await engine.compileForward(model, shape)
    await forward.load(parameters)
    const results: Evaluation[] = []
    for (const texts of groups) {
      results.push(
        await evaluate({
          forward,
          tokenizer,
          texts,
          ...shape,
          ...(maxWindows === undefined ? {} : { maxWindows }),
          ...(signal === undefined ? {} : { signal })
        })
      )
    }
    return results
  })
}

/** Text that the checkpoint in `directory` goes on with after the prompt; `onText` hears each piece. */
export async function generateFromCheckpoint(
  directory: string,
  options: GenerateOptions,
  onText: (piece: string) => void = () => {}
): Promise<string> {
  const { prompt, tokens, temperature = 0.8, topK = 40, seed = 1, signal } = options
  return withLocal(directory, options, async ({ engine, model, parameters, tokenizer }) => {
    // No more places than the text can need: what begins it computes all of them.
    const context = Math.min(model.config.context, tokenizer.encode(prompt).length + tokens)
    const decoding = await engine.compileDecoding(model, { context })
    await decoding.load(parameters)
    let text = ''
    const pieces = generate({
      decoding,
      tokenizer,
      prompt,
      tokens,
      temperature,
      topK,
      seed,
      context,
      ...(signal === undefined ? {} : { signal })
    })
    for await (const piece of pieces) {
      text += piece
      onText(piece)
    }
    return text
  })
}

interface Opened {
  engine: Engine
  model: Model
  parameters: NamedTensor[]
  tokenizer: Tokenizer
}

async function withLocal<T>(
  directory: string,
  { engine: name = 'auto', threads = 2 }: LocalOptions,
  use: (opened: Opened) => Promise<T>
): Promise<T> {
  const { config, parameters, tokenizer } = await readLocal(directory)
  const engine = await openEngine(name, { threads })
  try {
    return await use({ engine, model: createModel(config), parameters, tokenizer })
  } finally {
    await engine.dispose()
  }
}

/** A checkpoint's model and tokenizer. @throws DaemonError `genesis_unusable` where the folder lacks a tokenizer */
export async function readLocal(directory: string): Promise<{ config: ModelConfig; parameters: NamedTensor[]; tokenizer: Tokenizer }> {
  const checkpoint = await openCheckpoint(directory)
  try {
    const json = checkpoint.files['tokenizer.json']
    if (json === undefined) {
      throw new DaemonError('genesis_unusable', `The checkpoint in ${directory} has no tokenizer.json`, {
        hint: 'Save its fast tokenizer beside it'
      })
    }
    const tensors: NamedTensor[] = []
    for (const { name, dtype } of checkpoint.tensors) {
      // Masks, which some versions of `transformers` save as bytes or truths: no parameter is.
      if (!/^B?F/.test(dtype)) continue
      const stored = await checkpoint.read(name)
      tensors.push({ name, shape: [...stored.shape], values: floatsOf(stored) })
    }
    return { ...fromHuggingFace(checkpoint.config, tensors), tokenizer: await tokenizerFromJson(json) }
  } finally {
    await checkpoint.close()
  }
}
