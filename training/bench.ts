// Times an engine on a reference workload through the same model and compiled step as a run; keys as in the PyTorch script that it is compared with.
import { performance } from 'node:perf_hooks'
import { setImmediate as othersTurn } from 'node:timers/promises'
import { type EngineName, openEngine } from './engines/engine.ts'
import { tf } from './engines/tensorflow.ts'
import { TrainingError } from './errors.ts'
import { createModel, elementCount, type Model, type ModelConfig, matchParameters, type NamedTensor } from './models/model.ts'
import type { AdamWOptions } from './optimizers/adamw.ts'

/** Parts of the timed steps after which resident memory is read. */
const RESIDENT_AFTER = [0.1, 0.5, 1]

/** The reference model's sizes: V vocabulary, T context, B batch, D width, L layers, H heads. Its parameters go by short names of their own. */
export interface ReferenceConfig {
  V: number
  T: number
  B: number
  D: number
  L: number
  H: number
}

/** Any model of ours, its parameters under the model's own names; `batch` sequences of the model's context. */
export interface ModelWorkload {
  model: ModelConfig
  batch: number
}

/** A workload as its files say: NAME.json, NAME.params.bin (f32, in the order of specs) and NAME.batch.bin (i32: inputs, then targets). */
export interface BenchTrainOptions {
  /** The workload's name, for the report. */
  name?: string
  config: ReferenceConfig | ModelWorkload
  specs: [name: string, shape: number[], ...rest: unknown[]][]
  adamw: Omit<AdamWOptions, 'clipNorm'> & { learningRate: number; clipNorm?: number | null }
  params: Float32Array
  batch: Int32Array
  steps: number
  warmup: number
  threads: number
  engine: EngineName | 'auto'
  /** Looked at before each step. */
  signal?: AbortSignal
}

export interface BenchTrainReport {
  engine: EngineName
  name: string
  threads: number
  /** Median milliseconds a step, warm-up left out. */
  ms: number
  tokensPerSecond: number
  gflops: number
  /** Peak resident memory of this process in MB. */
  rssMB: number
  /**
   * Resident memory in MB after a tenth, a half and all of the timed steps. What creeps shows in thousands of them: in the first thousand V8 takes its room for
   * garbage, some tens of MB.
   */
  residentMB: [tenth: number, half: number, end: number]
  /** Tensors of tfjs that were there at the end and not before. */
  tensorsLeft: number
  /** Of every step, warm-up included, unrounded. */
  losses: number[]
  compileMs: number
}

/**
 * @throws TrainingError 'bad_workload', 'bad_parameters' where they are not the model's, and those of {@link openEngine}
 */
export async function benchTrain(options: BenchTrainOptions): Promise<BenchTrainReport> {
  const { adamw, steps, warmup, threads } = options
  const { model: config, batch } = 'model' in options.config ? options.config : referenceModel(options.config)
  const model = createModel(config)
  const { context } = config
  // Before an engine compiles: that takes a large model's time and memory.
  const parameters = matchParameters(model.parameters, workloadParameters(options))
  const size = batch * context
  if (options.batch.length !== 2 * size) throw bad(`its batch has ${options.batch.length} numbers, it must have 2 x ${batch} x ${context}`)
  for (const [field, value, least] of [
    ['steps', steps, 1],
    ['warmup', warmup, 0]
  ] as const)
    if (!Number.isSafeInteger(value) || value < least) throw bad(`${field} is ${value}, it must be a whole number from ${least}`)
  const microbatch = { inputs: options.batch.slice(0, size), targets: options.batch.slice(size) }

  const engine = await openEngine(options.engine, { threads })
  const tensorsBefore = tf.memory().numTensors
  try {
    const compiled = await engine.compileTraining(model, {
      batch,
      context,
      accumulation: 1,
      optimizer: {
        beta1: adamw.beta1,
        beta2: adamw.beta2,
        epsilon: adamw.epsilon,
        weightDecay: adamw.weightDecay,
        clipNorm: adamw.clipNorm ?? null
      }
    })
    await compiled.load(parameters)
    const losses: number[] = []
    const times: number[] = []
    const residentMB: BenchTrainReport['residentMB'] = [0, 0, 0]
    for (let step = 0; step < steps + warmup; step++) {
      // Some engines compute on this thread: without a turn for timers and signals nothing could stop them.
      await othersTurn()
      options.signal?.throwIfAborted()
      const start = performance.now()
      losses.push((await compiled.step([microbatch], adamw.learningRate)).loss)
      if (step >= warmup) times.push(performance.now() - start)
      for (const [i, part] of RESIDENT_AFTER.entries()) if (times.length === Math.ceil(part * steps)) residentMB[i] = residentNowMB()
    }
    await compiled.dispose()
    const ms = median(times)
    return {
      engine: engine.name,
      name: options.name ?? 'workload',
      threads,
      ms,
      tokensPerSecond: (size / ms) * 1e3,
      gflops: (size * flopsPerToken(model)) / ms / 1e6,
      rssMB: Math.round(process.resourceUsage().maxRSS / 1024),
      residentMB,
      tensorsLeft: tf.memory().numTensors - tensorsBefore,
      losses,
      compileMs: compiled.compileMs
    }
  } finally {
    await engine.dispose()
  }
}

