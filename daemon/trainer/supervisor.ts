// Keeps one trainer process alive: starts it, asks it things, restarts it from its last state when it dies, and remembers why it died.
// When, and with which engines, recovery.ts decides.
import { type ChildProcess, fork } from 'node:child_process'
import { performance } from 'node:perf_hooks'
import type { AdoptMode } from '../../training/trainer.ts'
import { DaemonError, reasonOf } from '../errors.ts'
import { type Death, deathOf, oomKills } from './deaths.ts'
import type { SnapshotResult, TrainerReady, TrainerReport, TrainerRequest, TrainerStart, TrainerStep } from './messages.ts'
import { advanceRecovery, createRecovery, type GivenUp, RECOVERY_RULES, type RecoveryEvent, type RecoveryRules } from './recovery.ts'

/** How often the recovery rules are told the time, in ms; finer than the shortest wait. */
const TICK_MS = 250
/** How long a clean stop may take before the process is killed, in ms. It saves its state first: 2 GB for GPT-2, which a slow disk takes at 50 MB/s. */
export const TRAINER_STOP_TIMEOUT_MS = 60_000
/** Last lines of the process's stderr that are kept as the reason of its death. */
const LAST_WORDS_MAX = 2_000

export interface SupervisorEvents {
  ready(ready: TrainerReady): void
  step(step: TrainerStep): void
  waiting(step: number): void
  /** A snapshot was taken: steps count from it, told before any step that followed it. Who waits for the answer may hear of that later than of those steps. */
  snapshotted(): void
  /** The process ended without being asked. */
  died(death: Death, next: Next): void
  /** It was asked to stop and did not save its state: the steps since the one before are lost. */
  stoppedUnsaved(death: Death): void
}

/** What happens after a death. */
export interface Next {
  /** Deaths so far, this one among them. */
  restarts: number
  /** Null: no engine is left, so there is no restart until somebody asks for one. */
  restartInMs: number | null
  /** The engine that is not used any more after this. */
  givenUp: GivenUp | null
}

type Asked = { resolve: (result: SnapshotResult | null) => void; reject: (error: Error) => void }
type Question =
  | { type: 'snapshot'; round: number }
  | { type: 'adopt'; anchorFile: string; record: string; mode: AdoptMode }
  | { type: 'restore'; sequence: number; deltaFile: string }
  | { type: 'save' }

/** V8's young generation, 2 MiB instead of 16: a step's objects are few and its arrays lie outside the heap, so the room for garbage is all that a larger one adds (40 MB of a small model's 165). */
const TRAINER_FLAGS = ['--max-semi-space-size=2']

/** One trainer process and its restarts. All calls are answered by the process that is alive when they are made. */
export class TrainerSupervisor {
  readonly #start: () => TrainerStart
  readonly #events: SupervisorEvents
  readonly #asked = new Map<number, Asked>()
  readonly #recovery: ReturnType<typeof createRecovery>
  #ticker: NodeJS.Timeout | null = null
  #child: ChildProcess | null = null
  /** Settles when the process is gone, or has failed to come up. */
  #gone: Promise<void> = Promise.resolve()
  #nextId = 1
  #until = 0
  #isReady = false
  #stopping = false
  #closed = false
  #lastWords = ''
  #fatal: { code: string; message: string } | null = null
  /** The engine of the present process, null before it has said. */
  #engine: string | null = null
  /** Of the silence for which it was killed. */
  #silentMs: number | null = null
  #oomKills: number | null = null
  restarts = 0
  /** The newest death. */
  death: Death | null = null

  /** @param start read at each (re)start, so that a restarted trainer begins from the newest anchor file */
  constructor(start: () => TrainerStart, events: SupervisorEvents, rules: RecoveryRules = RECOVERY_RULES) {
    this.#start = start
    this.#events = events
    this.#recovery = createRecovery(rules)
  }

