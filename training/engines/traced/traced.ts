// The traced engine: a model's forward and backward recorded once as an ONNX graph and run by onnxruntime. Parameters are arrays that the graph reads where
// they lie, and so are the gradients that it writes; the optimizer goes over them in one pass, a tenth of what its dozen operations cost as nodes of the graph.
import { performance } from 'node:perf_hooks'
import { TrainingError } from '../../errors.ts'
import { elementCount, type Model, matchParameters, type NamedTensor } from '../../models/model.ts'
import { adamwScalars } from '../../optimizers/adamw.ts'
import { clipFactor } from '../../optimizers/clipping.ts'
import { allocateParameters, type ParameterArrays } from '../../optimizers/parameter-arrays.ts'
import { checkForwardOptions, checkMicrobatches, checkTokens, checkTrainingOptions } from '../batch.ts'
import { CompiledSet } from '../compiled-set.ts'
import type { CompiledForward, CompiledTraining, Engine, EngineOptions, ForwardOptions, TokenBatch, TrainingOptions } from '../engine.ts'
import { FIRST_MOMENT, matchMoments, SECOND_MOMENT } from '../moments.ts'
import { TracedDecoding } from './decoding.ts'
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
    async compileDecoding(model, { context }) {
      checkForwardOptions(model, { batch: 1, context })
      return compiled.track(new TracedDecoding(model, { context, threads }))
    },
    dispose: () => compiled.dispose()
  }
}

class TracedTraining implements CompiledTraining {
  readonly compileMs: number
  readonly #model: Model
  readonly #options: TrainingOptions
  readonly #tokens: { inputs: Int32Array; targets: Int32Array }
  readonly #loss = outputOf([])
  #session: Session | null
  /** What the graph reads and writes; null before the first load and after the end. */
  #resident: { arrays: ParameterArrays[]; inputs: Record<string, Binding>; outputs: Record<string, Binding> } | null = null
  #step = 0

  constructor({ model, session }: { model: Model; session: Session }, options: TrainingOptions & { compileMs: number }) {
    this.#model = model
    this.#session = session
    this.#options = options
    this.compileMs = options.compileMs
    const { batch, context } = options
    this.#tokens = { inputs: new Int32Array(batch * context), targets: new Int32Array(batch * context) }
  }

  async load(parameters: NamedTensor[], moments?: NamedTensor[], step = 0): Promise<void> {
    this.#open()
    const specs = this.#model.parameters
    const given = matchParameters(specs, parameters)
    const givenMoments = moments && matchMoments(specs, moments)
    this.#resident ??= this.#allocate()
    for (const [i, { parameter, first, second }] of this.#resident.arrays.entries()) {
      parameter.set(given[i]!.values)
      if (!givenMoments) for (const moment of [first, second]) moment.fill(0)
      else for (const [of, moment] of [first, second].entries()) moment.set(givenMoments[2 * i + of]!.values)
    }
    this.#step = step
  }

  #allocate() {
    const { batch, context, accumulation } = this.#options
    const specs = this.#model.parameters
    const arrays = allocateParameters(
      specs.map(({ shape }) => elementCount(shape)),
      { sums: accumulation > 1 }
    )
    const bindings = (prefix: string, of: 'parameter' | 'gradient') =>
      Object.fromEntries(specs.map(({ name, shape }, i) => [prefix + name, bind(arrays[i]![of], shape)]))
    const { inputs, targets } = this.#tokens
    return {
      arrays,
      inputs: { [INPUTS]: bind(inputs, [batch, context]), [TARGETS]: bind(targets, [batch * context]), ...bindings('', 'parameter') },
      outputs: { [LOSS]: this.#loss.binding, ...bindings(GRADIENT, 'gradient') }
    }
  }

  async step(microbatches: TokenBatch[], learningRate: number): Promise<{ loss: number; gradNorm: number | null }> {
    checkMicrobatches(microbatches, this.#options, this.#model.config.vocabulary)
    const session = this.#open()
    const { arrays, inputs, outputs } = this.#loaded()
    let loss = 0
    for (const [i, { inputs: tokens, targets }] of microbatches.entries()) {
      if (i > 0) for (const each of arrays) each.keepGradient(i === 1)
      this.#tokens.inputs.set(tokens)
      this.#tokens.targets.set(targets)
      await session.run(inputs, outputs)
      loss += this.#loss.values[0]! / microbatches.length
    }
    if (microbatches.length > 1) for (const each of arrays) each.addKept()
    const { optimizer } = this.#options
    let scale = 1 / microbatches.length
    let gradNorm: number | null = null
    if (optimizer.clipNorm !== null) {
      gradNorm = scale * Math.sqrt(arrays.reduce((sum, each) => sum + each.sumOfSquares(), 0))
      scale *= clipFactor(gradNorm, optimizer.clipNorm)
    }
    this.#step++
    for (const [i, { decay }] of this.#model.parameters.entries())
      arrays[i]!.adamw(scale, optimizer, adamwScalars(optimizer, learningRate, this.#step, decay))
    return { loss, gradNorm }
  }

  async parameters(): Promise<NamedTensor[]> {
    return this.#copies([['', 'parameter']])
  }

  async setParameters(parameters: NamedTensor[]): Promise<void> {
    this.#open()
    const { arrays } = this.#loaded()
    for (const [i, { values }] of matchParameters(this.#model.parameters, parameters).entries()) arrays[i]!.parameter.set(values)
  }

  async moments(): Promise<NamedTensor[]> {
    return this.#copies([
      [FIRST_MOMENT, 'first'],
      [SECOND_MOMENT, 'second']
    ])
  }

  #copies(which: [prefix: string, of: 'parameter' | 'first' | 'second'][]): NamedTensor[] {
    this.#open()
    const { arrays } = this.#loaded()
    return this.#model.parameters.flatMap(({ name, shape }, i) =>
      which.map(([prefix, of]) => ({ name: prefix + name, shape: [...shape], values: arrays[i]![of].slice() }))
    )
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

  #loaded() {
    if (!this.#resident) throw new TrainingError('not_loaded', 'Cannot compute: no parameters were loaded')
    return this.#resident
  }
}

class TracedForward implements CompiledForward {
  readonly #model: Model
  readonly #options: ForwardOptions & { threads: number }
  /** Compiled when first asked for: a caller wants one of the two as a rule. */
  #sessions: Partial<Record<ForwardKind, Promise<Session>>> | null = {}
  #parameters: Record<string, Binding> | null = null

  constructor(model: Model, options: ForwardOptions & { threads: number }) {
    this.#model = model
    this.#options = options
  }

  async load(parameters: NamedTensor[]): Promise<void> {
    if (!this.#sessions) throw new TrainingError('engine_disposed', 'Cannot compute: the engine was disposed')
    this.#parameters = Object.fromEntries(
      matchParameters(this.#model.parameters, parameters).map(({ name, shape, values }) => [name, bind(values.slice(), shape)])
    )
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
    await session.run({ [INPUTS]: bind(inputs, [batch, context]), ...extra, ...this.#parameters }, { [RESULT]: result.binding })
    return result.values
  }

  async dispose(): Promise<void> {
    const sessions = Object.values(this.#sessions ?? {})
    this.#sessions = null
    this.#parameters = null
    for (const session of sessions) await (await session).close()
  }
}
