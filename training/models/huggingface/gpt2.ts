// What config.json says of a GPT-2 and which tensors lie beside it, both ways.
import { GPT2_LAYER_NORM_EPSILON, type Gpt2Config, HEAD, TOKEN_EMBEDDING } from '../gpt2.ts'
import { createModel, elementCount, type NamedTensor } from '../model.ts'
import { bad, mustBe, named, real, type Settings, whole } from './settings.ts'

/** Where this project notes what Hugging Face's configuration has no word for; transformers keeps keys it does not know. */
const OWN_KEY = 'shoal'
const PREFIX = 'transformer.'
/** Causal masks that old checkpoints carry as if they were parameters. */
const BUFFER = /\.attn\.(bias|masked_bias)$/

/** What `GPT2LMHeadModel` needs. A model without matrix biases is written with zeros for them, an untied one with `lm_head.weight`. */
export function gpt2ToHuggingFace(model: Gpt2Config, parameters: readonly NamedTensor[]): { config: Settings; tensors: NamedTensor[] } {
  const { vocabulary, context, width, layers, heads, biases, tiedEmbeddings, layerNormEpsilon } = model
  const given = new Map(parameters.map(tensor => [tensor.name, tensor]))
  const complete = createModel({ ...model, biases: true })
  return {
    config: {
      architectures: ['GPT2LMHeadModel'],
      model_type: 'gpt2',
      vocab_size: vocabulary,
      n_positions: context,
      n_ctx: context,
      n_embd: width,
      n_layer: layers,
      n_head: heads,
      n_inner: null,
      activation_function: 'gelu_new',
      layer_norm_epsilon: layerNormEpsilon ?? GPT2_LAYER_NORM_EPSILON,
      // Trained without dropout.
      resid_pdrop: 0,
      embd_pdrop: 0,
      attn_pdrop: 0,
      tie_word_embeddings: tiedEmbeddings,
      torch_dtype: 'float32',
      [OWN_KEY]: { biases }
    },
    tensors: complete.parameters.map(
      ({ name, shape }) => given.get(name) ?? { name, shape: [...shape], values: new Float32Array(elementCount(shape)) }
    )
  }
}

/** The configuration, and the tensors by the names of `createModel`'s. @throws TrainingError 'bad_hugging_face_folder' */
export function gpt2FromHuggingFace(settings: Settings, tensors: readonly NamedTensor[]): { config: Gpt2Config; tensors: NamedTensor[] } {
  refuseVariants(settings)
  const given = named(tensors, { prefix: PREFIX, head: HEAD, ignored: BUFFER })
  const matrixBiases = [...given.values()].filter(({ name }) => /\.(c_attn|c_proj|c_fc)\.bias$/.test(name))
  const width = whole(settings, 'n_embd')
  const tiedEmbeddings = settings.tie_word_embeddings !== false
  const own: Gpt2Config = {
    family: 'gpt2',
    vocabulary: whole(settings, 'vocab_size'),
    context: whole(settings, 'n_positions'),
    width,
    layers: whole(settings, 'n_layer'),
    heads: whole(settings, 'n_head'),
    biases: matrixBiases.length > 0 && !(withoutBiases(settings) && matrixBiases.every(({ values }) => values.every(value => value === 0))),
    tiedEmbeddings
  }
  const epsilon = real(settings, 'layer_norm_epsilon', GPT2_LAYER_NORM_EPSILON)
  if (epsilon !== GPT2_LAYER_NORM_EPSILON) own.layerNormEpsilon = epsilon
  if (!own.biases) for (const { name } of matrixBiases) given.delete(name)
  // With tied embeddings transformers reads the head from the embedding whatever else is in the file.
  if (tiedEmbeddings) given.delete(HEAD)
  else if (!given.has(HEAD) && given.has(TOKEN_EMBEDDING)) throw bad(`${HEAD} is missing and tie_word_embeddings is false`)
  return { config: own, tensors: [...given.values()] }
}

function refuseVariants(settings: Settings): void {
  // Both names stand for the tanh form.
  mustBe(settings, 'activation_function', 'gelu_new', 'gelu_new', 'gelu_pytorch_tanh')
  mustBe(settings, 'scale_attn_weights', true, true)
  mustBe(settings, 'scale_attn_by_inverse_layer_idx', false, false)
  mustBe(settings, 'add_cross_attention', false, false)
  const width = whole(settings, 'n_embd')
  mustBe(settings, 'n_inner', 4 * width, 4 * width)
}

function withoutBiases(settings: Settings): boolean {
  const own = settings[OWN_KEY]
  return typeof own === 'object' && own !== null && (own as Record<string, unknown>).biases === false
}
