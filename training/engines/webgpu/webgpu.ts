// Training on a GPU through onnxruntime's WebGPU provider, with the traced engine's graphs. Parameters, moments and gradients stay on the device: a step's
// outputs are the next step's inputs, and what moves is tokens, a few scalars, the loss and the norm.
import { performance } from 'node:perf_hooks'
import { TrainingError } from '../../errors.ts'
import { type Model, matchParameters, type NamedTensor } from '../../models/model.ts'
import { adamwScalars } from '../../optimizers/adamw.ts'
import { checkForwardOptions, checkMicrobatches, checkTokens, checkTrainingOptions } from '../batch.ts'
import { CompiledSet } from '../compiled-set.ts'
import type { CompiledForward, CompiledTraining, Engine, ForwardOptions, TokenBatch, TrainingOptions } from '../engine.ts'
import { FIRST_MOMENT, matchMoments, SECOND_MOMENT } from '../moments.ts'
import { type ForwardKind, GRADIENT, INPUTS, LOSS, RESULT, TARGETS, traceForward, traceGradients } from '../traced/programs.ts'
import { WebgpuDecoding } from './decoding.ts'
import { Device, type DeviceAccount, type DeviceInput, type DeviceSession, type DeviceTensor } from './device.ts'
import { Residents } from './residents.ts'
import { SHARE, traceClipping, traceSum, traceUpdate } from './update.ts'

export interface WebgpuEngine extends Engine {
  /** What has moved between host and device, and what lies there. */
  account(): DeviceAccount
}

/** @throws TrainingError 'engine_failed' where no device answers */
export async function openWebgpuEngine(): Promise<WebgpuEngine> {
  const device = await Device.open()
  const compiled = new CompiledSet()
  return {
    name: 'webgpu',
    async compileTraining(model, options) {
      checkTrainingOptions(model, options)
      const start = performance.now()
      const graphs = await compileStep(device, model, options)
      return compiled.track(new WebgpuTraining({ device, graphs, model }, { ...options, compileMs: performance.now() - start }))
    },
    async compileForward(model, options) {
      checkForwardOptions(model, options)
      return compiled.track(new WebgpuForward({ device, model }, options))
    },
    async compileDecoding(model, { context }) {
      checkForwardOptions(model, { batch: 1, context })
      return compiled.track(new WebgpuDecoding({ device, model }, context))
    },
    account: () => device.account,
    async dispose() {
      await compiled.dispose()
      await device.close()
    }
  }
}

interface StepGraphs {
  gradients: DeviceSession
  /** Absent where a step has one microbatch. */
  sum: DeviceSession | null
  /** Absent where nothing clips. */
  clipping: DeviceSession | null
  update: DeviceSession
}

async function compileStep(device: Device, model: Model, options: TrainingOptions): Promise<StepGraphs> {
  const { accumulation, optimizer } = options
  const gradients = model.parameters.map(({ name }) => GRADIENT + name)
  const sessions: DeviceSession[] = []
  const compile = async (bytes: Uint8Array, resident: readonly string[]): Promise<DeviceSession> => {
    const session = await device.compile(bytes, resident)
    sessions.push(session)
    return session
  }
  try {
    return {
      gradients: await compile(traceGradients(model, options, 'webgpu'), gradients),
      sum: accumulation === 1 ? null : await compile(traceSum(), ['total']),
      clipping: optimizer.clipNorm === null ? null : await compile(traceClipping(model.parameters, optimizer.clipNorm), ['scale']),
      update: await compile(traceUpdate(optimizer), ['newParameter', 'newFirst', 'newSecond'])
    }
  } catch (error) {
    // Nobody else knows of those that came before the one that failed.
    for (const session of sessions) await session.close()
    throw error
  }
}

class WebgpuTraining implements CompiledTraining {
  readonly compileMs: number
  readonly #model: Model
  readonly #names: string[]
  readonly #options: TrainingOptions
  readonly #residents: Residents
  #graphs: StepGraphs | null
  /** Null before the first load. */
  #step: number | null = null

