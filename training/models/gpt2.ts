// GPT-2 as a list of stages, with Hugging Face's names and shapes (matrices are [in, out], lm_head is [vocabulary, width]).
// Biases on the matrices and a head tied to the embedding are settings; the normalisations keep their biases in every variant.

import { type TensorMap, tf } from '../engines/tensorflow.ts'
import { cachedAttention } from './decoding.ts'
import { headStage } from './head.ts'
import type { ParameterSpec, Stage } from './model.ts'
import { causalAttention, dense, embedding, gelu, hiddenPieces, layerNorm } from './operations.ts'
import { checkDivides, checkEpsilon, checkSizes, INITIAL_STD, matrix, residualStd, vector } from './parameters.ts'

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
export const TOKEN_EMBEDDING = 'transformer.wte.weight'
export const POSITION_EMBEDDING = 'transformer.wpe.weight'
export const HEAD = 'lm_head.weight'
const LAST_NORM = 'transformer.ln_f'

/** The stages `embedding`, `block.0` ... and `head`. */
export function createGpt2(config: Gpt2Config): Stage[] {
  checkSizes(config, ['vocabulary', 'context', 'width', 'layers', 'heads'])
  checkDivides(config, 'heads', 'width')
  checkEpsilon(config, 'layerNormEpsilon')
  const stages = [embeddingStage(config)]
  for (let layer = 0; layer < config.layers; layer++) stages.push(blockStage(config, layer))
  const { vocabulary, width, tiedEmbeddings } = config
  const epsilon = config.layerNormEpsilon ?? GPT2_LAYER_NORM_EPSILON
  stages.push(
    headStage({
      vocabulary,
      width,
      tiedEmbeddings,
      embedding: TOKEN_EMBEDDING,
      head: HEAD,
      normalisation: normalisation(LAST_NORM, width),
      normalise: (parameters, rows) => normalise(parameters, LAST_NORM, rows, epsilon)
    })
  )
  return stages
}

function embeddingStage({ vocabulary, context, width }: Gpt2Config): Stage {
  return {
    name: 'embedding',
    parameters: [matrix(TOKEN_EMBEDDING, [vocabulary, width]), matrix(POSITION_EMBEDDING, [context, width])],
    borrows: [],
    forward(parameters, tokens, _shared, cache) {
      const [, length] = tokens.shape as [number, number]
      const positions = parameters[POSITION_EMBEDDING]!
      const rows = () => (length === context ? positions : tf.slice(positions, [0, 0], [length, width]))
      return tf.add(
        embedding(parameters[TOKEN_EMBEDDING]!, tokens),
        cache?.position ? tf.gather(positions, cache.position as tf.Tensor1D) : rows()
      )
    }
  }
}

function blockStage(config: Gpt2Config, layer: number): Stage {
  const { width, heads, biases, layers } = config
  const epsilon = config.layerNormEpsilon ?? GPT2_LAYER_NORM_EPSILON
  const at = (name: string) => `transformer.h.${layer}.${name}`
  const weights = (name: string, shape: [number, number], std = INITIAL_STD): ParameterSpec[] => [
    matrix(at(`${name}.weight`), shape, std),
    ...(biases ? [vector(at(`${name}.bias`), shape[1], 'zeros')] : [])
  ]
  return {
    name: `block.${layer}`,
    parameters: [
      ...normalisation(at('ln_1'), width),
      ...weights('attn.c_attn', [width, 3 * width]),
      ...weights('attn.c_proj', [width, width], residualStd(layers)),
      ...normalisation(at('ln_2'), width),
      ...weights('mlp.c_fc', [width, 4 * width]),
      ...weights('mlp.c_proj', [4 * width, width], residualStd(layers))
    ],
    borrows: [],
    forward(parameters, x, _shared, cache) {
      const [batch, length] = x.shape as [number, number, number]
      const apply = (name: string, input: tf.Tensor) => dense(input, parameters[at(`${name}.weight`)]!, parameters[at(`${name}.bias`)])
      // Rows are [batch * length, width] within the block, so that every matrix product but attention's is one plain two-dimensional one.
      let hidden = tf.reshape(x, [batch * length, width])
      const projected = apply('attn.c_attn', normalise(parameters, at('ln_1'), hidden, epsilon))
      const [queries, keys, values] = tf.split(projected, 3, 1) as [tf.Tensor, tf.Tensor, tf.Tensor]
      const shape = { batch, length, heads }
      const attended = cache
        ? cachedAttention({ queries, keys, values }, shape, { cache, layer })
        : causalAttention({ queries, keys, values }, shape)
      hidden = tf.add(hidden, apply('attn.c_proj', attended))
      const normalised = normalise(parameters, at('ln_2'), hidden, epsilon)
      // One row alone reads each weight once: cutting would cost more than the products.
      const pieces = (name: string, axis: number) =>
        batch * length === 1 ? [parameters[at(name)]!] : hiddenPieces(parameters[at(name)]!, axis)
      const outOf = pieces('mlp.c_proj.weight', 0)
      const biasesIn = biases ? pieces('mlp.c_fc.bias', 0) : []
      for (const [i, into] of pieces('mlp.c_fc.weight', 1).entries())
        hidden = tf.add(hidden, dense(gelu(dense(normalised, into, biasesIn[i])), outOf[i]!))
      if (biases) hidden = tf.add(hidden, parameters[at('mlp.c_proj.bias')]!)
      return tf.reshape(hidden, [batch, length, width])
    }
  }
}

function normalise(parameters: TensorMap, name: string, x: tf.Tensor, epsilon: number): tf.Tensor {
  return layerNorm(x, parameters[`${name}.weight`]!, parameters[`${name}.bias`]!, epsilon)
}

function normalisation(name: string, width: number): ParameterSpec[] {
  return [vector(`${name}.weight`, width, 'ones'), vector(`${name}.bias`, width, 'zeros')]
}
