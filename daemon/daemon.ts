// Builds a node out of its parts, in order, and takes it apart in reverse: the one place that knows them all.
import { availableParallelism } from 'node:os'

import { BlockExchange } from '../protocols/blocks/index.ts'
import { CONTROL_SCHEMA } from '../protocols/control/constants.ts'
import type { NodeEvent, ReadyDocument, RunStatus, StatusDocument } from '../protocols/control/messages.ts'
import type { Twin } from '../protocols/identity/index.ts'
import { named } from '../protocols/named.ts'
import { PresenceService } from '../protocols/presence/index.ts'
import { BLOCK_BYTES_MAX, RESERVED_BYTES } from '../storage/index.ts'
import { ApiServer, type NodeFace } from './api/server.ts'
import { ClockWatch } from './clock-watch.ts'
import type { DaemonConfig } from './config.ts'
import { DiskWatch } from './disk-watch.ts'
import { codeOf, DaemonError, isCodedError, reasonOf } from './errors.ts'
import { EventLog } from './events.ts'
import { HealthBoard } from './health.ts'
import { createToken, emptyScratch, openHome, removeDaemonFile, writeDaemonFile } from './home.ts'
import { loadIdentity } from './identity.ts'
import { KnownPeers } from './known-peers.ts'
import { Lifetime } from './lifetime.ts'
import { type Log, type Logger, type LogOptions, openLog } from './logging/log.ts'
import { Metrics } from './metrics.ts'
import { createNode, type RememberedPeer, type ShoalNode } from './node.ts'
import { originOf } from './origins.ts'
import { PeerEvents } from './peer-events.ts'
import { peerRows } from './peer-rows.ts'
import { openRunHost, type RunHostComponents } from './run/index.ts'
import { openNoRuns } from './run/no-runs.ts'
import type { RunHost } from './run/run-host.ts'
import { nextSession } from './session.ts'
import { TRAINER_STOP_TIMEOUT_MS } from './trainer/supervisor.ts'
import { TrustBook } from './trust-book.ts'
import { UploadCap } from './upload-cap.ts'
import { VERSION } from './version.ts'

export interface DaemonOptions {
  /** Where log lines for people go. @default nowhere */
  terminal?: LogOptions['terminal']
  /** Gives up a start that is under way. */
  signal?: AbortSignal
  /** Told of the log once it is open, before anything is begun that may fail outside of every call. */
  onLog?: (logger: Logger) => void
  /** Builds the part that keeps runs; tests put a stand-in here. @default the real one, or none where the node is bootstrap-only */
  openRuns?: (components: RunHostComponents) => RunHost
}

/** What a daemon says when it is ready. */
export interface DaemonReady {
  schema: 1
  peer: string
  addresses: string[]
  /** Base address of the control API. */
  api: string
  home: string
  network: string
  /** The line that joins this mesh from another machine. */
  join: string
}

/** Milliseconds between looks at what health lines depend on. */
const HEALTH_INTERVAL_MS = 2000
/** Milliseconds without any peer before that is worth a line: a first dial and a DHT query have had their time. */
const LONELY_MS = 15_000
/** Milliseconds that the runs may take to stop: their trainers save, all at once, and what is being adopted is finished. */
const RUNS_STOP_TIMEOUT_MS = TRAINER_STOP_TIMEOUT_MS + 10_000

/** A running node. */
export class Daemon {
  readonly ready: DaemonReady
  /** Resolves when the daemon has stopped, by whatever reason. */
  readonly stopped: Promise<void>
  readonly #parts: Parts

  private constructor(parts: Parts, ready: DaemonReady) {
    this.#parts = parts
    this.ready = ready
    this.stopped = parts.stopped
  }

