// The one place where TensorFlow.js enters: everything else in training imports `tf` from here.
// Not the package @tensorflow/tfjs: it is 200 MB more on disk and loads a converter, a data loader and a WebGL backend that nothing here uses.
import * as tf from '@tensorflow/tfjs-core'
import '@tensorflow/tfjs-backend-cpu'
// For what it does while it loads: it registers the gradients of all operations. tfjs-core has them only as files that Node does not load (their
// imports name no extension).
import '@tensorflow/tfjs-layers'

// Production mode drops the checks for NaN and the greeting that the JavaScript backend would print on its first use.
tf.enableProdMode()

export { tf }

/** Tensors by parameter name. */
export type TensorMap = Record<string, tf.Tensor>
