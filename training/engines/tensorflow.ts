// The one place where TensorFlow.js enters: everything else in training imports `tf` from here.
// Not the package @tensorflow/tfjs: it is 200 MB more on disk and loads a converter, a data loader and a WebGL backend that nothing here uses.
// And by `require`: for an `import` Node first reads through these CommonJS files for the names that they export, which takes three times as long
// as running them (0.6 s of processor time against 0.14).
import { createRequire } from 'node:module'
import type * as core from '@tensorflow/tfjs-core'

const require = createRequire(import.meta.url)

export const tf: typeof core = require('@tensorflow/tfjs-core')

/** Types of tfjs-core under the same name. */
export declare namespace tf {
  type DataStorage<T> = core.DataStorage<T>
  type DataType = core.DataType
  type GradSaveFunc = core.GradSaveFunc
  type KernelBackend = core.KernelBackend
  type Rank = core.Rank
  type Scalar = core.Scalar
  type Tensor<R extends core.Rank = core.Rank> = core.Tensor<R>
  type Tensor1D = core.Tensor1D
  type Tensor2D = core.Tensor2D
  type Tensor3D = core.Tensor3D
  type Tensor4D = core.Tensor4D
  type TensorInfo = core.TensorInfo
  namespace backend_util {
    type BackendValues = core.backend_util.BackendValues
  }
}

require('@tensorflow/tfjs-backend-cpu')
// For what it does while it loads: it registers the gradients of all operations. tfjs-core has them only as files that Node does not load (their
// imports name no extension).
require('@tensorflow/tfjs-layers')

// Production mode drops the checks for NaN and the greeting that the JavaScript backend would print on its first use.
tf.enableProdMode()

/** Adds the wasm backend to those that `tf.setBackend` knows. */
export function requireWasmBackend(): void {
  require('@tensorflow/tfjs-backend-wasm')
}

/** Tensors by parameter name. */
export type TensorMap = Record<string, tf.Tensor>