  /** Starts every part in order; where one fails, those before it are stopped again and its error is thrown. `stopping`: the API was asked for the end meanwhile. */
  static async start(config: DaemonConfig, options: DaemonOptions = {}): Promise<Daemon> {
    const parts = new Parts(config)
    try {
      const ready = await parts.start(options)
      return new Daemon(parts, ready)
    } catch (error) {
      const wasAsked = parts.isStopping
      await parts.stop()
      // What a part fails with that was stopped under the start is not what kept it from starting.
      throw wasAsked ? new DaemonError('stopping', 'the daemon was stopped while it started', { cause: error }) : error
    }
  }

  /** Finishes cleanly; safe to call more than once. */
  stop(reason = 'asked to'): Promise<void> {
    return this.#parts.stop(reason)
  }
}

/** The parts while they are being put together and taken apart. */
class Parts {
  readonly config: DaemonConfig
  readonly stopped: Promise<void>
  readonly #lifetime: Lifetime
  readonly #startedAt = Date.now()
  #tellStopped = () => {}
  #stopping: Promise<void> | undefined
  #state: StatusDocument['node']['state'] = 'starting'
  #lonelySince = Date.now()
  #lowDisk: string | null = null
  /** Runs of the configuration that could not be joined, with the reason, until this node is in them. */
  readonly #notJoined = new Map<string, string>()
  log!: Log
  #events!: EventLog
  #health!: HealthBoard
  #node!: ShoalNode
  #presence!: PresenceService
  #trust!: TrustBook
  #blocks!: BlockExchange
  #runs!: RunHost
  readonly #cap: UploadCap | null
  #disk!: DiskWatch

