// The traced engine: a model's forward and backward recorded once as an ONNX graph and run by onnxruntime. Parameters and moments are plain arrays that the
// graph reads where they lie; the optimizer goes over them in one pass, which costs less than its dozen operations as nodes of the graph.
import { performance } from 'node:perf_hooks'
import { TrainingError } from '../../errors.ts'
import { type Model, matchParameters, type NamedTensor } from '../../models/model.ts'
import { adamwInPlace, adamwScalars } from '../../optimizers/adamw.ts'
import { clipFactor, sumOfSquares } from '../../optimizers/clipping.ts'
import { checkForwardOptions, checkMicrobatches, checkTokens, checkTrainingOptions } from '../batch.ts'
import { CompiledSet } from '../compiled-set.ts'
import type { CompiledForward, CompiledTraining, Engine, EngineOptions, ForwardOptions, TokenBatch, TrainingOptions } from '../engine.ts'
import { matchMoments } from '../moments.ts'
import { type ForwardKind, GRADIENT, INPUTS, LOSS, RESULT, TARGETS, traceForward, traceGradients } from './programs.ts'
import { type Binding, bind, outputOf, Session } from './session.ts'

export function openTracedEngine({ threads }: EngineOptions): Engine {
  const compiled = new CompiledSet()
  return {
    name: 'traced',
    async compileTraining(model, options) {
      checkTrainingOptions(model, options)
      const start = performance.now()
      const session = await Session.open(traceGradients(model, options), { threads })
      return compiled.track(new TracedTraining({ model, session }, { ...options, compileMs: performance.now() - start }))
    },
    async compileForward(model, options) {
      checkForwardOptions(model, options)
      return compiled.track(new TracedForward(model, { ...options, threads }))
    },
    dispose: () => compiled.dispose()
  }
}

/** Arrays that stay where they are, each with its binding to the graph. */
class HostTensors {
  readonly tensors: NamedTensor[]
  readonly bindings: Record<string, Binding>

  constructor(given: readonly NamedTensor[]) {
    this.tensors = given.map(({ name, shape, values }) => ({ name, shape: [...shape], values: values.slice() }))
    this.bindings = Object.fromEntries(this.tensors.map(({ name, shape, values }) => [name, bind(values, shape)]))
  }

  copies(): NamedTensor[] {
    return this.tensors.map(({ name, shape, values }) => ({ name, shape: [...shape], values: values.slice() }))
  }

  overwrite(given: readonly NamedTensor[]): void {
    for (const [i, { values }] of given.entries()) this.tensors[i]!.values.set(values)
  }
}

interface Resident {
  parameters: HostTensors
  /** Everything that the graph reads. */
  inputs: Record<string, Binding>
  /** m and v of each parameter, in turns. */
  moments: NamedTensor[]
  step: number
}

class TracedTraining implements CompiledTraining {
  readonly compileMs: number
  readonly #model: Model
  readonly #options: TrainingOptions
  readonly #gradients: { values: Float32Array; binding: Binding }[]
  readonly #outputs: Record<string, Binding>
  readonly #loss = outputOf([])
  readonly #inputs: { tokens: Int32Array; targets: Int32Array; bindings: Record<string, Binding> }
  #session: Session | null
  #resident: Resident | null = null

