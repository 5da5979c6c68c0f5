// Times whole rounds among processes of their own on this machine: from the first encoding to the last peer that holds the next root on disk.
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCodec } from '../../training/compression/index.ts'
import { DaemonError } from '../errors.ts'
import type { PeerOrder, PeerOutcome, PeerReport } from './messages.ts'

export interface BenchRoundOptions {
  /** How many peers; each number gets rows of its own. */
  peers: number[]
  /** Parameters of the made-up model. */
  values: number
  /** Wire names, such as f32, f16, int8. */
  codecs: string[]
  /** Rounds that are timed; one before them is not. */
  rounds: number
  signal?: AbortSignal
  onProgress?: (text: string) => void
}

/** One row of the report. */
export interface BenchRoundRow {
  peers: number
  codec: string
  values: number
  seconds: { min: number; median: number; max: number }
  /** Payload of streams and gossip, mean over peers and rounds. */
  bytesSentPerPeer: number
  bytesReceivedPerPeer: number
  /** Of the next anchor against start - mean of the uncompressed changes, the largest of all rounds; nothing is carried from round to round. */
  maxAbsError: number
}

/** Milliseconds an order may take. */
const ORDER_TIMEOUT_MS = 300_000

/** Measures every pair of peers and codec. Throws `bench_failed`, or TrainingError for a codec that does not exist. */
export async function benchRound(options: BenchRoundOptions): Promise<BenchRoundRow[]> {
  options.signal?.throwIfAborted()
  for (const codec of options.codecs) createCodec(codec)
  const rows: BenchRoundRow[] = []
  for (const count of options.peers) rows.push(...(await benchPeers(count, options)))
  return rows
}

async function benchPeers(count: number, options: BenchRoundOptions): Promise<BenchRoundRow[]> {
  const { values, codecs, signal, onProgress = () => {} } = options
  const folder = await mkdtemp(join(tmpdir(), 'shoal-bench-'))
  const peers = Array.from({ length: count }, () => new PeerProcess(signal))
  try {
    onProgress(`${count} peers: starting`)
    const opened = await all(peers, 'open', index => ({ type: 'open', home: join(folder, String(index)), index, peers: count, values }))
    const addresses = opened.map(report => report.address)
    // Each calls those before it: two that call each other at once would make two connections.
    await all(peers, 'meet', index => ({ type: 'meet', addresses: addresses.slice(0, index) }))
    const rows: BenchRoundRow[] = []
    let round = 0
    for (const codec of codecs) {
      const outcomes: { seconds: number; reports: PeerOutcome[]; error: number }[] = []
      for (let i = 0; i <= options.rounds; i++) {
        round++
        const outcome = await oneRound(peers, round, codec)
        onProgress(`${count} peers, ${codec}: ${i === 0 ? 'warm-up' : `round ${i}`} ${outcome.seconds.toFixed(2)} s`)
        if (i > 0) outcomes.push(outcome)
      }
      rows.push(rowOf(count, codec, values, outcomes))
    }
    return rows
  } finally {
    await Promise.all(peers.map(peer => peer.end()))
    await rm(folder, { recursive: true, force: true })
  }
}

async function oneRound(
  peers: PeerProcess[],
  round: number,
  codec: string
): Promise<{ seconds: number; reports: PeerOutcome[]; error: number }> {
  await all(peers, 'prepare', () => ({ type: 'prepare', round, codec }))
  const reports = (await all(peers, 'go', () => ({ type: 'go', round }))).map(({ outcome }) => outcome)
  if (new Set(reports.map(({ anchor }) => anchor)).size !== 1)
    throw new DaemonError('bench_failed', `the peers hold different roots after round ${round}`)
  const started = Math.min(...reports.map(({ startedMs }) => startedMs))
  const finished = Math.max(...reports.map(({ finishedMs }) => finishedMs))
  const { maxAbsError } = await peers[0]!.ask('measure', { type: 'measure', round })
  return { seconds: (finished - started) / 1000, reports, error: maxAbsError }
}

function rowOf(
  peers: number,
  codec: string,
  values: number,
  rounds: { seconds: number; reports: PeerOutcome[]; error: number }[]
): BenchRoundRow {
  const seconds = rounds.map(round => round.seconds).sort((a, b) => a - b)
  const middle = seconds.length / 2
  const median = Number.isInteger(middle) ? (seconds[middle - 1]! + seconds[middle]!) / 2 : seconds[Math.floor(middle)]!
  const reports = rounds.flatMap(round => round.reports)
  const mean = (read: (outcome: PeerOutcome) => number) =>
    Math.round(reports.reduce((sum, outcome) => sum + read(outcome), 0) / reports.length)
  return {
    peers,
    codec,
    values,
    seconds: { min: seconds[0]!, median, max: seconds.at(-1)! },
    bytesSentPerPeer: mean(outcome => outcome.bytesSent),
    bytesReceivedPerPeer: mean(outcome => outcome.bytesReceived),
    maxAbsError: Math.max(...rounds.map(round => round.error))
  }
}

type ReportOf<T extends PeerReport['type']> = Extract<PeerReport, { type: T }>

/** Gives every peer an order and waits for all answers; the first failure is everybody's. */
function all<T extends PeerReport['type']>(peers: PeerProcess[], type: T, order: (index: number) => PeerOrder): Promise<ReportOf<T>[]> {
  return Promise.all(peers.map((peer, index) => peer.ask(type, order(index))))
}

/** One peer's process as its parent sees it. */
class PeerProcess {
  readonly #child: ChildProcess
  readonly #signal: AbortSignal | undefined
  readonly #ended: Promise<string>

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal
    this.#child = fork(new URL('./bench-peer-process.js', import.meta.url), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#ended = new Promise(resolve => {
      this.#child.once('exit', (code, killedBy) => resolve(killedBy ?? `exit code ${code}`))
      this.#child.once('error', error => resolve(error.message))
    })
  }

  /** Gives an order and waits for the one answer of that type. */
  async ask<T extends PeerReport['type']>(type: T, order: PeerOrder): Promise<ReportOf<T>> {
    this.#signal?.throwIfAborted()
    const limit = AbortSignal.timeout(ORDER_TIMEOUT_MS)
    const signal = this.#signal === undefined ? limit : AbortSignal.any([limit, this.#signal])
    let release = () => {}
    const answer = new Promise<PeerReport>((resolve, reject) => {
      const abort = () =>
        reject(
          this.#signal?.aborted
            ? this.#signal.reason
            : new DaemonError('bench_failed', `a peer did not finish ${order.type} in ${ORDER_TIMEOUT_MS} ms`)
        )
      signal.addEventListener('abort', abort, { once: true })
      this.#child.once('message', resolve as (message: unknown) => void)
      release = () => {
        signal.removeEventListener('abort', abort)
        this.#child.off('message', resolve as (message: unknown) => void)
      }
    })
    const died = this.#ended.then(how => Promise.reject(new DaemonError('bench_failed', `a peer's process ended at ${order.type}: ${how}`)))
    try {
      this.#child.send(order)
      const report = await Promise.race([answer, died])
      if (report.type === 'failed') throw new DaemonError('bench_failed', `a peer failed at ${order.type}: ${report.message}`)
      if (report.type !== type) throw new DaemonError('bench_failed', `a peer answered ${report.type} to ${order.type}`)
      return report as ReportOf<T>
    } finally {
      release()
      died.catch(() => {})
    }
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}