function residentNowMB(): number {
  return Math.round((10 * process.memoryUsage.rss()) / 2 ** 20) / 10
}

function referenceModel({ V, T, B, D, L, H }: ReferenceConfig): ModelWorkload {
  const model = { vocabulary: V, context: T, width: D, layers: L, heads: H, biases: false, tiedEmbeddings: false }
  return { model: { family: 'gpt2', ...model }, batch: B }
}

/**
 * Floating-point operations of a training step for each token, as is usual: six for each number of the matrices that rows are multiplied by, and twelve
 * for each layer, number of the width and position that attention looks at (the half that looks ahead is counted too).
 */
function flopsPerToken({ config, stages }: Model): number {
  const products = stages.slice(1).flatMap(({ parameters }) => parameters.filter(({ shape }) => shape.length === 2))
  const matrices = products.reduce(
    (sum, { shape }) => sum + elementCount(shape),
    config.tiedEmbeddings ? config.vocabulary * config.width : 0
  )
  return 6 * matrices + 12 * config.layers * config.context * config.width
}

/** The workload's parameters under the model's names; the reference's head is [width, vocabulary], ours the transpose. */
function workloadParameters({ config, specs, params }: BenchTrainOptions): NamedTensor[] {
  const total = specs.reduce((sum, [, shape]) => sum + elementCount(shape), 0)
  if (params.length !== total) throw bad(`its parameters are ${params.length} numbers, its specs say ${total}`)
  let at = 0
  return specs.map(([name, shape]) => {
    const values = params.slice(at, at + elementCount(shape))
    at += values.length
    if ('model' in config) return { name, shape: [...shape], values }
    if (name === 'head') return { name: 'lm_head.weight', shape: [config.V, config.D], values: transposed(values, config.D, config.V) }
    return { name: modelName(name), shape: [...shape], values }
  })
}

const OUTSIDE_BLOCKS: Record<string, string> = { wte: 'wte.weight', wpe: 'wpe.weight', lnfg: 'ln_f.weight', lnfb: 'ln_f.bias' }
const INSIDE_BLOCKS: Record<string, string> = {
  ln1g: 'ln_1.weight',
  ln1b: 'ln_1.bias',
  qkv: 'attn.c_attn.weight',
  proj: 'attn.c_proj.weight',
  ln2g: 'ln_2.weight',
  ln2b: 'ln_2.bias',
  fc: 'mlp.c_fc.weight',
  fc2: 'mlp.c_proj.weight'
}

function modelName(name: string): string {
  const block = /^h(\d+)\.(.+)$/.exec(name)
  const inside = block ? INSIDE_BLOCKS[block[2]!] : OUTSIDE_BLOCKS[name]
  if (!inside) throw bad(`it has a parameter ${JSON.stringify(name)}, which the reference model has not`)
  return block ? `transformer.h.${block[1]}.${inside}` : `transformer.${inside}`
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length)
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column]!
  return result
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function bad(why: string): TrainingError {
  return new TrainingError('bad_workload', `Cannot use the workload: ${why}`)
}
