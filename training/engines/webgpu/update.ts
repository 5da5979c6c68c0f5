// What follows the gradients, as graphs: sums over microbatches, the global norm, and AdamW. Two of them take a parameter of any shape, so that they are
// compiled once and no more than one parameter's new values lie beside the old ones.
import { type AdamWOptions, adamwStep } from '../../optimizers/adamw.ts'
import { NORM_EPSILON } from '../../optimizers/clipping.ts'
import { type TensorMap, tf } from '../tensorflow.ts'
import { type TracedInput, trace } from '../traced/tracer.ts'

const ANY: TracedInput = { shape: 'any', type: 'float32' }
const SCALAR: TracedInput = { shape: [], type: 'float32' }

/** (sum, gradient) -> sum. */
export function traceSum(): Uint8Array {
  return trace({ sum: ANY, gradient: ANY }, given => ({ total: tf.add(given.sum!, given.gradient!) }), 'webgpu').bytes
}

/** (parameter, gradient, first, second, and as scalars scale, keep, rate, rootCorrection) -> (newParameter, newFirst, newSecond). */
export function traceUpdate(options: AdamWOptions): Uint8Array {
  const inputs = {
    ...{ parameter: ANY, gradient: ANY, first: ANY, second: ANY },
    ...{ scale: SCALAR, keep: SCALAR, rate: SCALAR, rootCorrection: SCALAR }
  }
  const program = (given: TensorMap): TensorMap => {
    const { parameter, first, second, keep, rate, rootCorrection } = given as Record<keyof typeof inputs, tf.Tensor>
    const gradient = tf.mul(given.gradient!, given.scale!)
    const after = adamwStep({ parameter, gradient, first, second }, options, { keep, rate, rootCorrection })
    return { newParameter: after.parameter, newFirst: after.first, newSecond: after.second }
  }
  return trace(inputs, program, 'webgpu').bytes
}

/** (sums of gradients under their parameters' names, share) -> (norm of the mean gradient, what the sums are to be multiplied by). */
export function traceClipping(parameters: readonly { name: string; shape: number[] }[], clipNorm: number): Uint8Array {
  const inputs = Object.fromEntries(parameters.map(({ name, shape }): [string, TracedInput] => [name, { shape, type: 'float32' }]))
  const program = (given: TensorMap): TensorMap => {
    // Row by row first: a GPU computes each number that a reduction gives on few of its threads.
    const squares = parameters.map(({ name }) => tf.sum(tf.sum(tf.square(given[name]!), -1)))
    const norm = tf.mul(tf.sqrt(squares.reduce((sum, square) => tf.add(sum, square))), given[SHARE]!)
    const factor = tf.minimum(1, tf.div(clipNorm, tf.add(norm, NORM_EPSILON)))
    return { norm, scale: tf.mul(factor, given[SHARE]!) }
  }
  return trace({ ...inputs, [SHARE]: SCALAR }, program, 'webgpu').bytes
}

/** What each microbatch's gradient counts for. A parameter's name never looks like this. */
export const SHARE = '#share'
