// What config.json says of a Llama and which tensors lie beside it, both ways.
import { LLAMA_EMBEDDING, LLAMA_HEAD, LLAMA_RMS_NORM_EPSILON, LLAMA_ROPE_THETA, type LlamaConfig } from '../llama.ts'
import type { NamedTensor } from '../model.ts'
import { bad, mustBe, named, real, type Settings, whole } from './settings.ts'

const PREFIX = 'model.'
/** Angles that old checkpoints carry as if they were parameters. */
const BUFFER = /rotary_emb\.inv_freq$/

/** What `LlamaForCausalLM` needs. */
export function llamaToHuggingFace(model: LlamaConfig, parameters: readonly NamedTensor[]): { config: Settings; tensors: NamedTensor[] } {
  const { vocabulary, context, width, layers, heads, keyValueHeads, hidden, tiedEmbeddings } = model
  const rope_theta = model.ropeTheta ?? LLAMA_ROPE_THETA
  return {
    config: {
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      vocab_size: vocabulary,
      max_position_embeddings: context,
      hidden_size: width,
      intermediate_size: hidden,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      num_key_value_heads: keyValueHeads,
      head_dim: width / heads,
      hidden_act: 'silu',
      rms_norm_eps: model.rmsNormEpsilon ?? LLAMA_RMS_NORM_EPSILON,
      // The first is read by transformers up to 4, the second from 5 on.
      rope_theta,
      rope_parameters: { rope_type: 'default', rope_theta },
      attention_bias: false,
      mlp_bias: false,
      // Trained without dropout.
      attention_dropout: 0,
      tie_word_embeddings: tiedEmbeddings,
      torch_dtype: 'float32'
    },
    tensors: [...parameters]
  }
}

/** The configuration, and the tensors by the names of `createModel`'s. @throws TrainingError 'bad_hugging_face_folder' */
export function llamaFromHuggingFace(settings: Settings, tensors: readonly NamedTensor[]): { config: LlamaConfig; tensors: NamedTensor[] } {
  mustBe(settings, 'hidden_act', 'silu', 'silu')
  mustBe(settings, 'attention_bias', false, false)
  mustBe(settings, 'mlp_bias', false, false)
  const width = whole(settings, 'hidden_size')
  const heads = whole(settings, 'num_attention_heads')
  mustBe(settings, 'head_dim', width / heads, width / heads)
  const tiedEmbeddings = settings.tie_word_embeddings === true
  const config: LlamaConfig = {
    family: 'llama',
    vocabulary: whole(settings, 'vocab_size'),
    context: whole(settings, 'max_position_embeddings'),
    width,
    layers: whole(settings, 'num_hidden_layers'),
    heads,
    keyValueHeads: whole(settings, 'num_key_value_heads', heads),
    hidden: whole(settings, 'intermediate_size'),
    tiedEmbeddings
  }
  const epsilon = real(settings, 'rms_norm_eps', LLAMA_RMS_NORM_EPSILON)
  if (epsilon !== LLAMA_RMS_NORM_EPSILON) config.rmsNormEpsilon = epsilon
  const theta = ropeTheta(settings)
  if (theta !== LLAMA_ROPE_THETA) config.ropeTheta = theta
  const given = named(tensors, { prefix: PREFIX, head: LLAMA_HEAD, ignored: BUFFER })
  if (tiedEmbeddings) given.delete(LLAMA_HEAD)
  else if (!given.has(LLAMA_HEAD) && given.has(LLAMA_EMBEDDING)) throw bad(`${LLAMA_HEAD} is missing and tie_word_embeddings is not true`)
  return { config, tensors: [...given.values()] }
}

/** Plain angles only: the stretched ones of later models are other functions of the position. */
function ropeTheta(settings: Settings): number {
  const scaling = settings.rope_scaling ?? settings.rope_parameters ?? {}
  if (typeof scaling !== 'object') throw bad(`rope_scaling is ${JSON.stringify(scaling)}`)
  const own = scaling as Settings
  mustBe({ rope_type: own.rope_type ?? own.type }, 'rope_type', 'default', 'default')
  return real({ rope_theta: own.rope_theta ?? settings.rope_theta }, 'rope_theta', LLAMA_ROPE_THETA)
}
