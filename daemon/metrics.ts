// Prometheus metrics, all in one place: counters follow the event log, gauges are read when somebody asks.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { NodeEvent, StatusDocument } from '../protocols/control/messages.ts'
import type { EventLog } from './events.ts'

export interface MetricsComponents {
  events: Pick<EventLog, 'subscribe'>
  status: () => StatusDocument
}

/** Runs that get labels, the first ones; of the rest nothing is shown. Remote peers never become labels. */
const MAX_RUN_LABELS = 32
const PREFIX = 'shoal_'

/** The daemon's metrics; `close` stops listening. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #status: () => StatusDocument
  /** What sets each gauge. */
  readonly #readings: ((status: StatusDocument) => void)[] = []
  readonly #stop: () => void

  constructor(components: MetricsComponents, options: { version: string }) {
    this.#status = components.status
    const registers = [this.#registry]
    collectDefaultMetrics({ register: this.#registry })
    const counter = (name: string, help: string, labelNames: string[] = []) =>
      new Counter({ name: PREFIX + name, help, labelNames, registers })
    const events = counter('events_total', 'Events by type.', ['type'])
    const refused = counter('refused_total', 'Refusals and failures by reason code.', ['code'])
    const rounds = counter('rounds_total', 'Rounds adopted by this node.')
    const restarts = counter('trainer_restarts_total', 'Trainer processes that ended without being asked, by reason code.', ['code'])
    const fallbacks = counter('engine_fallbacks_total', 'Engines that were given up for another.', ['from', 'to'])
    const roundSeconds = new Histogram({
      name: `${PREFIX}round_seconds`,
      help: 'From the adoption of one round to that of the next.',
      buckets: [1, 2, 5, 10, 20, 30, 60, 120, 300, 600],
      registers
    })
    this.#stop = components.events.subscribe(event => {
      events.inc({ type: event.type })
      if (event.type === 'refused') refused.inc({ code: event.code ?? 'unknown' }, 1 + (Number(event.data?.untold) || 0))
      if (event.type === 'trainer' && event.data?.restarts !== undefined) restarts.inc({ code: event.code ?? 'unknown' })
      if (event.code === 'engine_fallback') fallbacks.inc({ from: String(event.data?.from), to: String(event.data?.to) })
      if (event.type === 'round' && isAdoption(event)) {
        rounds.inc()
        const seconds = event.data?.seconds
        if (typeof seconds === 'number' && Number.isFinite(seconds)) roundSeconds.observe(seconds)
      }
    })
    this.#readStatus(options.version)
  }

  /** Prometheus text. */
  text(): Promise<string> {
    // One for all: it holds a row for every peer that is here.
    const status = this.#status()
    for (const read of this.#readings) read(status)
    return this.#registry.metrics()
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  close(): void {
    this.#stop()
    this.#registry.clear()
  }

  #readStatus(version: string): void {
    const registers = [this.#registry]
    const gauge = (name: string, help: string, labelNames: string[], read: (gauge: Gauge, status: StatusDocument) => void) => {
      const made = new Gauge({ name: PREFIX + name, help, labelNames, registers })
      this.#readings.push(status => read(made, status))
    }
    gauge('build_info', 'Always 1; the version is the label.', ['version'], made => made.set({ version }, 1))
    gauge('up_seconds', 'Seconds since the daemon started.', [], (made, { node }) => made.set(node.upSeconds))
    gauge('peers', 'Known peers by state.', ['state'], (made, { peers }) => {
      made.reset()
      for (const { state } of peers) made.inc({ state })
    })
    gauge('peers_distrusted', 'Peers on probation or banned by this node.', ['standing'], (made, { peers }) => {
      made.reset()
      for (const standing of ['probation', 'banned']) made.set({ standing }, 0)
      for (const { standing } of peers) if (standing !== 'good') made.inc({ standing })
    })
    gauge('net_bytes', 'Payload bytes of streams and gossip since the start.', ['dir'], (made, { traffic }) => {
      made.set({ dir: 'sent' }, traffic.sent)
      made.set({ dir: 'received' }, traffic.received)
    })
    gauge('wire_bytes', 'All bytes that passed sockets since the start.', ['dir'], (made, { traffic: { wire } }) => {
      made.set({ dir: 'sent' }, wire.sent)
      made.set({ dir: 'received' }, wire.received)
    })
    gauge('max_upload_bytes_per_second', 'What is sent at most; no value where there is no cap.', [], (made, { traffic }) => {
      if (traffic.maxUpload !== null) made.set(traffic.maxUpload)
    })
    gauge('health', 'Health lines by level.', ['level'], (made, { health }) => {
      made.reset()
      for (const level of ['warn', 'fail']) made.set({ level }, 0)
      for (const { level } of health) made.inc({ level })
    })
    const perRun: [string, string, (run: StatusDocument['runs'][number]) => number | null][] = [
      ['round', 'Round of the adopted head.', run => run.round],
      ['step', 'Inner steps taken.', run => run.step],
      ['loss', 'Mean training loss of the last steps, nats a token.', run => run.loss],
      ['tokens', 'Tokens trained on by this node.', run => run.tokens],
      ['tokens_per_second', 'Training speed of this node.', run => run.tokensPerSecond],
      ['split', '1 while members do not see one another, else 0.', run => (run.split === null ? 0 : 1)],
      ['pending', 'Peers that wait for admission by this node.', run => run.pending],
      ['members', 'Live members.', run => run.members.length],
      ['share', 'Part of the accepted tokens of the newest rounds that is of this node, from 0 to 1.', run => run.share?.share ?? null],
      ['last_accepted_round', 'The newest round whose record took a contribution of this node.', run => run.lastAccepted?.round ?? null]
    ]
    for (const [name, help, read] of perRun) {
      gauge(`run_${name}`, help, ['run'], (made, { runs }) => {
        made.reset()
        for (const run of runs.slice(0, MAX_RUN_LABELS)) {
          const value = read(run)
          if (typeof value === 'number') made.set({ run: run.run }, value)
        }
      })
    }
  }
}

function isAdoption(event: NodeEvent): boolean {
  return event.code === undefined || event.code === 'adopted'
}
