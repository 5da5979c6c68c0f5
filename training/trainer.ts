// The inner loop: optimizer steps on batches, measured from a base B. It knows no peer and no file; tensors in and out are plain, and state() is everything
// that an exact resume needs. Progress not yet reported is B - local, a pseudo-gradient that points where a gradient would (DiLoCo, section 2).
import { performance } from 'node:perf_hooks'
import type { CompiledTraining, TokenBatch } from './engines/engine.ts'
import { TrainingError } from './errors.ts'
import type { NamedTensor } from './models/model.ts'
import { type LearningRateSchedule, learningRateAt } from './optimizers/schedule.ts'
import { deltaNorm, NORM_RATIO_MAX } from './outer/index.ts'

/** Where a source of batches stands; plain JSON. */
export interface BatchPosition {
  epoch: number
  slot: number
  offset: number
}

export interface BatchSource {
  next(): TokenBatch
  position(): BatchPosition
  /** After it, `next` gives what it gave when `position` was taken. */
  seek(position: BatchPosition): void
}

export interface TrainerComponents {
  compiled: CompiledTraining
  data: BatchSource
}

export interface TrainerOptions {
  schedule: LearningRateSchedule
  /** Microbatches of a step; as `compiled` was compiled for. */
  accumulation: number
}

/** Where a trainer begins: at an anchor with no history, or exactly where state() was taken. */
export type TrainerStart =
  | { parameters: NamedTensor[] /** Inner steps done before, for the schedule. @default 0 */; step?: number }
  | { state: TrainerState }

export interface StepReport {
  /** Steps done, this one included. */
  step: number
  /** Mean nats a token, before the step. */
  loss: number
  learningRate: number
  tokens: number
  ms: number
  gradNorm: number | null
}

export interface Snapshot {
  /** B - local. */
  delta: NamedTensor[]
  steps: number
  tokens: number
  /** Mean over the steps; 0 where there was none. */
  loss: number
}

export interface TrainerState {
  /** Plain JSON. */
  json: Omit<TrainerCounters, 'momentSteps'> & {
    version: 1
    position: BatchPosition
    /** Left out: as many as `step`. */
    momentSteps?: number
  }
  /** `local/NAME`, `base/NAME`, `adam.m/NAME` and `adam.v/NAME` for each parameter. */
  tensors: NamedTensor[]
}

interface TrainerCounters {
  step: number
  /** Of those, the steps that the moments are made of: none at the start from an anchor that others trained. AdamW's bias correction is for their age (Kingma and Ba 2015, section 3). */
  momentSteps: number
  stepsSinceSnapshot: number
  tokensSinceSnapshot: number
  lossSinceSnapshot: number
}

/**
 * How a trainer moves to an anchor. `shift`: local := anchor + (local - B), unreported progress goes along. `keep`, after a lost fork: local stays.
 * `leave`, where training diverged: local := anchor, and nothing of what led away from it goes along.
 */
export type AdoptMode = 'shift' | 'keep' | 'leave'

const LOCAL = 'local/'
const BASE = 'base/'

/** Calls may overlap; they take effect one after the other, in the order they were made. */
export class Trainer {
  readonly #compiled: CompiledTraining
  readonly #data: BatchSource
  readonly #options: TrainerOptions
  #base: NamedTensor[]
  #counters: TrainerCounters
  #last: Promise<unknown> = Promise.resolve()

  /**
   * @throws TrainingError 'bad_parameters', 'bad_state'
   */
  static async open({ compiled, data }: TrainerComponents, start: TrainerStart, options: TrainerOptions): Promise<Trainer> {
    if (!('state' in start)) {
      const step = start.step ?? 0
      await compiled.load(start.parameters)
      const counters = { step, momentSteps: 0, stepsSinceSnapshot: 0, tokensSinceSnapshot: 0, lossSinceSnapshot: 0 }
      return new Trainer({ compiled, data }, { base: await compiled.parameters(), counters }, options)
    }
    const { json, tensors } = start.state
    if (json.version !== 1)
      throw new TrainingError('bad_state', `Cannot resume from a state of version ${json.version}: this program reads version 1`)
    const { version: _, position, momentSteps = json.step, ...counters } = json
    const { local, base, moments } = splitState(tensors)
    if (base.length !== local.length)
      throw new TrainingError('bad_state', `Cannot resume: the state has ${local.length} local tensors and ${base.length} of the base`)
    await compiled.load(local, moments, momentSteps)
    // In the engine's order, so that B and local go together from here on; a state that lacks a tensor of the base shows here.
    const byName = new Map(base.map(tensor => [tensor.name, tensor]))
    const ordered = (await compiled.parameters()).map(tensor => ({ ...tensor, values: valuesOf(byName, tensor).slice() }))
    data.seek(position)
    return new Trainer({ compiled, data }, { base: ordered, counters: { ...counters, momentSteps } }, options)
  }

