// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019), in PyTorch's order of operations. The step is written here in
// tfjs operations, to be run eagerly or traced, and in parameter-arrays.ts as one pass, for engines whose gradients arrive in the host's memory anyway.

import { tf } from '../engines/tensorflow.ts'
import { TrainingError } from '../errors.ts'

export interface AdamWOptions {
  beta1: number
  beta2: number
  epsilon: number
  /** Pulls on parameters whose specification says `decay`. */
  weightDecay: number
  /** Greatest global norm of a step's gradient; null leaves gradients alone. */
  clipNorm: number | null
}

/** What changes from step to step, as numbers. */
export interface AdamWScalars {
  /** 1 - learningRate * weightDecay. */
  keep: number
  /** learningRate / (1 - beta1^step). */
  rate: number
  /** 1 / sqrt(1 - beta2^step). */
  rootCorrection: number
}

/**
 * @throws TrainingError 'bad_optimizer' naming the field and its limits
 */
export function checkAdamW(options: AdamWOptions): void {
  const check = (field: keyof AdamWOptions, ok: boolean, limit: string) => {
    if (!ok)
      throw new TrainingError('bad_optimizer', `Cannot use AdamW with ${field} ${options[field]}: it must be ${limit}`, {
        details: { field, value: options[field] }
      })
  }
  check('beta1', options.beta1 >= 0 && options.beta1 < 1, 'at least 0 and below 1')
  check('beta2', options.beta2 >= 0 && options.beta2 < 1, 'at least 0 and below 1')
  check('epsilon', options.epsilon > 0 && Number.isFinite(options.epsilon), 'above 0')
  check('weightDecay', options.weightDecay >= 0 && Number.isFinite(options.weightDecay), 'at least 0')
  check('clipNorm', options.clipNorm === null || options.clipNorm > 0, 'above 0, or null')
}

/** @param step counts from 1 */
export function adamwScalars(options: AdamWOptions, learningRate: number, step: number, decay: boolean): AdamWScalars {
  return {
    keep: decay ? 1 - learningRate * options.weightDecay : 1,
    rate: learningRate / (1 - options.beta1 ** step),
    rootCorrection: 1 / Math.sqrt(1 - options.beta2 ** step)
  }
}

/** One parameter's step in tfjs operations; nothing is disposed. Scalars may be tensors, so that a traced step can take them as inputs. */
export function adamwStep(
  given: { parameter: tf.Tensor; gradient: tf.Tensor; first: tf.Tensor; second: tf.Tensor },
  options: AdamWOptions,
  { keep, rate, rootCorrection }: { [K in keyof AdamWScalars]: number | tf.Tensor }
): { parameter: tf.Tensor; first: tf.Tensor; second: tf.Tensor } {
  const { parameter, gradient } = given
  const first = tf.add(tf.mul(given.first, options.beta1), tf.mul(gradient, 1 - options.beta1))
  const second = tf.add(tf.mul(given.second, options.beta2), tf.mul(tf.square(gradient), 1 - options.beta2))
  const divisor = tf.add(tf.mul(tf.sqrt(second), rootCorrection), options.epsilon)
  return { parameter: tf.sub(tf.mul(parameter, keep), tf.mul(tf.div(first, divisor), rate)), first, second }
}
