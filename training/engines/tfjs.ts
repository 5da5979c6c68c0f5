// Eager engines: the same model program run operation by operation on a tfjs backend. Plain JavaScript and wasm come with the project;
// tfjs-node and tfjs-node-gpu are used where an operator has installed them, and are never a dependency (their install scripts download outside the registry).
import { elementCount, type Model, matchParameters, modelLogits, type NamedTensor } from '../models/model.ts'
import { crossEntropy } from '../models/operations.ts'
import { adamwScalars, adamwStep } from '../optimizers/adamw.ts'
import { clipFactor, globalNorm } from '../optimizers/clipping.ts'
import { checkForwardOptions, checkMicrobatches, checkTokens, checkTrainingOptions } from './batch.ts'
import { CompiledSet } from './compiled-set.ts'
import type { CompiledForward, CompiledTraining, Engine, EngineName, ForwardOptions, TokenBatch, TrainingOptions } from './engine.ts'
import { FIRST_MOMENT, matchMoments, SECOND_MOMENT } from './moments.ts'
import { requireWasmBackend, type TensorMap, tf } from './tensorflow.ts'
import { TfjsDecoding } from './tfjs-decoding.ts'
import { Residents, tidy } from './tfjs-residents.ts'

export type TfjsEngineName = Exclude<EngineName, 'traced' | 'webgpu'>

const BACKENDS: Record<TfjsEngineName, string> = { js: 'cpu', wasm: 'wasm', 'tfjs-node': 'tensorflow', 'tfjs-node-gpu': 'tensorflow' }
const loaded = new Map<TfjsEngineName, Promise<string | null>>()

/** Why this engine cannot be used here, or null; loads it to find out. */
export function tfjsUnavailable(name: TfjsEngineName): Promise<string | null> {
  const known = loaded.get(name)
  if (known) return known
  const loading = load(name).then(
    reason => reason,
    (error: unknown) => (error instanceof Error ? error.message.split('\n')[0]! : String(error))
  )
  loaded.set(name, loading)
  return loading
}

async function load(name: TfjsEngineName): Promise<string | null> {
  if (name === 'js') return (await tf.setBackend('cpu')) ? null : 'the JavaScript backend did not start'
  if (name === 'wasm') {
    requireWasmBackend()
    return (await tf.setBackend('wasm')) ? null : 'the wasm backend did not start'
  }
  const other: TfjsEngineName = name === 'tfjs-node' ? 'tfjs-node-gpu' : 'tfjs-node'
  // Both register the backend `tensorflow`, so a process can hold one of them.
  if (loaded.has(other) && (await loaded.get(other)) === null) return `${other} is loaded, and a process can load one of the two`
  const specifier: string = `@tensorflow/${name}`
  try {
    await import(specifier)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND' && (error as Error).message.includes(specifier)
    if (missing) return `the package ${specifier} is not installed`
    throw error
  }
  if (!(await tf.setBackend('tensorflow'))) return 'the native backend did not start'
  const { isUsingGpuDevice } = tf.backend() as { isUsingGpuDevice?: boolean }
  return name === 'tfjs-node-gpu' && isUsingGpuDevice === false ? 'TensorFlow sees no GPU' : null
}

/** Opens an engine that {@link tfjsUnavailable} has found to work. */
export function openTfjsEngine(name: TfjsEngineName): Engine {
  const backend = BACKENDS[name]
  const compiled = new CompiledSet()
  return {
    name,
    async compileTraining(model, options) {
      checkTrainingOptions(model, options)
      return compiled.track(new TfjsTraining({ backend, model }, options))
    },
    async compileForward(model, options) {
      checkForwardOptions(model, options)
      return compiled.track(new TfjsForward({ backend, model }, options))
    },
    async compileDecoding(model, { context }) {
      checkForwardOptions(model, { batch: 1, context })
      return compiled.track(new TfjsDecoding({ backend, model }, context))
    },
    dispose: () => compiled.dispose()
  }
}

interface Components {
  backend: string
  model: Model
}

class TfjsTraining implements CompiledTraining {
  readonly compileMs = 0
  readonly #model: Model
  readonly #options: TrainingOptions
  readonly #names: string[]
  readonly #residents: Residents
  #step = 0

  constructor({ backend, model }: Components, options: TrainingOptions) {
    this.#model = model
    this.#options = options
    this.#names = model.parameters.map(({ name }) => name)
    this.#residents = new Residents(backend)
  }

  async load(parameters: NamedTensor[], moments?: NamedTensor[], step = 0): Promise<void> {
    const specs = this.#model.parameters
    const given = [...matchParameters(specs, parameters), ...matchMoments(specs, moments)]
    this.#residents.section(() => this.#residents.upload(given))
    this.#step = step
  }