  private constructor(
    { compiled, data }: TrainerComponents,
    { base, counters }: { base: NamedTensor[]; counters: TrainerCounters },
    options: TrainerOptions
  ) {
    this.#compiled = compiled
    this.#data = data
    this.#options = options
    this.#base = base
    this.#counters = { ...counters }
  }

  /** Optimizer steps done since training began. */
  get steps(): number {
    return this.#counters.step
  }

  get stepsSinceSnapshot(): number {
    return this.#counters.stepsSinceSnapshot
  }

  get tokensSinceSnapshot(): number {
    return this.#counters.tokensSinceSnapshot
  }

  /**
   * One optimizer step on the next batches.
   *
   * @throws TrainingError 'non_finite' when the loss is not a number any more; the step was taken
   */
  step(): Promise<StepReport> {
    return this.#exclusive(async () => {
      const start = performance.now()
      const { schedule, accumulation } = this.#options
      const learningRate = learningRateAt(schedule, this.#counters.step)
      const microbatches = Array.from({ length: accumulation }, () => this.#data.next())
      const { loss, gradNorm } = await this.#compiled.step(microbatches, learningRate)
      const tokens = microbatches.reduce((sum, { inputs }) => sum + inputs.length, 0)
      this.#count(1, tokens, loss)
      this.#counters.step++
      this.#counters.momentSteps++
      if (!Number.isFinite(loss))
        throw new TrainingError('non_finite', `Cannot go on: the loss of step ${this.#counters.step} is ${loss}`, {
          hint: 'Lower the learning rate or set clipNorm',
          details: { step: this.#counters.step, learningRate }
        })
      return { step: this.#counters.step, loss, learningRate, tokens, ms: performance.now() - start, gradNorm }
    })
  }

  /** B, the point from which unreported progress is measured. The trainer's own arrays: not to be written to. */
  base(): NamedTensor[] {
    return this.#base
  }

  /**
   * Takes what was learned since B; B moves to local.
   *
   * @throws TrainingError 'non_finite' when the parameters are not numbers any more, which the loss before the last step could not say; nothing was taken
   */
  snapshot(): Promise<Snapshot> {
    return this.#exclusive(async () => {
      const local = await this.#compiled.parameters()
      const delta = local.map(({ name, shape, values }, i) => ({
        name,
        shape,
        values: combine(this.#base[i]!.values, values, (b, l) => b - l)
      }))
      const broken = notFinite(delta)
      if (broken !== undefined)
        throw new TrainingError('non_finite', `Cannot go on: after step ${this.#counters.step} ${broken} is not finite any more`, {
          hint: 'Lower the learning rate or set clipNorm',
          details: { step: this.#counters.step, name: broken }
        })
      const { stepsSinceSnapshot: steps, tokensSinceSnapshot: tokens, lossSinceSnapshot } = this.#counters
      this.#base = local
      this.#counters = { ...this.#counters, stepsSinceSnapshot: 0, tokensSinceSnapshot: 0, lossSinceSnapshot: 0 }
      return { delta, steps, tokens, loss: steps === 0 ? 0 : lossSinceSnapshot / steps }
    })
  }

  /**
   * Undoes the snapshot just taken, before any step: what could not be kept is progress that is still to be reported.
   *
   * @param base what base() answered before that snapshot
   */
  putBack(base: NamedTensor[], { steps, tokens, loss }: Snapshot): Promise<void> {
    return this.#exclusive(async () => {
      this.#base = base
      this.#count(steps, tokens, loss * steps)
    })
  }

