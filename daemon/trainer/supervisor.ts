// Keeps one trainer process alive: starts it, asks it things, restarts it from its last state when it dies, and remembers why it died.
import { type ChildProcess, fork } from 'node:child_process'
import { DaemonError, reasonOf } from '../errors.ts'
import type { SnapshotResult, TrainerReady, TrainerReport, TrainerRequest, TrainerStart, TrainerStep } from './messages.ts'

/** Waits between restarts, in ms: quick at first, since most deaths are a crash of a driver, then slow, so that a broken machine is not kept busy. */
const RESTART_WAITS_MS = [500, 2_000, 10_000, 30_000, 60_000]
/** A trainer that ran this long is taken for healthy again, and the waits start over. */
const HEALTHY_AFTER_MS = 120_000
/** How long a clean stop may take before the process is killed, in ms. It saves its state first: 2 GB for GPT-2, which a slow disk takes at 50 MB/s. */
export const TRAINER_STOP_TIMEOUT_MS = 60_000
/** Last lines of the process's stderr that are kept as the reason of its death. */
const LAST_WORDS_MAX = 2_000

export interface SupervisorEvents {
  ready(ready: TrainerReady): void
  step(step: TrainerStep): void
  waiting(step: number): void
  /** The process ended without being asked; it will be restarted after `restartInMs`. */
  died(reason: string, restarts: number, restartInMs: number): void
}

type Asked = { resolve: (result: SnapshotResult | null) => void; reject: (error: Error) => void }
type Question =
  | { type: 'snapshot'; round: number }
  | { type: 'adopt'; anchorFile: string; record: string; mode: 'shift' | 'keep' }
  | { type: 'restore'; sequence: number; deltaFile: string }
  | { type: 'save' }

/** One trainer process and its restarts. All calls are answered by the process that is alive when they are made. */
export class TrainerSupervisor {
  readonly #start: () => TrainerStart
  readonly #events: SupervisorEvents
  readonly #asked = new Map<number, Asked>()
  #child: ChildProcess | null = null
  /** Settles when the process is gone, or has failed to come up. */
  #gone: Promise<void> = Promise.resolve()
  #nextId = 1
  #until = 0
  #isReady = false
  #stopping = false
  #lastWords = ''
  #startedAt = 0
  #deaths = 0
  #restartTimer: NodeJS.Timeout | null = null
  restarts = 0
  reason: string | null = null

  /** @param start read at each (re)start, so that a restarted trainer begins from the newest anchor file */
  constructor(start: () => TrainerStart, events: SupervisorEvents) {
    this.#start = start
    this.#events = events
  }

  get ready(): boolean {
    return this.#isReady
  }

  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  start(): void {
    this.#stopping = false
    this.#lastWords = ''
    this.#startedAt = Date.now()
    const child = this.#fork()
    if (child === null) return
    this.#child = child
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_MAX)
    })
    child.on('message', message => this.#heard(message as TrainerReport))
    this.#gone = new Promise(resolve => {
      child.once('exit', (code, signal) => {
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
    this.#send({ type: 'start', start: this.#start() })
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

  async adopt(anchorFile: string, record: string, mode: 'shift' | 'keep'): Promise<void> {
    await this.#ask({ type: 'adopt', anchorFile, record, mode })
  }

  async restore(sequence: number, deltaFile: string): Promise<void> {
    await this.#ask({ type: 'restore', sequence, deltaFile })
  }

  async save(): Promise<void> {
    await this.#ask({ type: 'save' })
  }

  /** Ends the process after it has saved its state; kills it when it does not end in time. */
  async stop(): Promise<void> {
    this.#stopping = true
    if (this.#restartTimer !== null) clearTimeout(this.#restartTimer)
    this.#send({ type: 'stop' })
    const killer = setTimeout(() => this.#child?.kill('SIGKILL'), TRAINER_STOP_TIMEOUT_MS)
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
    // A send to a process that has just died fails by callback; its exit event tells the rest.
    if (this.#child?.connected === true) this.#child.send(request, () => {})
  }

  #heard(report: TrainerReport): void {
    switch (report.type) {
      case 'ready':
        this.#isReady = true
        this.#events.ready(report.ready)
        return
      case 'step':
        this.#events.step(report.step)
        return
      case 'waiting':
        this.#events.waiting(report.step)
        return
      case 'done':
        this.#asked.get(report.id)?.resolve(report.result)
        this.#asked.delete(report.id)
        return
      case 'failed':
        this.#asked.get(report.id)?.reject(failureOf(report))
        this.#asked.delete(report.id)
        return
      case 'fatal':
        // A line of its own: the same words may come by stderr, too.
        this.#lastWords = `${report.code}: ${report.message}\n`
        return
      default:
        report satisfies never
    }
  }

  /** Null where the system refuses at once; what it refuses a moment later comes as an error of the child. */
  #fork(): ChildProcess | null {
    try {
      return fork(new URL('./trainer-process.js', import.meta.url), { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], serialization: 'json' })
    } catch (error) {
      this.#lastWords = reasonOf(error)
      this.#ended(null, null)
      return null
    }
  }

  #ended(code: number | null, signal: string | null): void {
    this.#child = null
    this.#isReady = false
    for (const { reject } of this.#asked.values()) reject(new DaemonError('trainer_gone', 'The trainer ended before it answered'))
    this.#asked.clear()
    if (this.#stopping) return
    if (Date.now() - this.#startedAt > HEALTHY_AFTER_MS) this.#deaths = 0
    const waitMs = RESTART_WAITS_MS[Math.min(this.#deaths, RESTART_WAITS_MS.length - 1)]!
    this.#deaths++
    this.restarts++
    this.reason = lastLine(this.#lastWords) ?? (signal === null ? `exit code ${code}` : `killed by ${signal}`)
    this.#events.died(this.reason, this.restarts, waitMs)
    this.#restartTimer = setTimeout(() => this.start(), waitMs)
  }
}

/** A full disk keeps its code, since training pauses for it; whatever else a trainer could not do is a failure of the trainer. */
function failureOf({ code, message }: { code: string; message: string }): DaemonError {
  return code === 'disk_full' ? new DaemonError('disk_full', message) : new DaemonError('trainer_failed', `${code}: ${message}`)
}

function lastLine(words: string): string | null {
  const lines = words.trim().split('\n')
  const error = lines.find(line => /error|fatal|_/i.test(line)) ?? lines.at(-1)
  return error === undefined || error === '' ? null : error.trim().slice(0, 300)
}
