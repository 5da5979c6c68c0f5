// What a model is to the rest of training: a list of stages, each with its parameters and its forward program in tfjs-core operations.

import type { TensorMap, tf } from '../engines/tensorflow.ts'
import { TrainingError } from '../errors.ts'
import type { AttentionCache } from './decoding.ts'
import { createGpt2, type Gpt2Config } from './gpt2.ts'
import { createLlama, type LlamaConfig } from './llama.ts'

/** A tensor outside any engine: f32 values in row-major order. */
export interface NamedTensor {
  name: string
  shape: number[]
  values: Float32Array
}

export interface ParameterSpec {
  /** The Hugging Face name. */
  name: string
  shape: number[]
  init: { kind: 'normal'; std: number } | { kind: 'ones' } | { kind: 'zeros' }
  /** Whether weight decay pulls on it (matrices yes, vectors no). */
  decay: boolean
}

/** A run of consecutive layers: the unit that can be computed, swapped or served alone. */
export interface Stage {
  name: string
  parameters: ParameterSpec[]
  /** Parameters of other stages that `forward` reads from `shared` (a tied head borrows the embedding). */
  borrows: string[]
  /**
   * Tokens i32 [batch, length] or hidden states f32 [batch, length, width] in; hidden states, or logits [batch, length, vocabulary] from the head, out.
   * `length` is at most the model's context. Never disposes what it is given; intermediate tensors are left to the caller's tidy.
   *
   * @param cache where keys and values are kept; x is then of one text, and of one token where others stand before it
   */
  forward(parameters: TensorMap, x: tf.Tensor, shared?: TensorMap, cache?: AttentionCache): tf.Tensor
}

export type ModelConfig = Gpt2Config | LlamaConfig

export interface Model {
  config: ModelConfig
  stages: Stage[]
  /** All stages' parameters in order. */
  parameters: ParameterSpec[]
}

/**
 * The model of a configuration.
 *
 * @throws TrainingError 'bad_model_config' naming the field, its value and the limit
 */
export function createModel(config: ModelConfig): Model {
  const stages = stagesOf(config)
  return { config, stages, parameters: stages.flatMap(stage => stage.parameters) }
}

function stagesOf(config: ModelConfig): Stage[] {
  switch (config.family) {
    case 'gpt2':
      return createGpt2(config)
    case 'llama':
      return createLlama(config)
    default:
      throw new TrainingError(
        'bad_model_config',
        `Cannot create a model of family ${JSON.stringify((config as ModelConfig).family)}: the family must be gpt2 or llama`
      )
  }
}

/** Logits f32 [batch, length, vocabulary] of tokens i32 [batch, length], through all stages. */
export function modelLogits(model: Model, parameters: TensorMap, tokens: tf.Tensor): tf.Tensor {
  return model.stages.reduce((x, stage) => stage.forward(parameters, x, parameters), tokens)
}

/** How many numbers a tensor of this shape holds. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

/**
 * The given tensors in the specifications' order.
 *
 * @throws TrainingError 'bad_parameters' where one is missing, surplus or of another shape
 */
export function matchParameters(specs: readonly ParameterSpec[], given: readonly NamedTensor[], what = 'parameters'): NamedTensor[] {
  const byName = new Map(given.map(tensor => [tensor.name, tensor]))
  const matched = specs.map(({ name, shape }) => {
    const tensor = byName.get(name)
    if (!tensor) throw new TrainingError('bad_parameters', `Cannot take ${what}: ${name} [${shape}] is missing`, { details: { name } })
    if (
      tensor.shape.length !== shape.length ||
      tensor.shape.some((size, axis) => size !== shape[axis]) ||
      tensor.values.length !== elementCount(shape)
    )
      throw new TrainingError(
        'bad_parameters',
        `Cannot take ${what}: ${name} is [${tensor.shape}] with ${tensor.values.length} values, it must be [${shape}]`,
        {
          details: { name, shape: tensor.shape, want: shape }
        }
      )
    return tensor
  })
  if (given.length !== specs.length) {
    const known = new Set(specs.map(({ name }) => name))
    const surplus = given.find(({ name }) => !known.has(name)) ?? given[0]
    throw new TrainingError('bad_parameters', `Cannot take ${what}: ${surplus?.name} is not of this model or given twice`, {
      details: { name: surplus?.name }
    })
  }
  return matched
}
