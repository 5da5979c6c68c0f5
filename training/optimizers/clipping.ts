// Clipping by the global norm of all gradients together (Pascanu, Mikolov and Bengio 2013), with PyTorch's constant.
import { tf } from '../engines/tensorflow.ts'

/** Keeps the division finite where all gradients are zero; PyTorch's clip_grad_norm_ adds the same. */
export const NORM_EPSILON = 1e-6

/** What gradients of this norm are multiplied by. A norm that is not finite is left alone: the loss has to show it. */
export function clipFactor(norm: number, clipNorm: number | null): number {
  return clipNorm === null ? 1 : Math.min(1, clipNorm / (norm + NORM_EPSILON))
}

/** The global norm as a scalar tensor. */
export function globalNorm(gradients: readonly tf.Tensor[]): tf.Tensor {
  return tf.sqrt(tf.addN(gradients.map(gradient => tf.sum(tf.square(gradient)))))
}