  constructor(config: DaemonConfig) {
    this.config = config
    this.#cap = config.maxUpload === null ? null : new UploadCap(config.maxUpload)
    this.stopped = new Promise(resolve => {
      this.#tellStopped = resolve
    })
    this.#lifetime = new Lifetime({
      onTrouble: (part, error) => this.log?.logger.error({ err: error, part }, 'a part did not stop cleanly')
    })
  }

  async start({ terminal, signal, onLog, openRuns }: DaemonOptions): Promise<DaemonReady> {
    const { config } = this
    const given = signal === undefined ? {} : { signal }
    const store = await openHome(config.home, given)
    this.#lifetime.onStop('store', () => store.close())
    await removeDaemonFile(config.home)
    await emptyScratch(config.home)
    this.log = openLog(config.home, {
      level: config.logLevel,
      maxBytes: config.logMaxBytes,
      files: config.logFiles,
      ...(terminal === undefined ? {} : { terminal })
    })
    this.#lifetime.onStop('log', () => this.log.close())
    onLog?.(this.log.logger)
    const logger = this.log.logger.child({ component: 'daemon' })
    const privateKey = await loadIdentity(config.home)
    const token = await createToken(config.home)
    await this.#openEvents(store, logger)
    signal?.throwIfAborted()

    const { network } = config
    const known = await KnownPeers.open(store, {
      network,
      isAccepted: peer => this.#trust.isAccepted(peer, undefined),
      onError: error => logger.warn({ err: error }, 'peers could not be remembered')
    })
    this.#node = await this.#openNode(privateKey, known.remembered())
    this.#lifetime.onStop('node', () => this.#node.stop())
    await this.#openTrust(store, logger)
    known.watch(this.#node)
    this.#lifetime.onStop('known peers', () => known.stop())
    this.#presence = new PresenceService(
      { node: this.#node },
      {
        session: await nextSession(store.records),
        ...{ network, version: VERSION, agent: `shoal/${VERSION}`, clockOffsetMs: config.clockOffsetMs },
        isRefused: peer => this.#trust.isBanned(peer),
        isKnown: peer => this.#trust.isAccepted(peer, undefined) || this.#node.isConnected(peer)
      }
    )
    this.#presence.start()
    this.#lifetime.onStop('presence', () => this.#presence.stop())
    this.#blocks = new BlockExchange(
      { node: this.#node, store: store.blocks },
      {
        network,
        ...(this.#cap === null ? {} : { pace: this.#cap }),
        isAccepted: peer => this.#trust.isAccepted(peer, undefined),
        originOf,
        onHolderFailure: ({ peer, code, message }) => this.#trust.refused({ type: 'refused', peer, code, message })
      }
    )
    await this.#blocks.start()
    this.#lifetime.onStop('upload cap', () => this.#cap?.stop())
    this.#lifetime.onStop('blocks', () => this.#blocks.stop())
    this.#watchPeers()
    store.blocks.onCorrupt(cid =>
      this.#events.emit({
        type: 'health',
        code: 'block_corrupted',
        message: `the block ${cid} was damaged on disk; it is fetched again`,
        data: { cid }
      })
    )
    signal?.throwIfAborted()

    const components: RunHostComponents = {
      home: config.home,
      privateKey,
      store,
      node: this.#node,
      presence: this.#presence,
      blocks: this.#blocks,
      cap: this.#cap,
      events: this.#events,
      trust: this.#trust,
      // 0 stands for as many as the machine has.
      defaults: { engine: config.engine, threads: config.threads || availableParallelism(), audit: config.audit },
      holdPhase: config.holdPhase
    }
    this.#runs = config.bootstrapOnly ? openNoRuns() : (openRuns ?? openRunHost)(components)
    this.#lifetime.onStop('runs', () => this.#runs.stop(), { timeoutMs: RUNS_STOP_TIMEOUT_MS })
    const ready = await this.#openApi(token, logger)
    await this.#startWatching()
    this.#goOn(signal)
    await this.#runs.start()
    this.#goOn(signal)
    await this.#joinRuns(logger)
    this.#goOn(signal)
    this.#state = 'ready'
    logger.info({ peer: ready.peer, api: ready.api, addresses: ready.addresses }, 'ready')
    return ready
  }

  /** Throws where the start was given up, or the API, which answers before it is done, was asked to end it. */
  #goOn(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted()
    if (this.isStopping) throw new DaemonError('stopping', 'the daemon is stopping')
  }

  get isStopping(): boolean {
    return this.#stopping !== undefined
  }

  stop(reason = 'a failed start'): Promise<void> {
    this.#stopping ??= this.#stop(reason)
    return this.#stopping
  }

  async #stop(reason: string): Promise<void> {
    this.#state = 'stopping'
    this.log?.logger.info({ component: 'daemon', reason }, 'stopping')
    await this.#lifetime.stop()
    this.#tellStopped()
  }

  async #openEvents(store: Awaited<ReturnType<typeof openHome>>, logger: Logger): Promise<void> {
    const { eventsKept } = this.config
    this.#events = await EventLog.open(
      { events: store.records.table('events'), reasons: store.records.table('reasons') },
      {
        kept: eventsKept,
        reasonsKept: eventsKept,
        onError: error => {
          logger.warn({ err: error }, 'an event could not be written')
          if (isCodedError(error) && error.code === 'disk_full') void this.#disk?.look()
        }
      }
    )
    this.#lifetime.onStop('events', () => this.#events.close())
    const eventLogger = this.log.logger.child({ component: 'event' })
    const forget = this.#events.subscribe(event => {
      const { id, type, run, round, peer, code, message } = event
      eventLogger[levelOf(event)]({ id, type, run, round, peer, code }, message)
    })
    this.#lifetime.onStop('event lines', () => void forget())
    this.#health = new HealthBoard({ events: this.#events })
  }

  async #openNode(privateKey: Awaited<ReturnType<typeof loadIdentity>>, remembered: RememberedPeer[]): Promise<ShoalNode> {
    const { network, listen, announce, bootstrap, mdns, profile, origins } = this.config
    return createNode({
      privateKey,
      network,
      listen,
      // An address that somebody chose is not swapped for another one behind their back.
      takenPorts: origins.listen === 'default' || origins.listen === 'profile' ? 'swapped' : 'refused',
      announce,
      bootstrap,
      remembered,
      mdns,
      profile,
      agent: `shoal/${VERSION}`,
      // Whoever calls before the book of trust is open is nobody yet.
      isAccepted: peer => this.#trust?.isAccepted(peer, undefined) ?? false,
      onBytesSent: bytes => this.#cap?.left(bytes),
      onPortTaken: (wanted, addresses) =>
        this.#health.show({
          level: 'ok',
          code: 'port_taken',
          message: `${wanted.join(', ')} was taken by another program, so this node listens on ${addresses[0] ?? 'a free port'}`,
          fix: 'name a port with --listen'
        })
    })
  }

  async #openTrust(store: Awaited<ReturnType<typeof openHome>>, logger: Logger): Promise<void> {
    const components = { self: this.#node.peer, records: store.records, events: this.#events }
    this.#trust = await TrustBook.open(components, {
      onError: error => logger.warn({ err: error }, 'what is known of a peer could not be written')
    })
    const refuseBanned = () => this.#node.refuse(this.#trust.banned())
    refuseBanned()
    this.#trust.onChange((_peer, standing) => {
      if (standing !== 'probation') refuseBanned()
    })
    this.#trust.start()
    this.#lifetime.onStop('trust', () => this.#trust.stop())
  }

  async #openApi(token: string, logger: Logger): Promise<DaemonReady> {
    const { config } = this
    const metrics = new Metrics({ events: this.#events, status: () => this.#status() }, { version: VERSION })
    this.#lifetime.onStop('metrics', () => metrics.close())
    const components = { face: this.#face(), runs: this.#runs, events: this.#events, log: this.log, metrics, config }
    const options = { token, port: config.apiPort, logger: this.log.logger.child({ component: 'api' }) }
    let api: ApiServer
    try {
      api = await ApiServer.listen(components, options)
    } catch (error) {
      if (!isCodedError(error) || error.code !== 'port_taken' || config.origins.apiPort !== 'default') throw error
      api = await ApiServer.listen(components, { ...options, port: 0 })
      logger.info({ wanted: config.apiPort, api: api.url }, "the control API's usual port is taken, a free one is used")
    }
    this.#lifetime.onStop('api', () => api.close())
    await writeDaemonFile(config.home, {
      schema: CONTROL_SCHEMA,
      pid: process.pid,
      api: api.url,
      peer: this.#node.peer,
      startedAt: new Date(this.#startedAt).toISOString(),
      version: VERSION
    })
    this.#lifetime.onStop('daemon file', () => removeDaemonFile(config.home))
    return {
      schema: CONTROL_SCHEMA,
      peer: this.#node.peer,
      addresses: this.#node.addresses(),
      api: api.url,
      home: config.home,
      network: config.network,
      join: this.#joinLine()
    }
  }

  async #startWatching(): Promise<void> {
    const { config } = this
    this.#disk = new DiskWatch(
      {
        onLow: async reason => {
          this.#health.show({
            level: 'fail',
            code: 'disk_full',
            message: `${reason}: training is paused`,
            fix: 'free some space; training goes on by itself'
          })
          this.#lowDisk = reason
          await this.#runs.pauseForDisk(reason)
        },
        onRoom: async reason => {
          this.#lowDisk = null
          this.#health.clear('disk_full', `${reason}: training goes on`)
          await this.#runs.resumeFromDisk()
        },
        onError: error => this.log.logger.warn({ err: error }, 'the free space could not be measured')
      },
      {
        home: config.home,
        floorBytes: config.diskFloor,
        floorIsDefault: ['default', 'profile'].includes(config.origins.diskFloor),
        reservedBytes: RESERVED_BYTES + BLOCK_BYTES_MAX
      }
    )
    await this.#disk.start()
    const forget = this.#events.subscribe(event => {
      if (event.code === 'disk_full' && event.type !== 'health') void this.#disk.refused()
    })
    this.#lifetime.onStop('refused writes', () => void forget())
    this.#lifetime.onStop('disk watch', () => this.#disk.stop())
    const clock = new ClockWatch({
      onGap: gapMs => {
        this.#events.emit({
          type: 'health',
          code: 'clock_gap',
          message: `nothing ran here for ${(gapMs / 1000).toFixed(1)} s`,
          data: { gapMs }
        })
        this.#runs.afterClockGap(gapMs)
      }
    })
    clock.start()
    this.#lifetime.onStop('clock watch', () => clock.stop())
    const timer = setInterval(() => this.#look(), HEALTH_INTERVAL_MS)
    this.#lifetime.onStop('health', () => clearInterval(timer))
  }

  async #joinRuns(logger: Logger): Promise<void> {
    const { run: runs, data } = this.config
    for (const run of runs) {
      // A run that nobody here has yet is looked for as long as the daemon lives; the start does not wait for it.
      this.#runs.seek(run, data.length === 0 ? {} : { data }).catch(error => {
        logger.error({ err: error, run }, 'a run could not be joined')
        const code = codeOf(error)
        this.#notJoined.set(run, reasonOf(error))
        this.#events.emit({ type: 'run', run, code, message: `could not join: ${reasonOf(error)}` })
        this.#look()
      })
    }
  }

  #watchPeers(): void {
    const peerEvents = new PeerEvents({
      events: this.#events,
      isAccepted: peer => this.#trust.isAccepted(peer, undefined),
      foundBy: peer => this.#node.peers().find(row => row.peer === peer)?.foundBy ?? 'gossip'
    })
    this.#lifetime.onStop(
      'peer events',
      this.#presence.onChange(change => peerEvents.tell(change, performance.now()))
    )
    this.#lifetime.onStop(
      'network events',
      this.#node.onEvent(event => {
        const { peer } = event
        if (event.type === 'otherNetwork') {
          const message = `${peer} is of another network and was sent away`
          this.#trust.refused({ type: 'refused', peer, code: 'other_network', message })
        } else if (event.type === 'versionMismatch') {
          const { message, mismatches } = event
          this.#trust.refused({ type: 'refused', peer, code: 'version_mismatch', message, data: { mismatches } })
        } else if (event.type === 'refused') {
          const { code, message, author } = event
          this.#trust.refused({ type: 'refused', peer, code, message, ...(author === undefined ? {} : { data: { author } }) })
        }
      })
    )
  }

  /** Looks at what health lines depend on. */
  #look(): void {
    // A run that was joined or resumed meanwhile must pause, too.
    if (this.#lowDisk !== null)
      this.#runs.pauseForDisk(this.#lowDisk).catch(error => this.log.logger.error({ err: error }, 'runs could not be paused'))
    const present = this.#presence.peers()
    if (present.length > 0) this.#lonelySince = Date.now()
    const runs = this.#runs.list().filter(run => run.state !== 'left')
    const lonely = Date.now() - this.#lonelySince > LONELY_MS && (runs.length > 0 || this.config.bootstrap.length > 0)
    this.#health.check(
      'no_peers',
      lonely ? { level: 'warn', message: 'no other node is in sight', fix: `start one elsewhere with: ${this.#joinLine()}` } : null,
      'other nodes are in sight again'
    )
    const crowd = this.#node.crowd()
    const fix = '`shoal peers` lists who they are; `shoal ban PEER` sends one away'
    this.#health.check(
      'connections_full',
      crowd?.isFull
        ? {
            level: 'warn',
            message: `all ${crowd.connections} connections are taken, ${crowd.ofOrigin} of them by callers from ${crowd.origin}: nobody else can call this node`,
            fix
          }
        : null,
      'others can call this node again'
    )
    this.#health.check(
      'origin_full',
      crowd !== null && !crowd.isFull
        ? {
            level: 'warn',
            message: `${crowd.ofOrigin} callers from ${crowd.origin} that no run has taken work of hold all places of that address: nobody else there can call this node`,
            fix: `${fix}; a node that this one calls needs no such place: \`shoal peers connect ADDRESS\``
          }
        : null,
      'callers from there find a place again'
    )
    const { ownWrong, ownAheadMs, wrongPeers } = this.#presence.clocks(peer => this.#trust.isAccepted(peer, undefined))
    const seconds = Math.round(Math.abs(ownAheadMs ?? 0) / 1000)
    const which = (ownAheadMs ?? 0) > 0 ? 'ahead of' : 'behind'
    this.#health.check(
      'clock_skew',
      ownWrong
        ? {
            level: 'warn',
            message: `this machine's clock is ${seconds} s ${which} the mesh's`,
            fix: 'set the clock, for example by NTP; rounds do not depend on it'
          }
        : null,
      "this machine's clock agrees with the mesh's again"
    )
    const wrong = wrongPeers.map(({ peer }) => peer)
    this.#health.check(
      'peer_clock_skew',
      wrong.length > 0
        ? {
            level: 'warn',
            message: `clocks that differ from the mesh's: ${named(wrong, ', ')}`,
            fix: 'set them; rounds do not depend on it'
          }
        : null,
      'all clocks agree again'
    )
    const mismatches = this.#node.mismatches()
    this.#health.check(
      'version_mismatch',
      mismatches.length > 0
        ? {
            level: 'warn',
            message: named(mismatches),
            fix: 'run the same version of shoal on both; `shoal --version` says which this is'
          }
        : null,
      'every peer in sight speaks what this node speaks'
    )
    const twins = this.#node.twins()
    const own = twins.find(({ peer }) => peer === this.#node.peer)
    this.#health.check(
      'identity_twice',
      own === undefined
        ? null
        : {
            level: 'fail',
            message: `this node's identity lives twice: ${hostsOf(own)}${own.by === null ? '' : ` (${own.by} sees both)`}`,
            fix: 'stop one of them and give it an identity of its own: move its identity.key away'
          },
      "this node's identity is one again"
    )
    const others = twins.filter(({ peer }) => peer !== this.#node.peer)
    this.#health.check(
      'peer_identity_twice',
      others.length === 0
        ? null
        : {
            level: 'warn',
            message: named(others.map(twin => `the identity ${twin.peer} lives twice: ${hostsOf(twin)}`)),
            fix: 'tell who keeps them: one needs an identity of its own'
          },
      'no identity lives twice any more'
    )
    const parted = runs.filter(run => run.split !== null)
    this.#health.check(
      'mesh_split',
      parted.length > 0
        ? {
            level: 'warn',
            message: parted.map(run => `${run.name}: ${run.split}`).join('; '),
            fix: 'see whether those machines run and which network lies between; both sides go on where each has its quorum, and the heavier stays when they meet'
          }
        : null,
      'the members of every run see one another again'
    )
    const asked = runs.filter(run => run.pending > 0)
    this.#health.check(
      'admission_pending',
      asked.length > 0
        ? {
            level: 'warn',
            message: asked.map(run => `${run.name}: ${run.pending} wait for admission by this node`).join('; '),
            fix: 'shoal run pending RUN shows who; answer with: shoal run admit RUN PEER or shoal run refuse RUN PEER'
          }
        : null,
      'nobody waits for admission by this node any more'
    )
    const fallen = runs.filter(run => run.trainer.givenUp.length > 0)
    this.#health.check(
      'engine_fallback',
      fallen.length > 0
        ? {
            level: fallen.some(run => run.state === 'paused') ? 'fail' : 'warn',
            message: fallen.map(fallbackOf).join('; '),
            fix: 'once the cause is gone: shoal run resume RUN'
          }
        : null,
      'every run computes with the engine that it should'
    )
    const failed = runs.filter(run => run.state === 'failed')
    this.#health.check(
      'run_failed',
      failed.length > 0
        ? { level: 'fail', message: failed.map(run => `${run.name}: ${run.reason ?? 'failed'}`).join('; '), fix: 'shoal logs says more' }
        : null,
      'no run is in failure any more'
    )
    for (const { run, state } of runs) if (state !== 'joining') this.#notJoined.delete(run)
    const notJoined = [...this.#notJoined].map(([run, reason]) => `the run ${run} could not be joined: ${reason}`)
    this.#health.check(
      'join_failed',
      notJoined.length > 0 ? { level: 'fail', message: named(notJoined), fix: 'once the cause is gone: shoal run join RUN' } : null,
      'this node is in every run that it was told to join'
    )
    this.#health.tellWaiting()
  }

  #face(): NodeFace {
    return {
      id: () => ({
        peer: this.#node.peer,
        addresses: this.#node.addresses(),
        network: this.config.network,
        home: this.config.home,
        version: VERSION,
        join: this.#joinLine()
      }),
      status: () => this.#status(),
      peers: () => this.#peers(),
      connect: (address, { signal }) => this.#node.connect(address, { signal }),
      ban: (peer, options) => this.#trust.ban(peer, options),
      unban: peer => this.#trust.unban(peer),
      standing: peer => this.#trust.row(peer),
      ready: () => this.#readiness(),
      stopping: () => this.#state === 'stopping',
      shutdown: () => {
        // A moment later, so that the answer is out before the API closes.
        setTimeout(() => void this.stop('asked by the control API'), 20)
      }
    }
  }

  #status(): StatusDocument {
    return {
      schema: CONTROL_SCHEMA,
      node: {
        peer: this.#node.peer,
        upSeconds: Math.round((Date.now() - this.#startedAt) / 1000),
        version: VERSION,
        network: this.config.network,
        state: this.#state
      },
      runs: this.#runs.list(),
      peers: this.#peers(),
      traffic: { ...this.#node.traffic(), wire: this.#node.wire(), maxUpload: this.config.maxUpload },
      health: this.#health.rows()
    }
  }

  #peers() {
    return peerRows(this.#node.peers(), this.#presence.peers(), this.#trust.distrusted(), Date.now())
  }

  #readiness(): Omit<ReadyDocument, 'schema'> {
    const failed = [
      ...(this.#state === 'ready' ? [] : [this.#state]),
      ...(this.#node.addresses().length === 0 ? ['listening'] : []),
      ...(this.#disk?.low ? ['disk'] : [])
    ]
    return { ready: failed.length === 0, failed }
  }

  #joinLine(): string {
    const { network, profile } = this.config
    const address = this.#node.addresses()[0] ?? ''
    const extra = (network === 'shoal' ? '' : ` --network ${network}`) + (profile === 'test' ? ' --profile test' : '')
    return `shoal daemon${extra} --bootstrap ${address}`
  }
}

/** Phases are for testers; what was refused, died or makes the node unwell is for whoever keeps it. */
function levelOf({ type, code, data }: NodeEvent): 'debug' | 'info' | 'warn' {
  if (type === 'phase') return 'debug'
  if (type === 'health') return data?.level === 'ok' ? 'info' : 'warn'
  return type === 'refused' || (type === 'trainer' && code !== undefined) ? 'warn' : 'info'
}

function fallbackOf({ name, state, engine, trainer: { givenUp } }: RunStatus): string {
  const reasons = givenUp.map(given => `${given.engine} was given up (${given.code}: ${given.reason})`).join(', ')
  return `${name}: ${reasons}; ${state === 'paused' ? 'training is paused' : `it computes with ${engine ?? 'another'}`}`
}

function hostsOf({ whos }: Twin): string {
  return whos.map(({ host, addresses }) => `on ${host} (${addresses.join(', ') || 'address unknown'})`).join(' and ')
}
