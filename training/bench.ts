// Times an engine on a reference workload through the same model and compiled step as a run; keys as in the PyTorch script that it is compared with.
import { performance } from 'node:perf_hooks'
import { type EngineName, openEngine } from './engines/engine.ts'
import { TrainingError } from './errors.ts'
import { createModel, elementCount, type NamedTensor } from './models/model.ts'
import type { AdamWOptions } from './optimizers/adamw.ts'

/** A workload as its files say: NAME.json, NAME.params.bin (f32, in the order of specs) and NAME.batch.bin (i32: inputs, then targets). */
export interface BenchTrainOptions {
  /** The workload's name, for the report. */
  name?: string
  /** V vocabulary, T context, B batch, D width, L layers, H heads. */
  config: { V: number; T: number; B: number; D: number; L: number; H: number }
  specs: [name: string, shape: number[], ...rest: unknown[]][]
  adamw: Omit<AdamWOptions, 'clipNorm'> & { learningRate: number; clipNorm?: number | null }
  params: Float32Array
  batch: Int32Array
  steps: number
  warmup: number
  threads: number
  engine: EngineName | 'auto'
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
  /** Of every step, warm-up included, unrounded. */
  losses: number[]
  compileMs: number
}

/**
 * @throws TrainingError 'bad_workload' and those of {@link openEngine}
 */
export async function benchTrain(options: BenchTrainOptions): Promise<BenchTrainReport> {
  const { config: c, adamw, steps, warmup, threads } = options
  const parameters = workloadParameters(options)
  const size = c.B * c.T
  if (options.batch.length !== 2 * size) throw bad(`its batch has ${options.batch.length} numbers, it must have 2 x ${c.B} x ${c.T}`)
  for (const [field, value, least] of [
    ['steps', steps, 1],
    ['warmup', warmup, 0]
  ] as const)
    if (!Number.isSafeInteger(value) || value < least) throw bad(`${field} is ${value}, it must be a whole number from ${least}`)
  const microbatch = { inputs: options.batch.slice(0, size), targets: options.batch.slice(size) }

  const model = createModel({
    family: 'gpt2',
    vocabulary: c.V,
    context: c.T,
    width: c.D,
    layers: c.L,
    heads: c.H,
    biases: false,
    tiedEmbeddings: false
  })
  const engine = await openEngine(options.engine, { threads })
  try {
    const compiled = await engine.compileTraining(model, {
      batch: c.B,
      context: c.T,
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
    for (let step = 0; step < steps + warmup; step++) {
      const start = performance.now()
      losses.push((await compiled.step([microbatch], adamw.learningRate)).loss)
      if (step >= warmup) times.push(performance.now() - start)
    }
    const ms = median(times)
    const matmuls = 12 * c.L * c.D * c.D + c.D * c.V
    return {
      engine: engine.name,
      name: options.name ?? 'workload',
      threads,
      ms,
      tokensPerSecond: (size / ms) * 1e3,
      gflops: (size * (6 * matmuls + 12 * c.L * c.T * c.D)) / ms / 1e6,
      rssMB: Math.round(process.resourceUsage().maxRSS / 1024),
      losses,
      compileMs: compiled.compileMs
    }
  } finally {
    await engine.dispose()
  }
}

/** The workload's parameters under the model's names; its head is [width, vocabulary], ours the transpose. */
function workloadParameters({ config: c, specs, params }: BenchTrainOptions): NamedTensor[] {
  const total = specs.reduce((sum, [, shape]) => sum + elementCount(shape), 0)
  if (params.length !== total) throw bad(`its parameters are ${params.length} numbers, its specs say ${total}`)
  let at = 0
  return specs.map(([name, shape]) => {
    const values = params.slice(at, at + elementCount(shape))
    at += values.length
    if (name === 'head') return { name: 'lm_head.weight', shape: [c.V, c.D], values: transposed(values, c.D, c.V) }
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