  /**
   * Moves to another anchor, or to the same again: B := anchor. Moments stay as they are, but for `leave`: those of a training that diverged lead astray again.
   *
   * @throws TrainingError 'bad_parameters'
   */
  adopt(anchor: readonly NamedTensor[], mode: AdoptMode): Promise<void> {
    return this.#exclusive(async () => {
      const byName = new Map(anchor.map(tensor => [tensor.name, tensor]))
      const next = this.#base.map(tensor => ({ ...tensor, values: valuesOf(byName, tensor).slice() }))
      if (mode === 'shift') {
        const local = await this.#compiled.parameters()
        local.forEach(({ values }, t) => {
          const from = this.#base[t]!.values
          const to = next[t]!.values
          for (let i = 0; i < values.length; i++) values[i] = to[i]! + (values[i]! - from[i]!)
        })
        await this.#compiled.setParameters(local)
      } else if (mode === 'leave') {
        await this.#compiled.load(next)
        this.#counters = { ...this.#counters, momentSteps: 0, stepsSinceSnapshot: 0, tokensSinceSnapshot: 0, lossSinceSnapshot: 0 }
      }
      this.#base = next
    })
  }

  /**
   * Takes back a contribution that made it nowhere: local := local - delta, B stays, so that the next snapshot reports it again.
   *
   * @param facts the snapshot's counts, if they are to be reported again too
   * @throws TrainingError 'bad_parameters'; 'non_finite_delta' for a change that would end the next step, and with it every trainer that takes it; 'norm_too_large' for one that is no training
   */
  restore(delta: readonly NamedTensor[], facts?: { steps: number; tokens: number; loss: number }): Promise<void> {
    return this.#exclusive(async () => {
      const broken = notFinite(delta)
      if (broken !== undefined)
        throw new TrainingError('non_finite_delta', `Cannot put back a change: its ${broken} holds what is not a finite number`, {
          details: { name: broken }
        })
      if (deltaNorm(delta) > NORM_RATIO_MAX * deltaNorm(this.#base))
        throw new TrainingError(
          'norm_too_large',
          `Cannot put back a change: its norm is more than ${NORM_RATIO_MAX} times that of the anchor`
        )
      const byName = new Map(delta.map(tensor => [tensor.name, tensor]))
      const local = await this.#compiled.parameters()
      const next = local.map(tensor => ({ ...tensor, values: combine(tensor.values, valuesOf(byName, tensor), (l, d) => l - d) }))
      await this.#compiled.setParameters(next)
      if (facts) this.#count(facts.steps, facts.tokens, facts.loss * facts.steps)
    })
  }

  /** The local parameters, copied. */
  parameters(): Promise<NamedTensor[]> {
    return this.#exclusive(() => this.#compiled.parameters())
  }

  /** Everything an exact resume needs. Tensors of the base are the trainer's own arrays: not to be written to. */
  state(): Promise<TrainerState> {
    return this.#exclusive(async () => ({
      json: { version: 1, ...this.#counters, position: this.#data.position() },
      tensors: [
        ...(await this.#compiled.parameters()).map(tensor => ({ ...tensor, name: LOCAL + tensor.name })),
        ...this.#base.map(tensor => ({ ...tensor, name: BASE + tensor.name })),
        ...(await this.#compiled.moments())
      ]
    }))
  }

  #count(steps: number, tokens: number, loss: number): void {
    this.#counters.stepsSinceSnapshot += steps
    this.#counters.tokensSinceSnapshot += tokens
    this.#counters.lossSinceSnapshot += loss
  }

  /** One action at a time: between reading parameters and writing them back, a step would be lost. */
  #exclusive<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#last.then(action)
    this.#last = result.catch(() => {})
    return result
  }
}

function splitState(tensors: readonly NamedTensor[]): { local: NamedTensor[]; base: NamedTensor[]; moments: NamedTensor[] } {
  const under = (prefix: string) =>
    tensors.filter(({ name }) => name.startsWith(prefix)).map(tensor => ({ ...tensor, name: tensor.name.slice(prefix.length) }))
  return { local: under(LOCAL), base: under(BASE), moments: tensors.filter(({ name }) => name.startsWith('adam.')) }
}

function valuesOf(given: ReadonlyMap<string, NamedTensor>, { name, values }: NamedTensor): Float32Array {
  const found = given.get(name)?.values
  if (found?.length !== values.length)
    throw new TrainingError(
      'bad_parameters',
      `Cannot take tensors: ${name} has ${found?.length ?? 'no'} values, it must have ${values.length}`,
      { details: { name } }
    )
  return found
}

/** The name of the first tensor with a value that is not a finite number. */
function notFinite(tensors: readonly NamedTensor[]): string | undefined {
  return tensors.find(({ values }) => !values.every(Number.isFinite))?.name
}

function combine(a: Float32Array, b: Float32Array, operation: (a: number, b: number) => number): Float32Array {
  const result = new Float32Array(a.length)
  for (let i = 0; i < a.length; i++) result[i] = operation(a[i]!, b[i]!)
  return result
}
