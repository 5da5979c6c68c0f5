// Models in Hugging Face's words: config.json and the tensors beside it, both ways, one file a family.
import { TrainingError } from '../../errors.ts'
import { createModel, type Model, type ModelConfig, matchParameters, type NamedTensor } from '../model.ts'
import { gpt2FromHuggingFace, gpt2ToHuggingFace } from './gpt2.ts'
import { llamaFromHuggingFace, llamaToHuggingFace } from './llama.ts'
import { mustBe, type Settings } from './settings.ts'

export interface HuggingFaceOptions {
  /** The token that ends a text; written as bos and eos, which would else default to ids that a small vocabulary does not have. @default null */
  endOfText?: number | null
}

/**
 * What transformers' class for the model's family needs.
 *
 * @throws TrainingError 'bad_parameters'
 */
export function toHuggingFace(
  model: Model,
  parameters: readonly NamedTensor[],
  { endOfText = null }: HuggingFaceOptions = {}
): { config: Settings; tensors: NamedTensor[] } {
  const matched = matchParameters(model.parameters, parameters)
  const { config, tensors } =
    model.config.family === 'gpt2' ? gpt2ToHuggingFace(model.config, matched) : llamaToHuggingFace(model.config, matched)
  return { config: { ...config, bos_token_id: endOfText, eos_token_id: endOfText }, tensors }
}

/**
 * The model and parameters of a folder that transformers saved.
 *
 * @throws TrainingError 'bad_hugging_face_folder' naming the setting that this program cannot compute, or the tensor that is wrong
 */
export function fromHuggingFace(config: object, tensors: readonly NamedTensor[]): { config: ModelConfig; parameters: NamedTensor[] } {
  const settings = config as Settings
  mustBe(settings, 'model_type', undefined, 'gpt2', 'llama')
  const read = settings.model_type === 'gpt2' ? gpt2FromHuggingFace(settings, tensors) : llamaFromHuggingFace(settings, tensors)
  try {
    return { config: read.config, parameters: matchParameters(createModel(read.config).parameters, read.tensors) }
  } catch (error) {
    if (!(error instanceof TrainingError)) throw error
    throw new TrainingError('bad_hugging_face_folder', `Cannot read the model: ${error.message}`, {
      cause: error,
      details: error.details ?? {}
    })
  }
}
