// The graphs that traced engines run, recorded from a model's program.
import { beginText, continueText, type KeysValues, keysShape, withPlace } from '../../models/decoding.ts'
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
export const LAST = '#last'
export const POSITION = '#position'
/** Before {@link keysValuesNames}. */
export const PAST = '#past/'
export const ADDED = '#added/'

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

/** Names of a model's keys and values, layer by layer, keys first. */
export function keysValuesNames(model: Model): string[] {
  return Array.from({ length: model.config.layers }, (_, layer) => [`keys/${layer}`, `values/${layer}`]).flat()
}

/** The graph (inputs [1, context], last, parameters) -> (logits after place `last`, keys and values of all places). */
export function traceTextBegin(model: Model, context: number, provider?: Provider): Uint8Array {
  const program = (given: TensorMap): TensorMap => {
    const { logits, added } = beginText(model, given, { tokens: given[INPUTS]!, last: given[LAST]! })
    return { [RESULT]: logits, ...named(model, ADDED, added) }
  }
  const inputs = { ...graphInputs(model, { batch: 1, context }, false), [LAST]: { shape: [1], type: 'int32' as const } }
  return trace(inputs, program, provider).bytes
}

/**
 * The graph (inputs [1, 1], position, past keys and values of `context` places, parameters) -> (logits, keys and values added).
 *
 * @param whole to give instead of what is added the past with it, for whoever cannot write it there
 */
export function traceTextStep(model: Model, { context, whole }: { context: number; whole: boolean }, provider?: Provider): Uint8Array {
  const names = keysValuesNames(model)
  const program = (given: TensorMap): TensorMap => {
    const past = Array.from({ length: model.config.layers }, (_, layer) => ({
      keys: given[PAST + names[2 * layer]!]!,
      values: given[PAST + names[2 * layer + 1]!]!
    }))
    const position = given[POSITION]!
    const { logits, added } = continueText(model, given, { token: given[INPUTS]!, position, past })
    const rows = named(model, ADDED, added)
    if (whole) for (const name of names) rows[ADDED + name] = withPlace(given[PAST + name]!, rows[ADDED + name]!, position)
    return { [RESULT]: logits, ...rows }
  }
  const shape = keysShape(model.config, context)
  const inputs = {
    ...graphInputs(model, { batch: 1, context: 1 }, false),
    [POSITION]: { shape: [1], type: 'int32' as const },
    ...Object.fromEntries(names.map(name => [PAST + name, { shape, type: 'float32' as const }]))
  }
  return trace(inputs, program, provider).bytes
}

function named(model: Model, prefix: string, layers: KeysValues[]): TensorMap {
  const tensors = layers.flatMap(({ keys, values }) => [keys, values])
  return Object.fromEntries(keysValuesNames(model).map((name, i) => [prefix + name, tensors[i]!]))
}

function graphInputs(model: Model, { batch, context }: ForwardOptions, targets: boolean): Record<string, TracedInput> {
  return {
    [INPUTS]: { shape: [batch, context], type: 'int32' },
    ...(targets ? { [TARGETS]: { shape: [batch * context], type: 'int32' as const } } : {}),
    ...Object.fromEntries(model.parameters.map(({ name, shape }) => [name, { shape, type: 'float32' as const }]))
  }
}
