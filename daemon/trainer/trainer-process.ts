// The trainer's own process: takes inner steps and answers the daemon. A driver that crashes or runs out of memory ends this process, not the daemon.
import { existsSync } from 'node:fs'
import { readdir, rename, rm } from 'node:fs/promises'
import { setPriority } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { floatsOf, makeFolder, readSafetensorsFile, removeLeftovers, storedTensor, writeSafetensorsFile } from '../../storage/index.ts'
import { type Batches, type BatchPosition, createBatches } from '../../training/data/batches.ts'
import { resolveTokenizer } from '../../training/data/resolve-tokenizer.ts'
import { joinTokens, type TokenizerKind, tokenizeDocuments } from '../../training/data/tokenizer.ts'
import type { CompiledTraining, TrainingOptions } from '../../training/engines/engine.ts'
import { TrainingError } from '../../training/errors.ts'
import { createModel, type NamedTensor } from '../../training/models/model.ts'
import { type AdoptMode, Trainer, type TrainerOptions } from '../../training/trainer.ts'
import { documentsOf } from '../corpora.ts'
import { codeOf, DaemonError, isCodedError, reasonOf } from '../errors.ts'
import { byEngine, openChosen } from './chosen-engine.ts'
import { deltaFile, deltaSequences } from './delta-files.ts'
import type { SnapshotResult, TrainerReport, TrainerRequest, TrainerStart } from './messages.ts'

const COUNT = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

const SNAPSHOT = v.object({
  sequence: COUNT,
  round: COUNT,
  steps: COUNT,
  tokens: COUNT,
  loss: v.pipe(v.number(), v.finite())
})

/** What a state file says beside its tensors. */
const STATE_FACTS = v.object({
  trainer: v.object({
    version: v.literal(1),
    ...{ step: COUNT, momentSteps: v.exactOptional(COUNT), stepsSinceSnapshot: COUNT, tokensSinceSnapshot: COUNT },
    lossSinceSnapshot: v.pipe(v.number(), v.finite()),
    position: v.object({
      ...{ epoch: COUNT, slot: COUNT, offset: COUNT, contributors: v.exactOptional(v.array(v.string())) },
      aside: v.exactOptional(v.object({ epoch: COUNT, slot: COUNT, slots: COUNT }))
    })
  }),
  /** The newest snapshot that this state has in it. */
  snapshot: v.nullable(SNAPSHOT),
  /** The record whose anchor the base is; null at the genesis. */
  record: v.nullable(v.string()),
  /** Snapshots whose change was put back, so that none is put back twice. */
  restored: v.array(COUNT)
})

type StateFacts = v.InferOutput<typeof STATE_FACTS>

interface OpenedEngine {
  name: string
  why: string
  compileMs: number
  corpusTokens: number
  epochAgain: boolean
}

/** A third of what the daemon has where there is not enough for both: its answers are what others wait for. Audits come after training. */
const TRAINER_NICENESS = 5
const STATE_FILE = 'state.safetensors'
const RESTORED_KEPT = 64
/** Text after which it says that it still reads, in UTF-16 units: 4 to 13 s of the slowest tokenizers. */
const READING_TOLD_CHARACTERS = 1_000_000
/** What training says of a state that it cannot resume from, whether its bytes were damaged or they hold what they should not. */
const UNUSABLE_STATE = ['bad_state', 'bad_position', 'bad_parameters']

class TrainerProcess {
  readonly #directory: string
  readonly #trainer: Trainer
  readonly #batches: Batches
  readonly #engine: OpenedEngine
  #snapshot: SnapshotResult | null
  #record: string | null
  #restored: number[]
  /** Whether this process has taken a snapshot. */
  #isProven = false

  private constructor(
    directory: string,
    parts: { trainer: Trainer; batches: Batches; engine: OpenedEngine },
    facts: Omit<StateFacts, 'trainer'>
  ) {
    this.#directory = directory
    this.#trainer = parts.trainer
    this.#batches = parts.batches
    this.#engine = parts.engine
    this.#snapshot = facts.snapshot
    this.#record = facts.record
    this.#restored = facts.restored
  }

