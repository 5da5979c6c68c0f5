// Which engine `auto` takes: the one that does this very training step fastest here, found out by doing it where more than one could be the fastest.
import { performance } from 'node:perf_hooks'
import { TrainingError } from '../errors.ts'
import { initialParameters } from '../models/initial-parameters.ts'
import { createModel, type Model, type ModelConfig } from '../models/model.ts'
import { describeEngine, ENGINE_NAMES, type Engine, type EngineName, listEngines, openEngine, type TrainingOptions } from './engine.ts'

/** Always there and never faster than an engine that is not among them: taken in this order where nothing else works, and not measured. */
const LAST_RESORTS: readonly EngineName[] = ['wasm', 'js']
/** Steps that are timed at most; the fastest counts, since what else the machine does only slows them. */
const STEPS_MAX = 5
/** No step begins after so many ms of them, in ms: a slow engine has shown by then that it is. */
const BUDGET_MS = 3_000

export interface MeasuredEngine {
  engine: EngineName
  /** Milliseconds of its fastest step. */
  stepMs: number
}

/** The step that is to be done, and by how many threads. */
export interface Workload {
  model: Model
  options: TrainingOptions
  threads: number
}

/**
 * Engines that could be the fastest here: what works, but no GPU made of software, and a last resort only where it is all there is.
 *
 * @param onTry told before each is loaded, since a driver may end the process by that alone
 */
export async function contenders(without: readonly string[], onTry: (engine: EngineName) => void = () => {}): Promise<EngineName[]> {
  const found: EngineName[] = []
  for (const name of ENGINE_NAMES) {
    if (without.includes(name)) continue
    if (LAST_RESORTS.includes(name) && found.length > 0) break
    onTry(name)
    const { available, software } = await describeEngine(name)
    if (available && !software) found.push(name)
  }
  return found
}

/** Times the workload on each, one after the other; one that cannot do it is left out. The fastest is first. */
export async function measureEngines(
  names: readonly EngineName[],
  workload: Workload,
  onTry: (engine: EngineName) => void = () => {}
): Promise<MeasuredEngine[]> {
  const measured: MeasuredEngine[] = []
  for (const name of names) {
    onTry(name)
    try {
      const engine = await openEngine(name, { threads: workload.threads })
      try {
        measured.push({ engine: name, stepMs: await stepMs(engine, workload) })
      } finally {
        await engine.dispose()
      }
    } catch {
      // It would fail in training, too; whoever wants to know why names it.
    }
  }
  return measured.sort((a, b) => a.stepMs - b.stepMs)
}

/** What {@link measureHere} does: the demo's model, which takes wasm about a second. */
const SMALL_MODEL: ModelConfig = {
  ...{ family: 'gpt2', vocabulary: 257, context: 64, width: 96, layers: 2, heads: 4 },
  ...{ biases: false, tiedEmbeddings: true }
}
const SMALL_OPTIONS: TrainingOptions = {
  ...{ batch: 16, context: 64, accumulation: 1 },
  optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipNorm: 1 }
}

/** A small step on all that works here, GPUs made of software too, but on plain JavaScript only where nothing else does. */
export async function measureHere(threads: number, { signal }: { signal?: AbortSignal } = {}): Promise<MeasuredEngine[]> {
  const present = (await listEngines()).filter(({ available }) => available).map(({ name }) => name)
  const names = present.length > 1 ? present.filter(name => name !== 'js') : present
  return measureEngines(names, { model: createModel(SMALL_MODEL), options: SMALL_OPTIONS, threads }, () => signal?.throwIfAborted())
}

/** Why the first of the measured was taken, in words: `traced, 4.1x as fast as wasm (12 ms a step)`. */
export function choiceInWords([fastest, ...others]: readonly MeasuredEngine[]): string {
  const { engine, stepMs } = fastest!
  const ratios = others.map(other => `${(other.stepMs / stepMs).toFixed(1)}x as fast as ${other.engine}`)
  return `${[engine, ...ratios].join(', ')} (${Number(stepMs.toPrecision(3))} ms a step)`
}

async function stepMs(engine: Engine, { model, options }: Workload): Promise<number> {
  const compiled = await engine.compileTraining(model, options)
  const parameters = initialParameters(model, 1)
  await compiled.load(parameters)
  const { vocabulary } = model.config
  const tokens = (from: number) => Int32Array.from({ length: options.batch * options.context }, (_, i) => ((from + i) * 31) % vocabulary)
  const batches = Array.from({ length: options.accumulation }, () => ({ inputs: tokens(0), targets: tokens(1) }))
  let fastest = Number.POSITIVE_INFINITY
  // The first step may compile and load more than the others: it counts only where there is time for no other.
  const begun = performance.now()
  for (let step = 0; step <= STEPS_MAX; step++) {
    const start = performance.now()
    if (step > 0 && start - begun > BUDGET_MS) break
    const { loss } = await compiled.step(batches, 1e-4)
    const ms = performance.now() - start
    if (!Number.isFinite(loss)) throw new TrainingError('non_finite', `Cannot measure ${engine.name}: its loss is ${loss}`)
    fastest = step === 1 ? ms : Math.min(fastest, ms)
  }
  return fastest
}
