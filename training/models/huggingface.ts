// Models in Hugging Face's words: what config.json says of a GPT-2 and which tensors lie beside it, both ways.
import { TrainingError } from '../errors.ts'
import { GPT2_LAYER_NORM_EPSILON, type Gpt2Config, HEAD, TOKEN_EMBEDDING } from './gpt2.ts'
import { createModel, elementCount, type Model, matchParameters, type NamedTensor } from './model.ts'

export interface HuggingFaceOptions {
  /** The token that ends a text; written as bos and eos, which would else default to GPT-2's 50256. @default null */
  endOfText?: number | null
}

/** Where this project notes what Hugging Face's configuration has no word for; transformers keeps keys it does not know. */
const OWN_KEY = 'shoal'
const PREFIX = 'transformer.'
/** Causal masks that old checkpoints carry as if they were parameters. */
const BUFFER = /\.attn\.(bias|masked_bias)$/

/**
 * What `GPT2LMHeadModel` needs. A model without matrix biases is written with zeros for them, an untied one with `lm_head.weight`.
 *
 * @throws TrainingError 'bad_parameters'
 */
export function toHuggingFace(
  model: Model,
  parameters: readonly NamedTensor[],
  { endOfText = null }: HuggingFaceOptions = {}
): { config: Record<string, unknown>; tensors: NamedTensor[] } {
  const { vocabulary, context, width, layers, heads, biases, tiedEmbeddings, layerNormEpsilon } = model.config
  const given = new Map(matchParameters(model.parameters, parameters).map(tensor => [tensor.name, tensor]))
  const complete = createModel({ ...model.config, biases: true })
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
      bos_token_id: endOfText,
      eos_token_id: endOfText,
      torch_dtype: 'float32',
      [OWN_KEY]: { biases }
    },
    tensors: complete.parameters.map(
      ({ name, shape }) => given.get(name) ?? { name, shape: [...shape], values: new Float32Array(elementCount(shape)) }
    )
  }
}

/**
 * The model and parameters of a folder that transformers saved.
 *
 * @throws TrainingError 'bad_hugging_face_folder' naming the setting that this program cannot compute, or the tensor that is wrong
 */
export function fromHuggingFace(config: object, tensors: readonly NamedTensor[]): { config: Gpt2Config; parameters: NamedTensor[] } {
  const settings = config as Record<string, unknown>
  refuseOtherModels(settings)
  const named = new Map<string, NamedTensor>()
  for (const tensor of tensors) {
    if (BUFFER.test(tensor.name)) continue
    // A bare GPT2Model is saved without the prefix.
    const name = tensor.name === HEAD || tensor.name.startsWith(PREFIX) ? tensor.name : PREFIX + tensor.name
    named.set(name, { ...tensor, name })
  }
  const matrixBiases = [...named.values()].filter(({ name }) => /\.(c_attn|c_proj|c_fc)\.bias$/.test(name))
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
  const epsilon = settings.layer_norm_epsilon ?? GPT2_LAYER_NORM_EPSILON
  if (epsilon !== GPT2_LAYER_NORM_EPSILON) own.layerNormEpsilon = Number(epsilon)
  if (!own.biases) for (const { name } of matrixBiases) named.delete(name)
  // With tied embeddings transformers reads the head from the embedding whatever else is in the file.
  if (tiedEmbeddings) named.delete(HEAD)
  else if (!named.has(HEAD) && named.has(TOKEN_EMBEDDING)) throw bad(`${HEAD} is missing and tie_word_embeddings is false`)
  try {
    return { config: own, parameters: matchParameters(createModel(own).parameters, [...named.values()]) }
  } catch (error) {
    if (!(error instanceof TrainingError)) throw error
    throw new TrainingError('bad_hugging_face_folder', `Cannot read the model: ${error.message}`, {
      cause: error,
      details: error.details ?? {}
    })
  }
}

function refuseOtherModels(settings: Record<string, unknown>): void {
  const mustBe = (key: string, fallback: unknown, ...allowed: unknown[]) => {
    const value = settings[key] ?? fallback
    if (!allowed.includes(value))
      throw bad(`${key} is ${JSON.stringify(value)}, this program computes ${allowed.map(one => JSON.stringify(one)).join(' or ')}`)
  }
  mustBe('model_type', undefined, 'gpt2')
  // Both names stand for the tanh form.
  mustBe('activation_function', 'gelu_new', 'gelu_new', 'gelu_pytorch_tanh')
  mustBe('scale_attn_weights', true, true)
  mustBe('scale_attn_by_inverse_layer_idx', false, false)
  mustBe('add_cross_attention', false, false)
  const width = whole(settings, 'n_embd')
  mustBe('n_inner', 4 * width, 4 * width)
}

function withoutBiases(settings: Record<string, unknown>): boolean {
  const own = settings[OWN_KEY]
  return typeof own === 'object' && own !== null && (own as Record<string, unknown>).biases === false
}

function whole(settings: Record<string, unknown>, key: string): number {
  const value = settings[key]
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
    throw bad(`${key} is ${JSON.stringify(value)}, it must be a whole number from 1`)
  return value
}

function bad(why: string): TrainingError {
  return new TrainingError('bad_hugging_face_folder', `Cannot read the model: ${why}`)
}