  /** Takes up the state on disk, or begins at the anchor. */
  static async open(start: TrainerStart, without: readonly string[]): Promise<TrainerProcess> {
    const { optimizer } = start
    const model = createModel(start.model)
    const { batch, accumulation, beta1, beta2, epsilon, weightDecay, clipNorm } = optimizer
    const options: TrainingOptions = {
      ...{ batch, context: start.model.context, accumulation },
      optimizer: { beta1, beta2, epsilon, weightDecay, clipNorm }
    }
    // Before any engine is named: want of memory and a long silence would be told of that one.
    const tokens = await readTokens(start)
    const batches = createBatches({ tokens, batch, context: start.model.context, seed: start.seed, ...assignmentOf(start) })
    // Before each is loaded: a driver may end this process by that alone.
    const onTry = (engine: string | null) => tell({ type: 'engine', engine })
    const { engine, why } = await openChosen(start, { model, options, threads: start.threads }, { without, onTry })
    const compiled = computedByEngine(await byEngine(() => engine.compileTraining(model, options)))
    const { trainer, facts, epochAgain } = await openTrainer(start, { compiled, batches })
    // The state says who had the slots when it was saved; records may have been adopted since.
    if (start.corpus.shared !== null) batches.assign(start.corpus.shared.contributors)
    return new TrainerProcess(
      start.directory,
      { trainer, batches, engine: { name: engine.name, why, compileMs: compiled.compileMs, corpusTokens: tokens.length, epochAgain } },
      facts
    )
  }

  get steps(): number {
    return this.#trainer.steps
  }

  get stepsSinceSnapshot(): number {
    return this.#trainer.stepsSinceSnapshot
  }

  ready(): TrainerReport {
    const { name: engine, why, compileMs, corpusTokens, epochAgain } = this.#engine
    return {
      type: 'ready',
      ready: {
        engine,
        why,
        compileMs,
        corpusTokens,
        epochAgain,
        step: this.#trainer.steps,
        stepsSinceSnapshot: this.#trainer.stepsSinceSnapshot,
        tokensSinceSnapshot: this.#trainer.tokensSinceSnapshot,
        snapshot: this.#snapshot,
        record: this.#record
      }
    }
  }