  get ready(): boolean {
    return this.#isReady
  }

  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  /** Engines that are not used any more until {@link tryAgain}. */
  get givenUp(): readonly GivenUp[] {
    return this.#recovery.givenUp
  }

  /** No engine is left. */
  get paused(): boolean {
    return this.#recovery.phase === 'paused'
  }

  start(): void {
    this.#stopping = false
    this.#ticker ??= setInterval(() => this.#tell({ type: 'tick' }), TICK_MS)
    this.#tell({ type: 'wanted' })
  }

  /** Gives the engines that were given up another chance; nothing where there are none. */
  async tryAgain(): Promise<void> {
    if (this.givenUp.length === 0 && !this.paused) return
    await this.#endProcess()
    if (!this.#closed) this.start()
  }

  #startProcess(without: string[]): void {
    this.#lastWords = ''
    this.#fatal = null
    this.#engine = null
    this.#silentMs = null
    this.#oomKills = oomKills()
    const child = this.#fork()
    if (child === null) return
    this.#child = child
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_MAX)
    })
    child.on('message', message => this.#heard(message as TrainerReport))
    this.#gone = new Promise(resolve => {
      // Not 'exit': what the process said last may come after it.
      child.once('close', (code, signal) => {
        this.#ended(code, signal)
        resolve()
      })
      child.on('error', error => {
        this.#lastWords += `${error.message}\n`
        // A machine that has no process to spare says so here, and no exit follows.
        if (child.pid !== undefined) return
        this.#ended(null, null)
        resolve()
      })
    })
    this.#send({ type: 'start', start: this.#start(), without })
    this.#send({ type: 'allow', until: this.#until })
  }

  /** Lets the trainer run until there are `until` inner steps since its last snapshot; as many or fewer than there are means wait. */
  allow(until: number): void {
    if (until === this.#until) return
    this.#until = until
    this.#send({ type: 'allow', until })
  }

  assign(contributors: string[]): void {
    this.#send({ type: 'assign', contributors })
  }

  async snapshot(round: number): Promise<SnapshotResult> {
    const result = await this.#ask({ type: 'snapshot', round })
    if (result === null) throw new DaemonError('trainer_failed', 'The trainer answered a snapshot with nothing')
    return result
  }

  async adopt(anchorFile: string, record: string, mode: AdoptMode): Promise<void> {
    await this.#ask({ type: 'adopt', anchorFile, record, mode })
  }

  /** @throws DaemonError `non_finite_delta`, `norm_too_large` for a file that no trainer can take, now or later */
  async restore(sequence: number, deltaFile: string): Promise<void> {
    await this.#ask({ type: 'restore', sequence, deltaFile })
  }

  async save(): Promise<void> {
    await this.#ask({ type: 'save' })
  }

  /** Ends the process after it has saved its state; kills it when it does not end in time. */
  async stop(): Promise<void> {
    this.#closed = true
    await this.#endProcess()
  }

  async #endProcess(): Promise<void> {
    this.#stopping = true
    if (this.#ticker !== null) clearInterval(this.#ticker)
    this.#ticker = null
    this.#tell({ type: 'unwanted' })
    this.#send({ type: 'stop' })
    const killer = setTimeout(() => {
      this.#silentMs = TRAINER_STOP_TIMEOUT_MS
      this.#child?.kill('SIGKILL')
    }, TRAINER_STOP_TIMEOUT_MS)
    await this.#gone
    clearTimeout(killer)
  }

  #ask(question: Question): Promise<SnapshotResult | null> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      if (this.#child?.connected !== true) {
        reject(new DaemonError('trainer_gone', `The trainer is not running, so it cannot ${question.type}`))
        return
      }
      this.#asked.set(id, { resolve, reject })
      this.#send({ ...question, id } as TrainerRequest)
    })
  }

  #send(request: TrainerRequest): void {
    // A send to a process that has just died fails by callback; its end tells the rest.
    if (this.#child?.connected === true) this.#child.send(request, () => {})
    this.#tell({ type: 'asked' })
  }

  /** Tells the recovery rules, and does what they say. */
  #tell(event: RecoveryEvent): { restartInMs: number | null; givenUp: GivenUp | null } {
    const next = { restartInMs: null as number | null, givenUp: null as GivenUp | null }
    for (const command of advanceRecovery(this.#recovery, event, performance.now()).commands) {
      if (command.type === 'start') this.#startProcess(command.without)
      else if (command.type === 'restartIn') next.restartInMs = command.ms
      else if (command.type === 'givenUp') next.givenUp = command.engine
      else if (command.type === 'kill') {
        this.#silentMs = command.silentMs
        this.#child?.kill('SIGKILL')
      } else command satisfies { type: 'paused' }
    }
    return next
  }

  #heard(report: TrainerReport): void {
    if (report.type !== 'waiting' && report.type !== 'step') this.#tell({ type: 'heard' })
    switch (report.type) {
      case 'reading':
        return
      case 'engine':
        this.#engine = report.engine
        return
      case 'ready':
        this.#isReady = true
        this.#tell({ type: 'ready' })
        this.#events.ready(report.ready)
        return
      case 'step':
        this.#tell({ type: 'step', ms: report.step.ms })
        this.#events.step(report.step)
        return
      case 'waiting':
        // What was asked meanwhile is still to be answered.
        this.#tell({ type: this.#asked.size === 0 ? 'idle' : 'heard' })
        this.#events.waiting(report.step)
        return
      case 'done':
        if (report.result !== null) this.#events.snapshotted()
        this.#asked.get(report.id)?.resolve(report.result)
        this.#asked.delete(report.id)
        return
      case 'failed':
        this.#asked.get(report.id)?.reject(failureOf(report))
        this.#asked.delete(report.id)
        return
      case 'fatal':
        this.#fatal = { code: report.code, message: report.message }
        return
      default:
        report satisfies never
    }
  }

  /** Null where the system refuses at once; what it refuses a moment later comes as an error of the child. */
  #fork(): ChildProcess | null {
    try {
      return fork(new URL('./trainer-process.js', import.meta.url), {
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
        serialization: 'json',
        execArgv: [...process.execArgv, ...TRAINER_FLAGS]
      })
    } catch (error) {
      this.#lastWords = reasonOf(error)
      this.#ended(null, null)
      return null
    }
  }

  #ended(exitCode: number | null, signal: string | null): void {
    // One that was not ready yet has learned nothing, and one that ends by itself when it is asked to has saved.
    const isSaved = this.#stopping && (!this.#isReady || exitCode === 0)
    this.#child = null
    this.#isReady = false
    for (const { reject } of this.#asked.values()) reject(new DaemonError('trainer_gone', 'The trainer ended before it answered'))
    this.#asked.clear()
    if (isSaved) return
    const killed = oomKills()
    const death = deathOf({
      ...{ exitCode, signal, engine: this.#engine, fatal: this.#fatal, lastWords: this.#lastWords, silentMs: this.#silentMs },
      oomKilled: killed !== null && this.#oomKills !== null && killed > this.#oomKills
    })
    this.death = death
    if (this.#stopping) {
      this.#events.stoppedUnsaved(death)
      return
    }
    this.restarts++
    const next = this.#tell({ type: 'died', death })
    this.#events.died(death, { restarts: this.restarts, ...next })
  }
}

/** A full disk keeps its code, since training pauses for it, and so does a change that nobody can put back; whatever else a trainer could not do is its failure. */
function failureOf({ code, message }: { code: string; message: string }): DaemonError {
  if (code === 'disk_full' || code === 'non_finite_delta' || code === 'norm_too_large') return new DaemonError(code, message)
  return new DaemonError('trainer_failed', `${code}: ${message}`)
}
