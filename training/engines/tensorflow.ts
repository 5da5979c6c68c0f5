// The one place where TensorFlow.js enters: everything else in training imports `tf` from here.
// tfjs-core alone registers no gradients in Node, so the whole package is loaded (its backends compute nothing until they are chosen).
import * as tf from '@tensorflow/tfjs'

// Production mode drops the checks for NaN and the greeting that the JavaScript backend would print on its first use.
tf.enableProdMode()

export { tf }

/** Tensors by parameter name. */
export type TensorMap = Record<string, tf.Tensor>