  async step(): Promise<TrainerReport> {
    const report = await this.#trainer.step()
    const { stepsSinceSnapshot, tokensSinceSnapshot } = this.#trainer
    return { type: 'step', step: { ...report, stepsSinceSnapshot, tokensSinceSnapshot, epoch: this.#batches.position().epoch } }
  }

  assign(contributors: string[]): void {
    this.#batches.assign(contributors)
  }

  /**
   * Takes what was learned since the base to disk; the state that has it in it follows, so that a crash between the two loses only the name of a file.
   * A disk that takes one of them not leaves the trainer as it was: its progress goes into the next snapshot.
   */
  async snapshot(round: number): Promise<SnapshotResult> {
    const before = { base: this.#trainer.base(), snapshot: this.#snapshot }
    const taken = await this.#trainer.snapshot()
    const { steps, tokens, loss } = taken
    const sequence = (before.snapshot?.sequence ?? (await lastSequence(this.#directory))) + 1
    const file = deltaFile(this.#directory, sequence)
    try {
      await writeTensors(file, taken.delta)
      this.#snapshot = { sequence, round, steps, tokens, loss }
      await this.save()
      this.#isProven = true
      return this.#snapshot
    } catch (error) {
      this.#snapshot = before.snapshot
      await this.#trainer.putBack(before.base, taken)
      await rm(file, { force: true })
      throw error
    }
  }

  /**
   * What is told of an error that ends this process. Where training led to what is no number before it led to a snapshot, the state that it began from is not gone on from again:
   * a rotten weight may be a number, end each trainer some steps later, and move along to every anchor.
   */
  async endedBy(error: unknown): Promise<unknown> {
    const file = join(this.#directory, STATE_FILE)
    const isDiverged = isCodedError(error) && error.code === 'non_finite'
    return isDiverged && !this.#isProven && existsSync(file) ? setAside(file, 'led to what is no number', error) : error
  }

  async adopt(anchorFile: string, record: string, mode: AdoptMode): Promise<void> {
    await this.#trainer.adopt(await readTensors(anchorFile), mode)
    this.#record = record
    await this.save()
  }

  async restore(sequence: number, deltaFile: string): Promise<void> {
    if (!this.#restored.includes(sequence)) {
      await this.#trainer.restore(await readTensors(deltaFile))
      this.#restored = [...this.#restored, sequence].slice(-RESTORED_KEPT)
    }
    // Also what was put back before: whoever asks again may have been told that the disk did not take it.
    await this.save()
  }

  async save(): Promise<void> {
    const { json, tensors } = await this.#trainer.state()
    const facts: StateFacts = { trainer: json, snapshot: this.#snapshot, record: this.#record, restored: this.#restored }
    await writeTensors(join(this.#directory, STATE_FILE), tensors, { shoal: JSON.stringify(facts) })
  }
}

interface Opened {
  trainer: Trainer
  facts: Omit<StateFacts, 'trainer'>
  epochAgain: boolean
}

async function openTrainer(start: TrainerStart, { compiled, batches }: { compiled: CompiledTraining; batches: Batches }): Promise<Opened> {
  const { learningRate, schedule, warmupSteps, totalSteps, finalFactor, accumulation } = start.optimizer
  const options = { schedule: { kind: schedule, learningRate, warmupSteps, totalSteps, finalFactor }, accumulation }
  const parts = { compiled, data: batches }
  const file = join(start.directory, STATE_FILE)
  if (existsSync(file)) return resume(file, parts, options)
  const from = { parameters: await readTensors(start.anchorFile), step: start.firstStep }
  return { trainer: await Trainer.open(parts, from, options), facts: { snapshot: null, record: null, restored: [] }, epochAgain: false }
}

async function resume(file: string, parts: { compiled: CompiledTraining; data: Batches }, options: TrainerOptions): Promise<Opened> {
  try {
    const { facts, tensors } = await readState(file)
    const { position } = facts.trainer
    // A text that became shorter says nothing against what was learned from it.
    const epochAgain = !hasPlace(parts.data, position)
    const json = epochAgain ? { ...facts.trainer, position: { ...position, slot: 0, offset: 0 } } : facts.trainer
    return { trainer: await Trainer.open(parts, { state: { json, tensors } }, options), facts, epochAgain }
  } catch (cause) {
    const isDamage = isCodedError(cause) && (cause.code.startsWith('safetensors_') || UNUSABLE_STATE.includes(cause.code))
    if (!isDamage) throw cause
    throw await setAside(file, 'was damaged', cause)
  }
}

/** A state that is no use would end every trainer after this one, too. It is kept for whoever wants to look; the reason reaches the operator by this death. */
async function setAside(file: string, what: string, cause: unknown): Promise<DaemonError> {
  await rename(file, `${file}.damaged`)
  return new DaemonError(
    'trainer_state_damaged',
    `the trainer's state ${what} and is set aside as ${file}.damaged; training goes on from the newest anchor (${reasonOf(cause)})`,
    { cause }
  )
}

function hasPlace(data: Batches, position: BatchPosition): boolean {
  try {
    data.seek(position)
    return true
  } catch (error) {
    if (isCodedError(error) && error.code === 'bad_position') return false
    throw error
  }
}

/** Document by document: the text is gone when its tokens are made. */
async function readTokens({ corpus, tokenizer: { kind, vocabulary, json } }: TrainerStart): Promise<Int32Array> {
  // Merges are the author's: they came in the json.
  const tokenizer = await resolveTokenizer({ kind: kind as TokenizerKind, vocabulary, ...(json === null ? {} : { json }) }, () => [])
  const parts: Int32Array[] = []
  let charactersUntold = 0
  for await (const text of documentsOf(corpus.sources)) {
    parts.push(tokenizeDocuments(tokenizer, [text]))
    charactersUntold += text.length
    if (charactersUntold < READING_TOLD_CHARACTERS) continue
    charactersUntold = 0
    tell({ type: 'reading' })
    // That the daemon has gone is noticed in between.
    await new Promise(resolve => setImmediate(resolve))
  }
  return joinTokens(parts)
}

function assignmentOf({ corpus: { shared } }: TrainerStart) {
  return shared === null ? {} : { assignment: { peer: shared.peer, contributors: shared.contributors } }
}

/** @throws StorageError 'safetensors_...', TrainingError 'bad_state' */
async function readState(file: string): Promise<{ facts: StateFacts; tensors: NamedTensor[] }> {
  const stored = await readSafetensorsFile(file)
  const facts = factsIn(stored.metadata.shoal)
  const tensors = stored.tensors.map(asNamed)
  // Parameters that are not numbers would end every first step.
  const broken = tensors.find(({ values }) => !values.every(Number.isFinite))
  if (broken !== undefined) throw new TrainingError('bad_state', `Cannot resume: ${broken.name} holds what is not a finite number`)
  return { facts, tensors }
}

function factsIn(text: string | undefined): StateFacts {
  try {
    return v.parse(STATE_FACTS, JSON.parse(text ?? ''))
  } catch (cause) {
    throw new TrainingError('bad_state', `Cannot resume: what the state says beside its tensors is damaged (${reasonOf(cause)})`, { cause })
  }
}

/** What is thrown in computing is the engine's failure; what the trainer itself refuses is not. */
function computedByEngine(compiled: CompiledTraining): CompiledTraining {
  return {
    compileMs: compiled.compileMs,
    load: (...given) => byEngine(() => compiled.load(...given)),
    step: (...given) => byEngine(() => compiled.step(...given)),
    parameters: () => byEngine(() => compiled.parameters()),
    setParameters: given => byEngine(() => compiled.setParameters(given)),
    moments: () => byEngine(() => compiled.moments()),
    dispose: () => byEngine(() => compiled.dispose())
  }
}

/** The highest number that a delta on disk has: numbers go on also where the state that knew them is gone. */
async function lastSequence(directory: string): Promise<number> {
  return Math.max(0, ...deltaSequences(await readdir(directory)))
}

async function readTensors(file: string): Promise<NamedTensor[]> {
  return (await readSafetensorsFile(file)).tensors.map(asNamed)
}

async function writeTensors(file: string, tensors: NamedTensor[], metadata: Record<string, string> = {}): Promise<void> {
  await writeSafetensorsFile(
    file,
    tensors.map(({ name, shape, values }) => storedTensor(name, shape, values)),
    metadata
  )
}

function asNamed(tensor: Parameters<typeof floatsOf>[0]): NamedTensor {
  return { name: tensor.name, shape: [...tensor.shape], values: floatsOf(tensor) }
}

/** Requests in the order they came, taken up between two steps. */
class Inbox {
  readonly #requests: TrainerRequest[] = []
  #wake: (() => void) | null = null

  constructor() {
    process.on('message', message => {
      this.#requests.push(message as TrainerRequest)
      this.#wake?.()
    })
  }

  take(): TrainerRequest | undefined {
    return this.#requests.shift()
  }

  async wait(): Promise<TrainerRequest> {
    while (this.#requests.length === 0) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
      this.#wake = null
    }
    return this.#requests.shift()!
  }
}

async function main(inbox: Inbox): Promise<void> {
  const first = await inbox.wait()
  if (first.type !== 'start') return
  await makeFolder(first.start.directory)
  // Of a trainer that was killed while it wrote its state: up to 16 bytes a parameter, each time.
  await removeLeftovers(first.start.directory)
  const trainer = await TrainerProcess.open(first.start, first.without)
  tell(trainer.ready())
  try {
    await serve(trainer, inbox)
  } catch (error) {
    throw await trainer.endedBy(error)
  }
}

async function serve(trainer: TrainerProcess, inbox: Inbox): Promise<void> {
  let until = 0
  let waiting = false
  for (;;) {
    const mayStep = trainer.stepsSinceSnapshot < until
    if (!mayStep && !waiting) tell({ type: 'waiting', step: trainer.steps })
    waiting = !mayStep
    const request = mayStep ? inbox.take() : await inbox.wait()
    if (request === undefined) {
      tell(await trainer.step())
      // The engine computes without giving way; messages are read in between.
      await new Promise(resolve => setImmediate(resolve))
      continue
    }
    if (request.type === 'stop') {
      await trainer.save()
      return
    }
    if (request.type === 'allow') until = request.until
    else if (request.type === 'assign') trainer.assign(request.contributors)
    else if (request.type !== 'start') await answer(trainer, request)
    // The daemon expects something of a trainer that it has told something; one that has still nothing to do says so again.
    waiting = false
  }
}

async function answer(trainer: TrainerProcess, request: Extract<TrainerRequest, { id: number }>): Promise<void> {
  const { id } = request
  try {
    let result: SnapshotResult | null = null
    if (request.type === 'snapshot') result = await trainer.snapshot(request.round)
    else if (request.type === 'adopt') await trainer.adopt(request.anchorFile, request.record, request.mode)
    else if (request.type === 'restore') await trainer.restore(request.sequence, request.deltaFile)
    else await trainer.save()
    tell({ type: 'done', id, result })
  } catch (error) {
    tell({ type: 'failed', id, ...factsOf(error) })
    // A trainer that has diverged is ended here as by a loss that is no number: the last state goes on, before a worse one is written over it.
    if (isCodedError(error) && error.code === 'non_finite') throw error
  }
}

function tell(report: TrainerReport): void {
  // A daemon that is gone hears nothing; 'disconnect' ends this process.
  process.send?.(report, undefined, undefined, () => {})
}

function factsOf(error: unknown): { code: string; message: string } {
  return { code: codeOf(error), message: reasonOf(error) }
}

// Without its daemon a trainer would train for nobody, and hold the files of the one that takes its place.
process.once('disconnect', () => process.exit())
// Ctrl-C, a terminal that closes and a service manager that stops the daemon reach the whole group; the daemon has its trainer save its state and end.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
try {
  // Before any engine starts its threads: they inherit it.
  setPriority(TRAINER_NICENESS)
} catch {
  // A sandbox may forbid it; training does not depend on it.
}
main(new Inbox()).then(
  () => process.exit(0),
  error => {
    tell({ type: 'fatal', ...factsOf(error) })
    process.stderr.write(`${factsOf(error).code}: ${reasonOf(error)}\n`)
    process.exitCode = 1
    process.disconnect?.()
  }
)