  async step(microbatches: TokenBatch[], learningRate: number): Promise<{ loss: number; gradNorm: number | null }> {
    checkMicrobatches(microbatches, this.#options, this.#model.config.vocabulary)
    return this.#residents.section(() => {
      const { tensors } = this.#residents
      const { optimizer } = this.#options
      this.#step++
      return tidy(() => {
        const { loss, gradients } = this.#gradients(tensors, microbatches)
        const norm = optimizer.clipNorm === null ? null : (globalNorm(gradients).dataSync()[0] as number)
        const factor = norm === null ? 1 : clipFactor(norm, optimizer.clipNorm)
        const next: TensorMap = {}
        this.#model.parameters.forEach(({ name, decay }, i) => {
          const gradient = factor === 1 ? gradients[i]! : tf.mul(gradients[i]!, factor)
          const before = {
            parameter: tensors[name]!,
            gradient,
            first: tensors[FIRST_MOMENT + name]!,
            second: tensors[SECOND_MOMENT + name]!
          }
          const after = adamwStep(before, optimizer, adamwScalars(optimizer, learningRate, this.#step, decay))
          next[name] = after.parameter
          next[FIRST_MOMENT + name] = after.first
          next[SECOND_MOMENT + name] = after.second
        })
        this.#residents.replace(next)
        return { loss, gradNorm: norm }
      })
    })
  }

  #gradients(tensors: TensorMap, microbatches: readonly TokenBatch[]): { loss: number; gradients: tf.Tensor[] } {
    let loss = 0
    let gradients: tf.Tensor[] | null = null
    for (const { inputs, targets } of microbatches) {
      const rows = tf.tensor1d(targets, 'int32')
      const tokens = tf.tensor2d(inputs, [this.#options.batch, this.#options.context], 'int32')
      const lossOf = (...parameters: tf.Tensor[]) => {
        const named = Object.fromEntries(this.#names.map((name, i) => [name, parameters[i]!]))
        return tf.mean(crossEntropy(flatLogits(modelLogits(this.#model, named, tokens)), rows)) as tf.Scalar
      }
      const { value, grads } = tf.valueAndGrads(lossOf)(this.#names.map(name => tensors[name]!))
      loss += value.dataSync()[0]! / microbatches.length
      gradients = gradients ? gradients.map((sum, i) => tf.add(sum, grads[i]!)) : grads
    }
    const all = gradients!
    return { loss, gradients: microbatches.length === 1 ? all : all.map(gradient => tf.div(gradient, microbatches.length)) }
  }

  async parameters(): Promise<NamedTensor[]> {
    return this.#residents.section(() => this.#residents.download(this.#names))
  }

  async setParameters(parameters: NamedTensor[]): Promise<void> {
    const given = matchParameters(this.#model.parameters, parameters)
    this.#residents.section(() => {
      void this.#residents.tensors
      this.#residents.upload(given)
    })
  }

  async moments(): Promise<NamedTensor[]> {
    return this.#residents.section(() => this.#residents.download(this.#names.flatMap(name => [FIRST_MOMENT + name, SECOND_MOMENT + name])))
  }

  async dispose(): Promise<void> {
    this.#residents.dispose()
  }
}

class TfjsForward implements CompiledForward {
  readonly #model: Model
  readonly #options: ForwardOptions
  readonly #residents: Residents

  constructor({ backend, model }: Components, options: ForwardOptions) {
    this.#model = model
    this.#options = options
    this.#residents = new Residents(backend)
  }

  async load(parameters: NamedTensor[]): Promise<void> {
    const given = matchParameters(this.#model.parameters, parameters)
    this.#residents.section(() => this.#residents.upload(given))
  }

  async logits(inputs: Int32Array): Promise<Float32Array> {
    return this.#compute(inputs, logits => logits)
  }

  async losses(inputs: Int32Array, targets: Int32Array): Promise<Float32Array> {
    checkTokens(targets, this.#options, this.#model.config.vocabulary, 'targets')
    return this.#compute(inputs, logits => crossEntropy(flatLogits(logits), tf.tensor1d(targets, 'int32')))
  }

  #compute(inputs: Int32Array, then: (logits: tf.Tensor) => tf.Tensor): Float32Array {
    checkTokens(inputs, this.#options, this.#model.config.vocabulary, 'inputs')
    return this.#residents.section(() =>
      tidy(() => {
        const { batch, context } = this.#options
        const tokens = tf.tensor2d(inputs, [batch, context], 'int32')
        return (then(modelLogits(this.#model, this.#residents.tensors, tokens)).dataSync() as Float32Array).slice()
      })
    )
  }

  async dispose(): Promise<void> {
    this.#residents.dispose()
  }
}

function flatLogits(logits: tf.Tensor): tf.Tensor {
  return tf.reshape(logits, [elementCount(logits.shape.slice(0, -1)), logits.shape.at(-1)!])
}
