// GPT-2 as a list of stages, with Hugging Face's names and shapes (matrices are [in, out], lm_head is [vocabulary, width]).
// Biases on the matrices and a head tied to the embedding are settings; the normalisations keep their biases in every variant.

import { type TensorMap, tf } from '../engines/tensorflow.ts'
import { TrainingError } from '../errors.ts'
import type { ParameterSpec, Stage } from './model.ts'
import { causalAttention, dense, embedding, gelu, layerNorm } from './operations.ts'

export interface Gpt2Config {
  family: 'gpt2'
  /** Number of token ids. */
  vocabulary: number
  /** Longest sequence, in tokens. */
  context: number
  width: number
  layers: number
  heads: number
  /** Biases on the four matrices of each block. */
  biases: boolean
  /** The head is the token embedding. */
  tiedEmbeddings: boolean
  /** @default 1e-5 */
  layerNormEpsilon?: number
}

export const GPT2_LAYER_NORM_EPSILON = 1e-5
/** GPT-2's spread of initial weights. */
const INITIAL_STD = 0.02
/** Bounds that keep a manifest from asking for absurd arrays: 2^24 tokens or width are far above any GPT-2. */
const LIMITS = { vocabulary: 1 << 24, context: 1 << 20, width: 1 << 16, layers: 1024, heads: 1024 }

export const TOKEN_EMBEDDING = 'transformer.wte.weight'
export const POSITION_EMBEDDING = 'transformer.wpe.weight'
export const HEAD = 'lm_head.weight'

/** The stages `embedding`, `block.0` ... and `head`. */
export function createGpt2(config: Gpt2Config): Stage[] {
  checkConfig(config)
  const stages = [embeddingStage(config)]
  for (let layer = 0; layer < config.layers; layer++) stages.push(blockStage(config, layer))
  stages.push(headStage(config))
  return stages
}

function checkConfig(config: Gpt2Config): void {
  for (const [field, limit] of Object.entries(LIMITS)) {
    const value = config[field as keyof typeof LIMITS]
    if (!Number.isSafeInteger(value) || value < 1 || value > limit)
      throw new TrainingError(
        'bad_model_config',
        `Cannot create a model with ${field} ${value}: it must be a whole number from 1 to ${limit}`,
        {
          details: { field, value, limit }
        }
      )
  }
  if (config.width % config.heads !== 0)
    throw new TrainingError(
      'bad_model_config',
      `Cannot create a model with width ${config.width} and ${config.heads} heads: heads must divide the width`,
      {
        hint: 'Choose a width that is a multiple of the heads'
      }
    )
  const epsilon = config.layerNormEpsilon ?? GPT2_LAYER_NORM_EPSILON
  if (!(epsilon > 0 && epsilon < 1))
    throw new TrainingError('bad_model_config', `Cannot create a model with layerNormEpsilon ${epsilon}: it must lie between 0 and 1`)
}

function embeddingStage({ vocabulary, context, width }: Gpt2Config): Stage {
  return {
    name: 'embedding',
    parameters: [matrix(TOKEN_EMBEDDING, [vocabulary, width]), matrix(POSITION_EMBEDDING, [context, width])],
    borrows: [],
    forward(parameters, tokens) {
      const [, length] = tokens.shape as [number, number]
      const positions = parameters[POSITION_EMBEDDING]!
      return tf.add(
        embedding(parameters[TOKEN_EMBEDDING]!, tokens),
        length === context ? positions : tf.slice(positions, [0, 0], [length, width])
      )
    }
  }
}

function blockStage(config: Gpt2Config, layer: number): Stage {
  const { width, heads, biases, layers } = config
  const epsilon = config.layerNormEpsilon ?? GPT2_LAYER_NORM_EPSILON
  const at = (name: string) => `transformer.h.${layer}.${name}`
  // The two matrices that write into the residual stream start smaller, so that its variance does not grow with depth (GPT-2, section 2.3).
  const residualStd = INITIAL_STD / Math.sqrt(2 * layers)
  const weights = (name: string, shape: [number, number], std = INITIAL_STD): ParameterSpec[] => [
    matrix(at(`${name}.weight`), shape, std),
    ...(biases ? [vector(at(`${name}.bias`), shape[1], 'zeros')] : [])
  ]
  return {
    name: `block.${layer}`,
    parameters: [
      ...normalisation(at('ln_1'), width),
      ...weights('attn.c_attn', [width, 3 * width]),
      ...weights('attn.c_proj', [width, width], residualStd),
      ...normalisation(at('ln_2'), width),
      ...weights('mlp.c_fc', [width, 4 * width]),
      ...weights('mlp.c_proj', [4 * width, width], residualStd)
    ],
    borrows: [],
    forward(parameters, x) {
      const [batch, length] = x.shape as [number, number, number]
      const apply = (name: string, input: tf.Tensor) => dense(input, parameters[at(`${name}.weight`)]!, parameters[at(`${name}.bias`)])
      // Rows are [batch * length, width] within the block, so that every matrix product but attention's is one plain two-dimensional one.
      let hidden = tf.reshape(x, [batch * length, width])
      const attended = causalAttention(apply('attn.c_attn', normalise(parameters, at('ln_1'), hidden, epsilon)), { batch, length, heads })
      hidden = tf.add(hidden, apply('attn.c_proj', attended))
      hidden = tf.add(hidden, apply('mlp.c_proj', gelu(apply('mlp.c_fc', normalise(parameters, at('ln_2'), hidden, epsilon)))))
      return tf.reshape(hidden, [batch, length, width])
    }
  }
}

function headStage(config: Gpt2Config): Stage {
  const { width, vocabulary, tiedEmbeddings } = config
  const epsilon = config.layerNormEpsilon ?? GPT2_LAYER_NORM_EPSILON
  return {
    name: 'head',
    parameters: [...normalisation('transformer.ln_f', width), ...(tiedEmbeddings ? [] : [matrix(HEAD, [vocabulary, width])])],
    borrows: tiedEmbeddings ? [TOKEN_EMBEDDING] : [],
    forward(parameters, x, shared) {
      const [batch, length] = x.shape as [number, number, number]
      const weights = tiedEmbeddings ? shared?.[TOKEN_EMBEDDING] : parameters[HEAD]
      if (!weights)
        throw new TrainingError('bad_parameters', `Cannot compute the head: ${tiedEmbeddings ? TOKEN_EMBEDDING : HEAD} is missing`)
      const rows = normalise(parameters, 'transformer.ln_f', tf.reshape(x, [batch * length, width]), epsilon)
      return tf.reshape(tf.matMul(rows as tf.Tensor2D, weights as tf.Tensor2D, false, true), [batch, length, vocabulary])
    }
  }
}

function normalise(parameters: TensorMap, name: string, x: tf.Tensor, epsilon: number): tf.Tensor {
  return layerNorm(x, parameters[`${name}.weight`]!, parameters[`${name}.bias`]!, epsilon)
}

function matrix(name: string, shape: number[], std = INITIAL_STD): ParameterSpec {
  return { name, shape, init: { kind: 'normal', std }, decay: true }
}

function vector(name: string, size: number, kind: 'ones' | 'zeros'): ParameterSpec {
  return { name, shape: [size], init: { kind }, decay: false }
}

function normalisation(name: string, width: number): ParameterSpec[] {
  return [vector(`${name}.weight`, width, 'ones'), vector(`${name}.bias`, width, 'zeros')]
}