  constructor({ model, session }: { model: Model; session: Session }, options: TrainingOptions & { compileMs: number }) {
    this.#model = model
    this.#session = session
    this.#options = options
    this.compileMs = options.compileMs
    const { batch, context } = options
    const tokens = new Int32Array(batch * context)
    const targets = new Int32Array(batch * context)
    this.#inputs = { tokens, targets, bindings: { [INPUTS]: bind(tokens, [batch, context]), [TARGETS]: bind(targets, [batch * context]) } }
    this.#gradients = model.parameters.map(({ shape }) => outputOf(shape))
    this.#outputs = {
      [LOSS]: this.#loss.binding,
      ...Object.fromEntries(model.parameters.map(({ name }, i) => [GRADIENT + name, this.#gradients[i]!.binding]))
    }
  }

  async load(parameters: NamedTensor[], moments?: NamedTensor[], step = 0): Promise<void> {
    this.#open()
    const specs = this.#model.parameters
    const tensors = new HostTensors(matchParameters(specs, parameters))
    this.#resident = {
      parameters: tensors,
      inputs: { ...this.#inputs.bindings, ...tensors.bindings },
      moments: matchMoments(specs, moments).map(tensor => ({ ...tensor, values: tensor.values.slice() })),
      step
    }
  }

  async step(microbatches: TokenBatch[], learningRate: number): Promise<{ loss: number; gradNorm: number | null }> {
    checkMicrobatches(microbatches, this.#options, this.#model.config.vocabulary)
    const session = this.#open()
    const resident = this.#loaded()
    const { optimizer } = this.#options
    const { loss, gradients } = await this.#accumulate(session, resident, microbatches)
    let scale = 1 / microbatches.length
    let gradNorm: number | null = null
    if (optimizer.clipNorm !== null) {
      gradNorm = scale * Math.sqrt(gradients.reduce((sum, values) => sum + sumOfSquares(values), 0))
      scale *= clipFactor(gradNorm, optimizer.clipNorm)
    }
    resident.step++
    const decayed = adamwScalars(optimizer, learningRate, resident.step, true)
    const plain = adamwScalars(optimizer, learningRate, resident.step, false)
    for (const [i, { decay }] of this.#model.parameters.entries()) {
      const [first, second] = [resident.moments[2 * i]!, resident.moments[2 * i + 1]!]
      adamwInPlace(
        resident.parameters.tensors[i]!.values,
        gradients[i]!,
        first.values,
        second.values,
        scale,
        optimizer,
        decay ? decayed : plain
      )
    }
    return { loss, gradNorm }
  }

  /** The mean loss and the sum of the microbatches' gradients. */
  async #accumulate(
    session: Session,
    { inputs: bound }: Resident,
    microbatches: readonly TokenBatch[]
  ): Promise<{ loss: number; gradients: Float32Array[] }> {
    const latest = this.#gradients.map(({ values }) => values)
    let sums: Float32Array[] | null = null
    let loss = 0
    for (const { inputs, targets } of microbatches) {
      this.#inputs.tokens.set(inputs)
      this.#inputs.targets.set(targets)
      await session.run(bound, this.#outputs)
      loss += this.#loss.values[0]! / microbatches.length
      if (microbatches.length === 1) continue
      if (sums) for (const [t, sum] of sums.entries()) addInPlace(sum, latest[t]!)
      else sums = latest.map(values => values.slice())
    }
    return { loss, gradients: sums ?? latest }
  }

  async parameters(): Promise<NamedTensor[]> {
    this.#open()
    return this.#loaded().parameters.copies()
  }

  async setParameters(parameters: NamedTensor[]): Promise<void> {
    this.#open()
    this.#loaded().parameters.overwrite(matchParameters(this.#model.parameters, parameters))
  }

  async moments(): Promise<NamedTensor[]> {
    this.#open()
    return this.#loaded().moments.map(tensor => ({ ...tensor, values: tensor.values.slice() }))
  }

  async dispose(): Promise<void> {
    const session = this.#session
    this.#session = null
    this.#resident = null
    await session?.close()
  }

  #open(): Session {
    if (!this.#session) throw new TrainingError('engine_disposed', 'Cannot compute: the engine was disposed')
    return this.#session
  }

  #loaded(): Resident {
    if (!this.#resident) throw new TrainingError('not_loaded', 'Cannot compute: no parameters were loaded')
    return this.#resident
  }
}

class TracedForward implements CompiledForward {
  readonly #model: Model
  readonly #options: ForwardOptions & { threads: number }
  /** Compiled when first asked for: a caller wants one of the two as a rule. */
  #sessions: Partial<Record<ForwardKind, Promise<Session>>> | null = {}
  #parameters: HostTensors | null = null

  constructor(model: Model, options: ForwardOptions & { threads: number }) {
    this.#model = model
    this.#options = options
  }

  async load(parameters: NamedTensor[]): Promise<void> {
    if (!this.#sessions) throw new TrainingError('engine_disposed', 'Cannot compute: the engine was disposed')
    this.#parameters = new HostTensors(matchParameters(this.#model.parameters, parameters))
  }

  async logits(inputs: Int32Array): Promise<Float32Array> {
    const { batch, context } = this.#options
    return this.#compute('logits', inputs, {}, [batch, context, this.#model.config.vocabulary])
  }

  async losses(inputs: Int32Array, targets: Int32Array): Promise<Float32Array> {
    const { batch, context } = this.#options
    checkTokens(targets, this.#options, this.#model.config.vocabulary, 'targets')
    return this.#compute('losses', inputs, { [TARGETS]: bind(targets, [batch * context]) }, [batch * context])
  }

  async #compute(kind: ForwardKind, inputs: Int32Array, extra: Record<string, Binding>, shape: number[]): Promise<Float32Array> {
    const { batch, context } = this.#options
    checkTokens(inputs, this.#options, this.#model.config.vocabulary, 'inputs')
    if (!this.#sessions) throw new TrainingError('engine_disposed', 'Cannot compute: the engine was disposed')
    if (!this.#parameters) throw new TrainingError('not_loaded', 'Cannot compute: no parameters were loaded')
    this.#sessions[kind] ??= Session.open(traceForward(kind, this.#model, this.#options), this.#options)
    const session = await this.#sessions[kind]
    const result = outputOf(shape)
    await session.run({ [INPUTS]: bind(inputs, [batch, context]), ...extra, ...this.#parameters.bindings }, { [RESULT]: result.binding })
    return result.values
  }

  async dispose(): Promise<void> {
    const sessions = Object.values(this.#sessions ?? {})
    this.#sessions = null
    this.#parameters = null
    for (const session of sessions) await (await session).close()
  }
}

function addInPlace(sum: Float32Array, values: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + values[i]!
}