  constructor(
    { device, graphs, model }: { device: Device; graphs: StepGraphs; model: Model },
    options: TrainingOptions & { compileMs: number }
  ) {
    this.#graphs = graphs
    this.#model = model
    this.#names = model.parameters.map(({ name }) => name)
    this.#options = options
    this.#residents = new Residents(device)
    this.compileMs = options.compileMs
  }

  async load(parameters: NamedTensor[], moments?: NamedTensor[], step = 0): Promise<void> {
    this.#open()
    const specs = this.#model.parameters
    await this.#residents.upload([...matchParameters(specs, parameters), ...matchMoments(specs, moments)])
    await this.#residents.upload([scalar(SHARE, 1 / this.#options.accumulation), scalar(PLAIN_KEEP, 1)])
    this.#step = step
  }

  async step(microbatches: TokenBatch[], learningRate: number): Promise<{ loss: number; gradNorm: number | null }> {
    checkMicrobatches(microbatches, this.#options, this.#model.config.vocabulary)
    const graphs = this.#open()
    const step = this.#loaded() + 1
    const gradients = new Map<string, DeviceTensor>()
    try {
      const loss = await this.#accumulate(graphs, microbatches, gradients)
      const gradNorm = await this.#clip(graphs, gradients)
      this.#step = step
      await this.#update(graphs, gradients, adamwScalars(this.#options.optimizer, learningRate, step, true))
      return { loss, gradNorm }
    } finally {
      for (const gradient of gradients.values()) gradient.dispose()
    }
  }

  /** Gives the mean loss, and leaves the sum of the microbatches' gradients in `sums` by parameter. */
  async #accumulate(graphs: StepGraphs, microbatches: readonly TokenBatch[], sums: Map<string, DeviceTensor>): Promise<number> {
    const { batch, context } = this.#options
    let loss = 0
    for (const { inputs, targets } of microbatches) {
      const { resident, host } = await graphs.gradients.run({
        ...this.#residents.inputs(this.#names),
        [INPUTS]: { values: inputs, shape: [batch, context] },
        [TARGETS]: { values: targets, shape: [batch * context] }
      })
      loss += host[LOSS]![0]! / microbatches.length
      for (const name of this.#names) {
        const gradient = resident[GRADIENT + name]!
        const sum = sums.get(name)
        sums.set(name, sum ? await added(graphs.sum!, sum, gradient) : gradient)
      }
    }
    return loss
  }

  /** Leaves what the gradients are to be multiplied by under SCALE; the mean gradient's norm, null where nothing clips. */
  async #clip({ clipping }: StepGraphs, gradients: Map<string, DeviceTensor>): Promise<number | null> {
    if (!clipping) return null
    const { resident, host } = await clipping.run({ ...Object.fromEntries(gradients), ...this.#residents.inputs([SHARE]) })
    this.#residents.replace(SCALE, resident.scale!)
    return host.norm![0]!
  }

  async #update(
    { update, clipping }: StepGraphs,
    gradients: Map<string, DeviceTensor>,
    scalars: ReturnType<typeof adamwScalars>
  ): Promise<void> {
    const residents = this.#residents
    await residents.upload([scalar(KEEP, scalars.keep), scalar(RATE, scalars.rate), scalar(ROOT_CORRECTION, scalars.rootCorrection)])
    for (const { name, decay } of this.#model.parameters) {
      const { resident } = await update.run({
        parameter: residents.get(name),
        gradient: gradients.get(name)!,
        first: residents.get(FIRST_MOMENT + name),
        second: residents.get(SECOND_MOMENT + name),
        scale: residents.get(clipping ? SCALE : SHARE),
        keep: residents.get(decay ? KEEP : PLAIN_KEEP),
        rate: residents.get(RATE),
        rootCorrection: residents.get(ROOT_CORRECTION)
      })
      residents.replace(name, resident.newParameter!)
      residents.replace(FIRST_MOMENT + name, resident.newFirst!)
      residents.replace(SECOND_MOMENT + name, resident.newSecond!)
    }
  }

  async parameters(): Promise<NamedTensor[]> {
    this.#open()
    this.#loaded()
    return this.#residents.download(this.#names)
  }

