// The Llama family as a list of stages, with Hugging Face's names and shapes (matrices are [out, in]): root-mean-square normalisation, rotary positions,
// a gated feed-forward layer, and queries that may share keys and values. No biases anywhere.

import { tf } from '../engines/tensorflow.ts'
import { TrainingError } from '../errors.ts'
import { cachedAttention } from './decoding.ts'
import { headStage } from './head.ts'
import type { Stage } from './model.ts'
import { causalAttention, embedding, linear, rmsNorm, rotary, swiglu } from './operations.ts'
import { checkDivides, checkEpsilon, checkSizes, matrix, residualStd, vector } from './parameters.ts'

export interface LlamaConfig {
  family: 'llama'
  /** Number of token ids. */
  vocabulary: number
  /** Longest sequence, in tokens. */
  context: number
  width: number
  layers: number
  heads: number
  /** Heads of keys and values; it divides `heads`. */
  keyValueHeads: number
  /** Width of the gated feed-forward layer. */
  hidden: number
  /** The head is the token embedding. */
  tiedEmbeddings: boolean
  /** @default 1e-6 */
  rmsNormEpsilon?: number
  /** Base of the rotary angles. @default 10000 */
  ropeTheta?: number
}

export const LLAMA_RMS_NORM_EPSILON = 1e-6
export const LLAMA_ROPE_THETA = 10_000

export const LLAMA_EMBEDDING = 'model.embed_tokens.weight'
export const LLAMA_HEAD = 'lm_head.weight'
const LAST_NORM = 'model.norm.weight'

/** The stages `embedding`, `block.0` ... and `head`. */
export function createLlama(config: LlamaConfig): Stage[] {
  checkSizes(config, ['vocabulary', 'context', 'width', 'layers', 'heads', 'keyValueHeads', 'hidden'])
  checkDivides(config, 'heads', 'width')
  checkDivides(config, 'keyValueHeads', 'heads')
  checkEpsilon(config, 'rmsNormEpsilon')
  const { width, heads, ropeTheta } = config
  if ((width / heads) % 2 !== 0)
    throw new TrainingError(
      'bad_model_config',
      `Cannot create a model with heads of ${width / heads}: rotary positions turn pairs of numbers`,
      {
        hint: 'Choose width and heads so that width / heads is even'
      }
    )
  if (ropeTheta !== undefined && !(ropeTheta >= 1 && ropeTheta <= 1e12))
    throw new TrainingError('bad_model_config', `Cannot create a model with ropeTheta ${ropeTheta}: it must lie between 1 and 1e12`)
  const stages = [embeddingStage(config)]
  for (let layer = 0; layer < config.layers; layer++) stages.push(blockStage(config, layer))
  const { vocabulary, tiedEmbeddings } = config
  const epsilon = config.rmsNormEpsilon ?? LLAMA_RMS_NORM_EPSILON
  stages.push(
    headStage({
      vocabulary,
      width,
      tiedEmbeddings,
      embedding: LLAMA_EMBEDDING,
      head: LLAMA_HEAD,
      normalisation: [vector(LAST_NORM, width, 'ones')],
      normalise: (parameters, rows) => rmsNorm(rows, parameters[LAST_NORM]!, epsilon)
    })
  )
  return stages
}

function embeddingStage({ vocabulary, width }: LlamaConfig): Stage {
  return {
    name: 'embedding',
    parameters: [matrix(LLAMA_EMBEDDING, [vocabulary, width])],
    borrows: [],
    forward: (parameters, tokens) => embedding(parameters[LLAMA_EMBEDDING]!, tokens)
  }
}

function blockStage(config: LlamaConfig, layer: number): Stage {
  const { context, width, heads, keyValueHeads, hidden, layers } = config
  const epsilon = config.rmsNormEpsilon ?? LLAMA_RMS_NORM_EPSILON
  const theta = config.ropeTheta ?? LLAMA_ROPE_THETA
  const at = (name: string) => `model.layers.${layer}.${name}.weight`
  const shared = (width / heads) * keyValueHeads
  return {
    name: `block.${layer}`,
    parameters: [
      vector(at('input_layernorm'), width, 'ones'),
      matrix(at('self_attn.q_proj'), [width, width]),
      matrix(at('self_attn.k_proj'), [shared, width]),
      matrix(at('self_attn.v_proj'), [shared, width]),
      matrix(at('self_attn.o_proj'), [width, width], residualStd(layers)),
      vector(at('post_attention_layernorm'), width, 'ones'),
      matrix(at('mlp.gate_proj'), [hidden, width]),
      matrix(at('mlp.up_proj'), [hidden, width]),
      matrix(at('mlp.down_proj'), [width, hidden], residualStd(layers))
    ],
    borrows: [],
    forward(parameters, x, _shared, cache) {
      const [batch, length] = x.shape as [number, number, number]
      const apply = (name: string, input: tf.Tensor) => linear(input, parameters[at(name)]!)
      // Rows are [batch * length, width] within the block, as in GPT-2's.
      let rows = tf.reshape(x, [batch * length, width])
      const normalised = rmsNorm(rows, parameters[at('input_layernorm')]!, epsilon)
      const projected = {
        queries: apply('self_attn.q_proj', normalised),
        keys: apply('self_attn.k_proj', normalised),
        values: apply('self_attn.v_proj', normalised)
      }
      const shape = { batch, length, heads, keyValueHeads }
      const position = cache?.position ? { position: cache.position, places: context } : undefined
      const place = (each: tf.Tensor) => rotary(each, theta, position)
      const attended = cache ? cachedAttention(projected, shape, { cache, layer, place }) : causalAttention(projected, shape, place)
      rows = tf.add(rows, apply('self_attn.o_proj', attended))
      const gated = rmsNorm(rows, parameters[at('post_attention_layernorm')]!, epsilon)
      rows = tf.add(rows, apply('mlp.down_proj', swiglu(apply('mlp.gate_proj', gated), apply('mlp.up_proj', gated))))
      return tf.reshape(rows, [batch, length, width])
    }
  }
}
