// The graphs that traced engines run, recorded from a model's program.
import { type Model, modelLogits } from '../../models/model.ts'
import { crossEntropy } from '../../models/operations.ts'
import type { ForwardOptions } from '../engine.ts'
import { type TensorMap, tf } from '../tensorflow.ts'
import type { Provider } from './graph.ts'
import './kernels.ts'
import { type TracedInput, trace } from './tracer.ts'

// Names of graph values; a parameter goes by its own name, which never looks like these.
export const INPUTS = '#inputs'
export const TARGETS = '#targets'
export const LOSS = '#loss'
export const RESULT = '#result'
export const GRADIENT = '#gradient/'

export type ForwardKind = 'logits' | 'losses'

/** The graph (inputs, targets, parameters) -> (mean loss, gradient of each parameter). */
export function traceGradients(model: Model, options: ForwardOptions, provider?: Provider): Uint8Array {
  const names = model.parameters.map(({ name }) => name)
  const program = (given: TensorMap): TensorMap => {
    const lossOf = (...parameters: tf.Tensor[]) => {
      const named = Object.fromEntries(names.map((name, i) => [name, parameters[i]!]))
      const logits = modelLogits(model, named, given[INPUTS]!)
      return tf.mean(
        crossEntropy(tf.reshape(logits, [options.batch * options.context, model.config.vocabulary]), given[TARGETS]!)
      ) as tf.Scalar
    }
    const { value, grads } = tf.valueAndGrads(lossOf)(names.map(name => given[name]!))
    return { [LOSS]: value, ...Object.fromEntries(names.map((name, i) => [GRADIENT + name, grads[i]!])) }
  }
  return trace(graphInputs(model, options, true), program, provider).bytes
}

/** The graph (inputs, parameters) -> logits, or (inputs, targets, parameters) -> the loss at each position. */
export function traceForward(kind: ForwardKind, model: Model, options: ForwardOptions, provider?: Provider): Uint8Array {
  const program = (given: TensorMap): TensorMap => {
    const logits = modelLogits(model, given, given[INPUTS]!)
    if (kind === 'logits') return { [RESULT]: logits }
    const rows = tf.reshape(logits, [options.batch * options.context, model.config.vocabulary])
    return { [RESULT]: crossEntropy(rows, given[TARGETS]!) }
  }
  return trace(graphInputs(model, options, kind === 'losses'), program, provider).bytes
}

function graphInputs(model: Model, { batch, context }: ForwardOptions, targets: boolean): Record<string, TracedInput> {
  return {
    [INPUTS]: { shape: [batch, context], type: 'int32' },
    ...(targets ? { [TARGETS]: { shape: [batch * context], type: 'int32' as const } } : {}),
    ...Object.fromEntries(model.parameters.map(({ name, shape }) => [name, { shape, type: 'float32' as const }]))
  }
}