  async setParameters(parameters: NamedTensor[]): Promise<void> {
    this.#open()
    this.#loaded()
    await this.#residents.upload(matchParameters(this.#model.parameters, parameters))
  }

  async moments(): Promise<NamedTensor[]> {
    this.#open()
    this.#loaded()
    return this.#residents.download(this.#names.flatMap(name => [FIRST_MOMENT + name, SECOND_MOMENT + name]))
  }

  async dispose(): Promise<void> {
    const graphs = this.#graphs
    this.#graphs = null
    this.#residents.dispose()
    for (const graph of Object.values(graphs ?? {})) await graph?.close()
  }

  #open(): StepGraphs {
    if (!this.#graphs) throw new TrainingError('engine_disposed', 'Cannot compute: the engine was disposed')
    return this.#graphs
  }

  /** Steps done. */
  #loaded(): number {
    if (this.#step === null) throw new TrainingError('not_loaded', 'Cannot compute: no parameters were loaded')
    return this.#step
  }
}

class WebgpuForward implements CompiledForward {
  readonly #device: Device
  readonly #model: Model
  readonly #options: ForwardOptions
  readonly #residents: Residents
  /** Compiled when first asked for: a caller wants one of the two as a rule. */
  #graphs: Partial<Record<ForwardKind, DeviceSession>> | null = {}
  #loaded = false

  constructor({ device, model }: { device: Device; model: Model }, options: ForwardOptions) {
    this.#device = device
    this.#model = model
    this.#options = options
    this.#residents = new Residents(device)
  }

  async load(parameters: NamedTensor[]): Promise<void> {
    this.#open()
    await this.#residents.upload(matchParameters(this.#model.parameters, parameters))
    this.#loaded = true
  }

  logits(inputs: Int32Array): Promise<Float32Array> {
    return this.#compute('logits', inputs, {})
  }

  async losses(inputs: Int32Array, targets: Int32Array): Promise<Float32Array> {
    checkTokens(targets, this.#options, this.#model.config.vocabulary, 'targets')
    return this.#compute('losses', inputs, { [TARGETS]: { values: targets, shape: [targets.length] } })
  }

  async #compute(kind: ForwardKind, inputs: Int32Array, more: Record<string, DeviceInput>): Promise<Float32Array> {
    const { batch, context } = this.#options
    checkTokens(inputs, this.#options, this.#model.config.vocabulary, 'inputs')
    const graphs = this.#open()
    if (!this.#loaded) throw new TrainingError('not_loaded', 'Cannot compute: no parameters were loaded')
    graphs[kind] ??= await this.#device.compile(traceForward(kind, this.#model, this.#options, 'webgpu'))
    const parameters = this.#residents.inputs(this.#model.parameters.map(({ name }) => name))
    const { host } = await graphs[kind].run({ ...parameters, [INPUTS]: { values: inputs, shape: [batch, context] }, ...more })
    return host[RESULT]!
  }

  async dispose(): Promise<void> {
    const graphs = this.#graphs
    this.#graphs = null
    this.#residents.dispose()
    for (const graph of Object.values(graphs ?? {})) await graph.close()
  }

  #open(): Partial<Record<ForwardKind, DeviceSession>> {
    if (!this.#graphs) throw new TrainingError('engine_disposed', 'Cannot compute: the engine was disposed')
    return this.#graphs
  }
}

// Names of resident scalars beside SHARE; a parameter's name never looks like these.
const SCALE = '#scale'
const KEEP = '#keep'
const PLAIN_KEEP = '#plain-keep'
const RATE = '#rate'
const ROOT_CORRECTION = '#root-correction'

function scalar(name: string, value: number): NamedTensor {
  return { name, shape: [], values: Float32Array.of(value) }
}

/** The sum of two tensors, which are disposed. */
async function added(graph: DeviceSession, sum: DeviceTensor, gradient: DeviceTensor): Promise<DeviceTensor> {
  const { resident } = await graph.run({ sum, gradient })
  sum.dispose()
  gradient.dispose()
  return resident.total!
}
