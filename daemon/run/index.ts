// The runs of this node: created, joined by id alone, taken up again after a restart, left; and the checkpoints that they leave.
import { createHash } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { freemem } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Candidate, Invitation } from '../../protocols/admission/index.ts'
import {
  AdmissionService,
  decodeInvitation,
  type InvitationText,
  isAdmissionRefusal,
  isInvitationText,
  isUsable
} from '../../protocols/admission/index.ts'
import type { BlockExchange } from '../../protocols/blocks/index.ts'
import type {
  CandidateRow,
  CheckpointRow,
  CreateRunRequest,
  ExportCheckpointDocument,
  InvitationRow,
  JoinRunRequest,
  RoundRow,
  RunStatus
} from '../../protocols/control/messages.ts'
import type { PresenceChange, PresenceService } from '../../protocols/presence/index.ts'
import { RoundsGossip } from '../../protocols/rounds/service.ts'
import { NEWCOMER_ASKS, SyncService } from '../../protocols/sync/index.ts'
import { OpinionsGossip, signOpinion } from '../../protocols/trust/index.ts'
import { makeFolder, type Store, writeFileAtomic } from '../../storage/index.ts'
import { ENGINE_NAMES } from '../../training/engines/engine.ts'
import { parameterCount } from '../../training/models/sizes.ts'
import { Arithmetic } from '../arithmetic/arithmetic.ts'
import { exportFolder } from '../checkpoints/export.ts'
import { requireCorpora } from '../corpora.ts'
import { codeOf, DaemonError, reasonOf } from '../errors.ts'
import type { EventLog } from '../events.ts'
import { scratchFolder } from '../home.ts'
import { type Manifest, openManifest, type SigningKey } from '../manifest.ts'
import type { ShoalNode } from '../node.ts'
import { originOf } from '../origins.ts'
import { trainerFolder } from '../trainer/delta-files.ts'
import type { TrainerStart } from '../trainer/messages.ts'
import type { Say, TrustBook } from '../trust-book.ts'
import type { UploadCap } from '../upload-cap.ts'
import { AdmissionDesk, type InvitingRun } from './admission-desk.ts'
import { Admittance, forgetAdmittance, keepInvitation, needsGrant } from './admittance.ts'
import { AskedAnchors } from './asked-anchors.ts'
import { Audits, type AuditsComponents } from './audits.ts'
import { DamagedBlocks } from './damaged-blocks.ts'
import { Fetcher } from './fetching.ts'
import { readFiles } from './file-bundle.ts'
import { createRun } from './genesis.ts'
import { HeldCheckpoints } from './held-checkpoints.ts'
import { keptRoots } from './kept-roots.ts'
import { type Head, Ledger, type Membership } from './ledger.ts'
import { RunMember, trains } from './member.ts'
import { fetchNamedBodies, type NamedBody, namedBodies, tooLarge } from './named-bodies.ts'
import { Phases } from './phases.ts'
import { type ForgettingBlocks, Retention } from './retention.ts'
import type { AdmissionHost, RunHost } from './run-host.ts'
import { rulesOf } from './run-rules.ts'
import { SEEK_MAX_MS, Seek } from './seek.ts'
import { SplitWatch } from './split-watch.ts'
import { chooseTold, fetchAnchorLike, type ToldHead } from './told-heads.ts'

/** How long a run that nobody here knows is looked for, in ms: a DHT query takes seconds, a stale provider record costs one dial timeout. */
const FIND_TIMEOUT_MS = 30_000
/** Between two searches for members of a joined run that has none in sight, in ms. */
const FIND_AGAIN_MS = 15_000
/** How long a whole anchor or corpus may take to fetch, in ms; a fetch that broke off goes on where it stood. */
const BULK_TIMEOUT_MS = 30 * 60_000
/** Between two questions to inviters whose operators have not decided, in ms: what an admitted newcomer waits at most. */
const ASK_AGAIN_MS = 5_000
/** How long an invitation is good where nobody says otherwise, in ms. */
const INVITATION_MS = 7 * 24 * 60 * 60_000
/** What is said of a run that is known here and not joined. */
const NOT_IN_IT = 'this node is not in it'
/** What a trainer holds for each parameter: local, base, two moments, gradient, and as much again for what the graph computes in between. */
const MEMORY_PER_PARAMETER = 8
/** What a trainer holds before any parameter, bytes. */
const MEMORY_BASE_BYTES = 300 * 1024 * 1024

export interface RunHostComponents {
  home: string
  privateKey: SigningKey
  store: Store
  node: ShoalNode
  presence: PresenceService
  blocks: BlockExchange
  /** Null: this node sends as fast as it can. */
  cap: UploadCap | null
  events: EventLog
  trust: TrustBook
  /** Used where a join says nothing, as they are at each start. */
  defaults: { engine: string; threads: number; audit: number }
  /** `phase@round` in which this daemon stays, for tests that kill it there. */
  holdPhase: string | null
}

interface Joined {
  manifest: Manifest
  membership: Membership
  member: RunMember
  gossip: RoundsGossip
  opinions: OpinionsGossip
  ledger: Ledger
  retention: Retention
  split: SplitWatch
}

/** Builds the part of the daemon that keeps runs; nothing happens before `start`. */
export function openRunHost(components: RunHostComponents): RunHost {
  return new Runs(components)
}

class Runs implements RunHost {
  readonly #c: RunHostComponents
  readonly #arithmetic: Arithmetic
  readonly #fetcher: Fetcher
  readonly #damaged: DamagedBlocks
  /** Of what `checkpoint fetch` brings until it is whole. */
  readonly #fetched: Retention
  readonly #asked: AskedAnchors
  readonly #held: HeldCheckpoints
  readonly #sync: SyncService
  readonly #desk: AdmissionDesk
  readonly #asking: AdmissionService
  readonly #joined = new Map<string, Joined>()
  /** Runs that are on their way in or could not be opened: what to say of them. */
  readonly #others = new Map<string, { name: string; state: RunStatus['state']; reason: string | null }>()
  /** Runs that are looked for until somebody has them. */
  readonly #seeks = new Map<string, Seek>()
  /** What is done to a run is done one after the other, by run: settles with the last of it. */
  readonly #turns = new Map<string, Promise<void>>()
  /** Joins that wait or are under way, to be given up where the run is left. */
  readonly #joins = new Map<string, Set<AbortController>>()
  readonly #stopping = new AbortController()
  #finder: NodeJS.Timeout | null = null
  #stopListening: (() => void) | null = null
  #stopJudging: (() => void) | null = null

  constructor(components: RunHostComponents) {
    this.#c = components
    this.#arithmetic = new Arithmetic({ home: components.home }, { onCorrupt: cid => this.#corrupt(cid) })
    this.#fetcher = new Fetcher(components.blocks, components.store.blocks)
    this.#damaged = new DamagedBlocks({
      fetch: cid => this.#fetcher.block(cid, { from: () => this.#everybody(), signal: this.#stopping.signal, timeoutMs: FIND_TIMEOUT_MS }),
      events: components.events
    })
    this.#fetched = this.#retention(null, null)
    this.#asked = new AskedAnchors(this.#fetched)
    this.#held = new HeldCheckpoints(components.store, this.#fetcher)
    // The daemon says of these; what the arithmetic thread finds is said here.
    components.store.blocks.onCorrupt(cid => this.#damaged.found(cid))
    this.#sync = new SyncService(
      {
        node: components.node,
        source: {
          head: async run => this.#joined.get(run)?.member.told() ?? null,
          chain: async (run, fromRound, limit) => (await this.#joined.get(run)?.ledger.chain(fromRound, limit)) ?? null,
          isAccepted: (peer, run) => this.#joined.get(run)?.member.isAccepted(peer) === true
        },
        originOf,
        pace: components.cap ?? undefined
      },
      { network: components.node.network }
    )
    this.#desk = new AdmissionDesk({
      self: components.node.peer,
      privateKey: components.privateKey,
      store: components.store,
      events: components.events,
      runOf: run => this.#inviting(run),
      isBanned: peer => components.trust.isBanned(peer),
      ask: (peer, request) => this.#asking.ask(peer, request, { signal: this.#stopping.signal })
    })
    this.#asking = new AdmissionService(
      { node: components.node, answer: (peer, request, address) => this.#desk.answer(peer, request, address) },
      { network: components.node.network }
    )
  }

  async start(): Promise<void> {
    await this.#sync.start()
    await this.#asking.start()
    this.#stopListening = this.#c.presence.onChange(change => this.#present(change))
    this.#stopJudging = this.#c.trust.onChange((peer, standing) => {
      for (const { member } of this.#joined.values()) member.judged(peer, standing)
    })
    this.#c.trust.isAccepted = (peer, run) => {
      const runs = run === undefined ? [...this.#joined.values()] : [this.#joined.get(run)]
      return runs.some(joined => joined?.member.isAccepted(peer) === true)
    }
    this.#c.trust.heads = () => new Map([...this.#joined].map(([run, { member }]) => [run, member.head.round]))
    this.#c.trust.onSay = saying => void this.#say(saying).catch(() => {})
    this.#finder = setInterval(() => {
      void this.#findMembers()
      void this.#damaged.repair()
      this.#asked.letOldGo()
      void this.#desk.tellRevocations().catch(() => {})
    }, FIND_AGAIN_MS)
    const memberships: Membership[] = []
    for await (const [, membership] of this.#memberships().entries()) memberships.push(membership)
    await Promise.all(memberships.map(membership => this.#takeUp(membership)))
    void this.#findMembers()
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new DaemonError('stopping', 'The daemon is stopping'))
    if (this.#finder !== null) clearInterval(this.#finder)
    this.#stopListening?.()
    this.#stopJudging?.()
    for (const seek of this.#seeks.values()) seek.stop()
    await Promise.all(this.#turns.values())
    await Promise.all([...this.#joined.values()].map(({ member }) => member.stop()))
    for (const { gossip, opinions, split } of this.#joined.values()) {
      gossip.stop()
      opinions.stop()
      split.stop()
    }
    this.#joined.clear()
    await this.#asking.stop()
    await this.#sync.stop()
    await this.#arithmetic.close()
  }

  async create(spec: CreateRunRequest['spec'], options: { baseDir?: string; file?: string; signal?: AbortSignal }): Promise<string> {
    const { store, node, privateKey, home } = this.#c
    const components = { self: node.peer, privateKey, blocks: store.blocks, arithmetic: this.#arithmetic, scratch: scratchFolder(home) }
    const { run, manifest } = await createRun(spec, options, components)
    node.provide(run)
    this.#c.events.emit({ type: 'run', run, message: `created run ${manifest.name}`, data: { name: manifest.name } })
    return run
  }

  async join(run: string, options: JoinRunRequest & { signal?: AbortSignal }): Promise<void> {
    const left = new AbortController()
    const joins = this.#joins.get(run) ?? new Set()
    this.#joins.set(run, joins.add(left))
    const signal = options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal])
    try {
      await this.#inTurn(run, () => this.#join(run, options, signal))
    } catch (error) {
      left.signal.throwIfAborted()
      throw error
    } finally {
      joins.delete(left)
      if (joins.size === 0) this.#joins.delete(run)
    }
  }

  async seek(run: string, options: JoinRunRequest): Promise<void> {
    const known = await this.#memberships().get(run)
    if (known !== undefined) return this.#tellIgnored(known, options)
    if (this.#seeks.has(run) || this.#stopping.signal.aborted) return
    const seek = new Seek({
      join: ({ signal }) => this.join(run, { ...options, signal }),
      members: this.#membersOf(run),
      onWaiting: ({ code, message }) => {
        this.#c.events.emit({ type: 'run', run, code, message: `not joined yet, tried again for as long as the daemon runs: ${message}` })
      }
    })
    this.#seeks.set(run, seek)
    try {
      await seek.run()
    } finally {
      this.#forgetSeek(run, seek)
    }
  }

  #tellIgnored({ run, data }: Membership, asked: JoinRunRequest): void {
    if (asked.data === undefined || isDeepStrictEqual(asked.data, data)) return
    const message = `--data is ignored: the run was joined before, with ${data.join(', ') || 'no text'}; to change that, leave it and join again`
    this.#c.events.emit({ type: 'run', run, message })
  }

  async #join(run: string, options: JoinRunRequest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#joined.has(run))
      throw new DaemonError('already_joined', `This node is in run ${run} already`, { hint: 'Leave it first to change how it takes part' })
    const membership: Membership = {
      run,
      train: options.train ?? true,
      paused: false,
      data: options.data ?? [],
      ...(options.engine === undefined ? {} : { engine: options.engine }),
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      ...(options.audit === undefined ? {} : { audit: options.audit }),
      joinedAt: new Date().toISOString()
    }
    if (membership.train) {
      if (membership.engine !== undefined) requireEngine(membership.engine)
      await requireCorpora(membership.data)
    }
    if (options.invitation !== undefined) await this.#keepInvitation(run, options.invitation, options.name ?? null)
    const memberships = this.#memberships()
    const before = await memberships.get(run)
    const shown = this.#others.get(run)
    let isNoted = false
    this.#others.set(run, { name: shown?.name ?? run, state: 'joining', reason: this.#seeks.get(run)?.reason ?? null })
    try {
      // Before anything runs: a run that trains and is gone after a restart would be worse than none.
      await this.#open(membership, signal, async () => {
        await memberships.put(run, membership, { sync: true })
        isNoted = true
      })
    } catch (error) {
      if (codeOf(error) === 'admission_pending') {
        await this.#waitForAdmission(membership, error)
        return
      }
      this.#others.delete(run)
      if (shown !== undefined) this.#others.set(run, shown)
      if (!isNoted) {
        if (needsAdmission(error)) await forgetAdmittance(this.#c.store, run)
        throw error
      }
      const takenBack = before === undefined ? memberships.delete(run, { sync: true }) : memberships.put(run, before, { sync: true })
      await takenBack.catch((failure: unknown) => {
        const message = `the join that failed could not be taken back, so the next start tries it again: ${reasonOf(failure)}`
        this.#c.events.emit({ type: 'run', run, code: codeOf(failure), message })
      })
      throw error
    }
    // One that was looked for is found.
    this.#seeks.get(run)?.stop()
    this.#c.events.emit({ type: 'run', run, message: `joined run ${this.#joined.get(run)!.manifest.name}` })
    void this.#findMembers()
  }

  /** Joined as far as this node can: it asks again and again, also after a restart, until an inviter has said yes or no. */
  async #waitForAdmission(membership: Membership, error: unknown): Promise<void> {
    const { run } = membership
    await this.#memberships().put(run, membership, { sync: true })
    this.#others.set(run, { name: this.#others.get(run)?.name ?? run, state: 'joining', reason: reasonOf(error) })
    this.#seeks.get(run)?.stop()
    void this.#takeUp(membership, { code: 'admission_pending', message: reasonOf(error) })
  }

  async #keepInvitation(run: string, text: string, name: string | null): Promise<void> {
    const invitation = decodeInvitation(text)
    if (invitation.run !== run) throw new DaemonError('bad_invitation', `The invitation is for run ${invitation.run}, not for ${run}`)
    await keepInvitation(this.#c.store, invitation, name)
    await this.#meetInviter(invitation)
  }

  /** A node that knows nobody finds the run through whoever invited it. */
  async #meetInviter({ addresses, inviter }: InvitationText): Promise<void> {
    for (const address of addresses) {
      if (this.#c.node.isConnected(inviter)) return
      const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(MEET_TIMEOUT_MS)])
      await this.#c.node.connect(address, { signal }).catch(() => {})
    }
  }

  /** Opens a run that was joined before, and where that fails again and again. Resolves after the first try. */
  #takeUp(membership: Membership, failed?: { code: string; message: string }): Promise<void> {
    const { run } = membership
    if (this.#stopping.signal.aborted) return Promise.resolve()
    return new Promise(tried => {
      const seek = new Seek({
        join: ({ signal }) => this.#inTurn(run, () => this.#reopen(membership, signal)).finally(tried),
        // It was joined once: whatever keeps it out now, a text on a disk that is not there or a block that nobody has, may be mended.
        passes: () => true,
        members: this.#membersOf(run),
        ...(failed === undefined ? {} : { failed }),
        maxMs: code => (code === 'admission_pending' ? ASK_AGAIN_MS : SEEK_MAX_MS),
        onWaiting: ({ code, message }) => {
          this.#c.events.emit({ type: 'run', run, code, message: `the run could not be taken up, and is tried again: ${message}` })
        }
      })
      this.#seeks.set(run, seek)
      void seek.run().finally(() => this.#forgetSeek(run, seek))
    })
  }

  async #reopen(membership: Membership, signal: AbortSignal): Promise<void> {
    const { run } = membership
    // It may have been left since.
    if (signal.aborted || this.#joined.has(run) || (await this.#memberships().get(run)) === undefined) return
    try {
      await this.#open(membership, signal)
    } catch (error) {
      const state = codeOf(error) === 'admission_pending' ? 'joining' : 'failed'
      if (!signal.aborted) this.#others.set(run, { name: this.#others.get(run)?.name ?? run, state, reason: reasonOf(error) })
      throw error
    }
    void this.#findMembers()
  }

  #forgetSeek(run: string, seek: Seek): void {
    if (this.#seeks.get(run) === seek) this.#seeks.delete(run)
  }

  /** Runs a task after all that was asked of this run before it. */
  #inTurn<T>(run: string, task: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(run) ?? Promise.resolve()).then(task)
    const settled: Promise<void> = turn.then(
      () => {},
      () => {}
    )
    this.#turns.set(run, settled)
    void settled.then(() => {
      if (this.#turns.get(run) === settled) this.#turns.delete(run)
    })
    return turn
  }

  async leave(run: string): Promise<RunStatus> {
    const seek = this.#seeks.get(run)
    const joins = this.#joins.get(run)
    // What is under way ends first, and it ends now.
    seek?.stop()
    for (const join of joins ?? []) join.abort(new DaemonError('not_joined', `Run ${run} was left while it was being joined`))
    return this.#inTurn(run, () => this.#leave(run, seek !== undefined || joins !== undefined))
  }

  async #leave(run: string, wasUnderWay: boolean): Promise<RunStatus> {
    const joined = this.#joined.get(run)
    const memberships = this.#memberships()
    const isMember = (await memberships.get(run)) !== undefined
    if (joined === undefined && !isMember && !wasUnderWay) {
      throw new DaemonError('not_joined', `This node is not in run ${run}`, { hint: '`shoal run ls` lists the runs that it is in' })
    }
    const name = joined?.manifest.name ?? this.#others.get(run)?.name ?? run
    // First what a restart reads: where the disk refuses this, nothing has changed.
    if (isMember) await memberships.delete(run, { sync: true })
    await forgetAdmittance(this.#c.store, run)
    this.#others.delete(run)
    if (joined !== undefined) {
      await this.#close(joined)
      this.#c.node.stopProviding(run)
    }
    this.#c.events.emit({ type: 'run', run, message: 'left the run' })
    return emptyStatus(run, { name, state: 'left', reason: NOT_IN_IT })
  }

  async #close({ member, gossip, opinions, split, membership: { run } }: Joined): Promise<void> {
    this.#joined.delete(run)
    await member.stop()
    gossip.stop()
    opinions.stop()
    split.stop()
    this.#c.presence.removeRun(run)
  }

  /** The history of a run has become another than its member knows, or is to: what was learned of it after a round is forgotten, and the run is taken up with what is left. */
  #beginAnew(run: string, after: number | null): void {
    void this.#inTurn(run, async () => {
      const joined = this.#joined.get(run)
      if (joined === undefined || this.#stopping.signal.aborted) return
      this.#others.set(run, { name: joined.manifest.name, state: 'joining', reason: 'its history is being read anew' })
      // Whatever fails, the run is taken up: what is left on disk is a history without a gap.
      try {
        await this.#close(joined)
        if (after !== null) await this.#forgetLearned(joined, after)
      } catch (error) {
        const message = `the run is begun anew, with what could not be forgotten of it: ${reasonOf(error)}`
        this.#c.events.emit({ type: 'run', run, code: codeOf(error), message })
      }
      void this.#takeUp(joined.membership)
    })
  }

  /** Its records and contributions go, too: nobody else asks for what lost. */
  async #forgetLearned({ ledger }: Joined, after: number): Promise<void> {
    for await (const { record, contributions } of ledger.forgetLearned(after))
      for (const cid of [record, ...contributions.map(part => part.cid)]) await this.#c.store.blocks.delete(cid)
  }

  async pause(run: string): Promise<void> {
    // Not behind a join that lasts: whoever asked would be gone when it was carried out.
    this.#known(run)
    await this.#inTurn(run, async () => {
      await this.#setPaused(run, true)
      this.#known(run).member.pause('paused by the operator')
    })
  }

  async resume(run: string): Promise<void> {
    this.#known(run)
    await this.#inTurn(run, async () => {
      await this.#setPaused(run, false)
      const { member } = this.#known(run)
      member.resume()
      member.tryEnginesAgain()
    })
  }

  async #setPaused(run: string, paused: boolean): Promise<void> {
    const { membership } = this.#known(run)
    await this.#memberships().put(run, { ...membership, paused }, { sync: true })
    membership.paused = paused
  }

  #statusOf({ member, split, membership: { run } }: Joined): RunStatus {
    return { ...member.status(), split: split.sentence, pending: this.#desk.pending(run) }
  }

  list(): RunStatus[] {
    const joined = [...this.#joined.values()].map(each => this.#statusOf(each))
    const others = [...this.#others].map(([run, facts]) => emptyStatus(run, facts))
    const sought = [...this.#seeks]
      .filter(([run]) => !this.#joined.has(run) && !this.#others.has(run))
      .map(([run, { reason }]) => emptyStatus(run, { name: run, state: 'joining', reason }))
    return [...joined, ...others, ...sought]
  }

  async inspect(run: string): Promise<{ manifest: Manifest; parameters: number; status: RunStatus }> {
    const joined = this.#joined.get(run)
    if (joined !== undefined) return described(joined.manifest, this.#statusOf(joined))
    const bytes = await this.#c.store.blocks.get(run)
    if (bytes === undefined) throw unknownRun(run)
    const { manifest } = await openManifest(bytes)
    const known = this.list().find(row => row.run === run)
    return described(manifest, known ?? emptyStatus(run, { name: manifest.name, state: 'left', reason: NOT_IN_IT }))
  }

  async rounds(run: string, limit: number): Promise<RoundRow[]> {
    return (await this.#known(run).ledger.rounds(limit)).map(({ parent: _, contributions: __, ...row }) => row)
  }

  checkpoints(): Promise<CheckpointRow[]> {
    return this.#held.rows()
  }

  async fetchCheckpoint(run: string, round: number | undefined, { signal }: { signal?: AbortSignal }): Promise<CheckpointRow> {
    const within = this.#signal(signal)
    const wasHere = await this.#c.store.blocks.has(run)
    const { manifest } = await this.#manifest(run, within)
    const [genesis, ...files] = namedBodies(manifest)
    const head = await this.#headOf(run, manifest, round, within)
    const options = { from: this.#holders(run), signal: within, timeoutMs: BULK_TIMEOUT_MS, totalBytesMax: genesis!.bytesMax }
    await this.#asked.fetch(run, head.anchor, within, async telling => {
      const fetchAnchor = (): Promise<void> =>
        fetchAnchorLike(manifest.genesis.anchor, head.anchor, this.#fetcher, { ...options, ...telling }).catch((cause: unknown) => {
          if (codeOf(cause) === 'message_too_large') throw tooLarge(genesis!, cause)
          if (codeOf(cause) !== 'block_unavailable') throw cause
          throw new DaemonError(
            'block_unavailable',
            `Nobody reachable has the whole anchor of round ${head.round} of run ${manifest.name}`,
            {
              hint: `Members keep those of the last ${manifest.strategy.keepRounds} rounds; without --round the newest is fetched`,
              cause
            }
          )
        })
      await fetchAnchor()
      await this.#fetchNamed(run, files, wasHere, within)
      const heads = this.#c.store.records.table<Head>('heads')
      const key = `${run}/${head.round}`
      await heads.put(key, head, { sync: true })
      // What was forgotten before that may have had blocks in common with it. What is forgotten from here on spares them.
      await Promise.all([...this.#joined.values()].map(({ retention }) => retention.settled))
      if (await this.#fetcher.isWhole(head.anchor)) return
      await fetchAnchor().catch(async error => {
        await heads.delete(key, { sync: true })
        throw error
      })
    })
    this.#c.events.emit({ type: 'checkpoint', run, round: head.round, message: `fetched the checkpoint of round ${head.round}` })
    return this.#held.row({ run, ...head })
  }

  async exportCheckpoint(
    run: string,
    round: number | undefined,
    directory: string,
    { signal }: { signal?: AbortSignal }
  ): Promise<Omit<ExportCheckpointDocument, 'schema'>> {
    const bytes = await this.#c.store.blocks.get(run)
    if (bytes === undefined) throw unknownRun(run)
    const { manifest } = await openManifest(bytes)
    const head = await this.#held.chosen(run, manifest, round)
    const scratch = scratchFolder(this.#c.home)
    await mkdir(scratch, { recursive: true })
    const parametersFile = join(scratch, `export-${process.pid}-${performance.now()}.safetensors`)
    try {
      await this.#arithmetic.anchorToSafetensors({ anchor: head.anchor, file: parametersFile })
      const files = await exportFolder(
        {
          parametersFile,
          model: manifest.model,
          tokenizer: { kind: manifest.tokenizer.kind, json: await this.#tokenizerJson(manifest) },
          facts: { run, name: manifest.name, ...head },
          directory
        },
        { signal: this.#signal(signal) }
      )
      this.#c.events.emit({ type: 'checkpoint', run, round: head.round, message: `exported round ${head.round} to ${directory}` })
      return { directory, run, round: head.round, anchor: head.anchor, files }
    } finally {
      await rm(parametersFile, { force: true })
    }
  }

  async pauseForDisk(reason: string): Promise<void> {
    // What the operator paused keeps that reason: room on the disk would not take it back.
    for (const { member, membership } of this.#joined.values()) if (!membership.paused) member.pause(reason)
  }

  async resumeFromDisk(): Promise<void> {
    for (const { member, membership } of this.#joined.values()) if (!membership.paused) member.resume()
  }

  afterClockGap(): void {
    for (const { member } of this.#joined.values()) member.afterClockGap()
  }

  // ---- joining

  /** @param commit called when all is here that a member needs, before it begins */
  async #open(membership: Membership, signal: AbortSignal, commit: () => Promise<void> = async () => {}): Promise<void> {
    try {
      await this.#openMember(membership, signal, commit)
    } catch (error) {
      // A member that had begun may have told of itself.
      this.#c.presence.removeRun(membership.run)
      throw error
    }
  }

  async #openMember(membership: Membership, signal: AbortSignal, commit: () => Promise<void>): Promise<void> {
    const { run } = membership
    const within = this.#signal(signal)
    const wasHere = await this.#c.store.blocks.has(run)
    const { manifest } = await this.#manifest(run, within)
    const shown = this.#others.get(run)
    const joining = { state: 'joining', reason: 'fetching the genesis and the tokenizer' } as const
    // One that failed is in failure until it is open: it may be tried every minute.
    this.#others.set(run, { ...(shown?.state === 'failed' ? shown : joining), name: manifest.name })
    if (membership.train) this.#checkJoin(manifest, membership)
    const admittance = membership.train ? await this.#admittance(run, manifest, within) : null
    await this.#fetchNamed(run, namedBodies(manifest), wasHere, within)
    const stages = await this.#fetcher.stages(manifest.genesis.anchor)
    const trainable = stages.map(({ name, tensors }) => ({
      name,
      tensors: tensors.map(tensor => tensor.name).filter(tensor => !tensor.startsWith('outer.'))
    }))
    const directory = join(this.#c.home, 'runs', run)
    await makeFolder(directory)
    const tokenizerJson = await this.#tokenizerJson(manifest)
    const sources = await this.#sources(manifest, membership, directory)
    const { store, node, privateKey, events, presence } = this.#c
    const ledger = new Ledger(store, run)
    const retention = this.#retention(run, manifest.genesis.anchor)
    const gossip = new RoundsGossip({ node }, { network: node.network, run })
    within.throwIfAborted()
    await commit()
    const member = await RunMember.open({
      run,
      self: node.peer,
      manifest,
      membership,
      directory,
      stages: trainable,
      anchorBytes: stages.flatMap(({ tensors }) => tensors).reduce((sum, { size }) => sum + size, 0),
      privateKey,
      blocks: store.blocks,
      ledger,
      fetcher: this.#fetcher,
      arithmetic: this.#arithmetic,
      gossip,
      events,
      phases: new Phases(events, run, this.#c.holdPhase),
      trainerStart: (anchorFile, firstStep, contributors) =>
        trainerStart({
          ...{ manifest, membership, defaults: this.#c.defaults, directory, tokenizerJson, sources },
          ...{ self: node.peer, anchorFile, firstStep, contributors }
        }),
      livePeers: () => this.#membersOf(run),
      announce: facts => presence.setRun({ run, ...facts }),
      syncHeads: signal => this.#sync.heads(run, this.#membersOf(run), { signal }),
      chain: (peer, fromRound, limit, signal) => this.#sync.chain(peer, run, fromRound, limit, { signal }),
      beginAnew: after => this.#beginAnew(run, after),
      retention,
      admittance,
      refused: facts => this.#c.trust.refused(facts),
      audits: this.#audits({ run, manifest, membership, tokenizerJson, sources })
    })
    try {
      gossip.start({
        onContribution: (cid, bytes, contribution) => member.heardContribution(cid, bytes, contribution),
        onRecord: (cid, bytes, record) => member.heardRecord(cid, bytes, record),
        onHolding: (peer, contributions) => member.heardHolding(peer, contributions)
      })
    } catch (error) {
      await member.stop()
      throw error
    }
    for (const { peer, standing } of this.#c.trust.distrusted()) member.judged(peer, standing)
    const opinions = new OpinionsGossip({ node }, { network: node.network, run })
    // Those are passed on that count.
    opinions.start(opinion => this.#c.trust.heardOpinion(opinion, member.electorateOf(opinion)))
    const split = new SplitWatch({
      ...{ run, self: node.peer, ledger, events },
      live: () => presence.membersOf(run),
      branchOf: facts => member.branchOf(facts),
      banned: () => this.#c.trust.banned(),
      isAccepted: peer => member.isAccepted(peer),
      findProviders: options => node.findProviders(run, options),
      ping: (peer, options) => node.ping(peer, options)
    })
    this.#joined.set(run, { manifest, membership, member, gossip, opinions, ledger, retention, split })
    this.#others.delete(run)
    for (const { peer, run: facts } of presence.membersOf(run)) memberLive(member, peer, facts)
    node.provide(run)
    await this.#desk.load(run)
  }

  /** No forgetting of one run may take along what others keep. @param run null for what belongs to no round of one */
  #retention(run: string | null, genesisAnchor: string | null): Retention {
    const { store } = this.#c
    const forgetting: ForgettingBlocks = {
      get: cid => store.blocks.get(cid),
      // What is forgotten need not be mended: fetched again, it would stay.
      delete: async cid => {
        this.#damaged.forget(cid)
        await store.blocks.delete(cid)
      }
    }
    const others = () => [...this.#joined].filter(([other]) => other !== run).map(([, { retention }]) => retention)
    return new Retention(
      forgetting,
      genesisAnchor,
      async () => [
        ...others().flatMap(({ roots }) => roots),
        ...(await keptRoots(store, [...this.#others.keys(), ...this.#asked.runs], run))
      ],
      cid => [...others(), this.#fetched].some(other => other.isNamed(cid))
    )
  }

  /** Tells the others of a run what this node saw of a peer. */
  async #say({ about, run, round, code }: Parameters<Say>[0]): Promise<void> {
    const joined = this.#joined.get(run)
    if (joined === undefined) return
    const { bytes } = await signOpinion({ run, peer: this.#c.node.peer, about, round, code }, this.#c.privateKey)
    await joined.opinions.publish(bytes)
  }

  /** What this node's contributions need; waits for nobody's decision. @throws DaemonError admission_pending, or why it is not admitted */
  async #admittance(run: string, manifest: Manifest, signal: AbortSignal): Promise<Admittance | null> {
    const { node, store, events, presence } = this.#c
    if (!needsGrant(manifest, node.peer)) return null
    const components = {
      ...{ run, self: node.peer, manifest, store, events },
      ask: this.#asking.ask.bind(this.#asking),
      connect: node.connect.bind(node),
      isConnected: node.isConnected.bind(node),
      isPresent: presence.isPresent.bind(presence)
    }
    return Admittance.open(components, signal)
  }

  #audits(facts: Pick<AuditsComponents, 'run' | 'manifest' | 'tokenizerJson' | 'sources'> & { membership: Membership }): Audits | null {
    const { membership, ...rest } = facts
    const fraction = membership.audit ?? this.#c.defaults.audit
    if (fraction === 0) return null
    const { home, node, store, events, trust } = this.#c
    const shared = { self: node.peer, scratch: scratchFolder(home), blocks: store.blocks, arithmetic: this.#arithmetic, events }
    return new Audits({ ...rest, ...shared, standing: peer => trust.standing(peer) }, { fraction })
  }

  /** A run to which this node may let others in. */
  #inviting(run: string): InvitingRun | null {
    const joined = this.#joined.get(run)
    if (joined === undefined) return null
    const { admission } = joined.manifest
    if (admission === 'open' || Array.isArray(admission) || !admission.invitation.inviters.includes(this.#c.node.peer)) return null
    return { ...admission.invitation, round: joined.member.head.round }
  }

  /** What an inviter's operator does. */
  readonly admission: AdmissionHost = {
    invite: async (run, { expiresMs = INVITATION_MS, uses = 1, peer = null }) => {
      const addresses = this.#c.node.addresses()
      const { text, invitation } = await this.#desk.invite(run, { expiresMs, uses, peer, addresses })
      return { text, invitation: invitationRow(invitation) }
    },
    invitations: async run => (await this.#desk.invitations(run)).map(invitationRow),
    revokeInvitation: async (run, word) => {
      const id = isInvitationText(word) ? AdmissionDesk.idOf(decodeInvitation(word).secret) : word
      const invitation = await this.#desk.revokeInvitation(run, id)
      if (invitation === null) {
        throw new DaemonError('unknown_invitation', `This node handed out no invitation ${id} to run ${run}`, {
          hint: '`shoal run invitations` lists them'
        })
      }
      return invitationRow(invitation)
    },
    candidates: async run => (await this.#desk.candidates(run)).map(candidateRow),
    decide: async (run, peer, state) => candidateRow(await this.#desk.decided(run, peer, state))
  }

  /** Refuses before anything is fetched what would fail after it. */
  #checkJoin(manifest: Manifest, membership: Membership): void {
    if (Array.isArray(manifest.admission) && !manifest.admission.includes(this.#c.node.peer)) {
      throw new DaemonError('not_allowed', `Run ${manifest.name} does not admit this node (${this.#c.node.peer})`, {
        hint: "Ask its author to list this node's peer id under admission, or join with --no-train"
      })
    }
    if (manifest.data.corpus === 'private' && membership.data.length === 0) {
      throw new DaemonError('data_missing', `Run ${manifest.name} trains on each member's own text, and none was named`, {
        hint: 'Name it with --data FILE, --data FOLDER or --data sotu:1790-1860, or join with --no-train'
      })
    }
    const parameters = parameterCount(manifest.model)
    const needed = MEMORY_BASE_BYTES + 4 * MEMORY_PER_PARAMETER * parameters
    if (needed > freemem()) {
      throw new DaemonError(
        'not_enough_memory',
        `Training ${manifest.name} (${parameters} parameters) needs about ${mebibytes(needed)} MiB, ${mebibytes(freemem())} MiB are free`,
        { hint: 'Close other programs, or join with --no-train', details: { needed, free: freemem() } }
      )
    }
  }

  /** The manifest, from here or from whoever has it. */
  async #manifest(run: string, signal: AbortSignal): Promise<{ manifest: Manifest }> {
    if ((await this.#c.store.blocks.get(run)) === undefined) await this.#find(run, signal)
    try {
      return await openManifest(await this.#fetcher.block(run, { from: this.#holders(run), signal, timeoutMs: FIND_TIMEOUT_MS }))
    } catch (cause) {
      if (codeOf(cause) !== 'block_unavailable') throw cause
      throw unknownRun(run, cause)
    }
  }

  /** Live members of a run beside this node. */
  #membersOf(run: string): string[] {
    return this.#c.presence.membersOf(run).map(({ peer }) => peer)
  }

  /** Peers that may have what belongs to a run: its members first, then anybody we are connected with. */
  #holders(run: string): () => string[] {
    return () => [...new Set([...this.#membersOf(run), ...this.#c.node.peers().map(({ peer }) => peer)])]
  }

  /** Finds members by the DHT and connects with them; ends with the first, the others follow in the background. */
  async #find(run: string, signal: AbortSignal): Promise<void> {
    const within = AbortSignal.any([signal, AbortSignal.timeout(FIND_TIMEOUT_MS)])
    if (this.#c.node.peers().length === 0) {
      throw new DaemonError('no_peers', `Run ${run} cannot be looked for: this node is connected to nobody`, {
        hint: 'Start the daemon with --bootstrap ADDRESS, or wait until `shoal peers` lists somebody'
      })
    }
    try {
      for await (const peer of this.#c.node.findProviders(run, { signal: within })) {
        if (peer === this.#c.node.peer) continue
        if (
          await this.#c.node.ping(peer, { signal: within }).then(
            () => true,
            () => false
          )
        )
          return
      }
    } catch (error) {
      if (signal.aborted) throw error
    }
  }

  /** Runs that have no other member in sight are looked for again and again. */
  async #findMembers(): Promise<void> {
    for (const run of this.#joined.keys()) {
      if (this.#c.presence.membersOf(run).length > 0 || this.#c.node.peers().length === 0) continue
      await this.#find(run, this.#stopping.signal).catch(() => {})
    }
  }

  /** @param wasHere the manifest was, before anybody asked for the run: then what is here of it stays */
  async #fetchNamed(run: string, bodies: readonly NamedBody[], wasHere: boolean, signal: AbortSignal): Promise<void> {
    const brought = this.#retention(run, run)
    try {
      await fetchNamedBodies(bodies, this.#fetcher, brought, { from: this.#holders(run), signal, timeoutMs: BULK_TIMEOUT_MS })
    } catch (error) {
      if (codeOf(error) === 'run_too_large' && !wasHere) {
        await this.#c.store.blocks.delete(run)
        await brought.forget([], [], [])
      }
      throw error
    }
  }

  async #tokenizerJson({ tokenizer }: Manifest): Promise<string | null> {
    if (tokenizer.json === null) return null
    const bytes = (await readFiles(this.#c.store.blocks, tokenizer.json))['tokenizer.json']
    if (bytes === undefined) throw new DaemonError('manifest_damaged', 'The run names a tokenizer that is not there')
    return Buffer.from(bytes).toString('utf8')
  }

  /** What the trainer reads: the member's own text, the built-in one, or the run's files written beside its state. */
  async #sources(manifest: Manifest, membership: Membership, directory: string): Promise<string[]> {
    if (manifest.data.corpus === 'private') return membership.data
    if (manifest.data.corpus === 'sotu') return ['sotu']
    const folder = join(directory, 'data')
    await mkdir(folder, { recursive: true })
    const sources: string[] = []
    for (const [index, { name, file }] of manifest.data.files.entries()) {
      const bytes = Object.values(await readFiles(this.#c.store.blocks, file))[0]!
      // The name is somebody else's word: only its ending is taken, which says how the text is read.
      const path = join(folder, `${index}.${/\.([a-z]{2,6})$/i.exec(name)?.[1] ?? 'txt'}`)
      await writeFileAtomic(path, bytes)
      sources.push(path)
    }
    return sources
  }

  // ---- checkpoints

  /** A round's anchor as the run has it: of a run that we are in from our own disk, of another one by what its rules make of others' words. */
  async #headOf(run: string, manifest: Manifest, round: number | undefined, signal: AbortSignal): Promise<Head> {
    const genesis = { record: run, round: 0, anchor: manifest.genesis.anchor }
    if (round === 0) return genesis
    const joined = this.#joined.get(run)
    const chain = joined === undefined ? await this.#toldChain(run, manifest, signal) : [joined.member.head]
    const newest = chain.at(-1) ?? genesis
    if (round === undefined) return newest
    const found = chain.find(head => head.round === round) ?? (await joined?.ledger.round(round))
    if (found !== undefined) return { record: found.record, round: found.round, anchor: found.anchor }
    throw new DaemonError('unknown_round', `Run ${run} has no round ${round}; its newest is ${newest.round}`)
  }

  async #toldChain(run: string, manifest: Manifest, signal: AbortSignal): Promise<Head[]> {
    const told = await this.#headsOf(run, signal)
    if (told.length === 0) {
      throw new DaemonError('no_peers', `No member of run ${run} told its head`, { hint: '`shoal peers` shows who is connected' })
    }
    const chain = (peer: string, fromRound: number, limit: number, signal: AbortSignal) =>
      this.#sync.chain(peer, run, fromRound, limit, { signal })
    return chooseTold(
      told,
      rulesOf(run, manifest),
      { run, blocks: this.#c.store.blocks, fetcher: this.#fetcher, chain },
      {
        ...{ from: this.#holders(run), signal, timeoutMs: FIND_TIMEOUT_MS },
        onRefused: (peer, code, message) =>
          this.#c.events.emit({ type: 'refused', run, peer, code, message: `its head was not taken: ${message}` })
      }
    )
  }

  async #headsOf(run: string, signal: AbortSignal): Promise<ToldHead[]> {
    await this.#find(run, signal)
    const members = this.#membersOf(run)
    // One that was just found may be in the run and not have said so yet; side by side, so that those who are not take no member's place.
    const others = this.#c.node.peers().flatMap(({ peer }) => (members.includes(peer) ? [] : [peer]))
    const told = [members, others].map(peers => this.#sync.heads(run, peers, { signal, most: NEWCOMER_ASKS }))
    return (await Promise.all(told)).flat()
  }

  // ---- what happens

  #present(change: PresenceChange): void {
    if (change.type === 'joined') void this.#damaged.repair()
    const { peer } = change
    const runs = new Map(change.type === 'gone' ? [] : change.runs.map(facts => [facts.run, facts]))
    for (const [run, seek] of this.#seeks) seek.heard(peer, runs.has(run))
    for (const [run, { member, split }] of this.#joined) {
      const facts = runs.get(run)
      // Gone with a goodbye, or here and not in the run any more.
      if (change.type === 'gone' ? change.reason === 'left' : facts === undefined) split.left(peer)
      if (facts === undefined) member.peerGone(peer)
      else memberLive(member, peer, facts)
    }
  }

  #corrupt(cid: string): void {
    this.#c.events.emit({
      type: 'health',
      code: 'block_corrupted',
      message: `block ${cid} was damaged on disk; it is fetched again`,
      data: { cid }
    })
    this.#damaged.found(cid)
  }

  /** Members of any run of ours first, then anybody we are connected with. */
  #everybody(): string[] {
    return [...new Set([...this.#joined.keys()].flatMap(run => this.#holders(run)()).concat(this.#c.node.peers().map(({ peer }) => peer)))]
  }

  #known(run: string): Joined {
    const joined = this.#joined.get(run)
    if (joined !== undefined) return joined
    const reason = this.#others.get(run)?.reason ?? this.#seeks.get(run)?.reason
    if (this.#others.has(run) || this.#seeks.has(run)) {
      throw new DaemonError('not_joined', `Run ${run} is not taken up yet${reason == null ? '' : `: ${reason}`}`, {
        hint: `Give it up with: shoal run leave ${run}`
      })
    }
    throw new DaemonError('not_joined', `This node is not in run ${run}`, { hint: `shoal run join ${run}` })
  }

  #memberships() {
    return this.#c.store.records.table<Membership>('runs')
  }

  #signal(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#stopping.signal : AbortSignal.any([signal, this.#stopping.signal])
  }
}

/** Milliseconds that the call of an inviter's address may take. */
const MEET_TIMEOUT_MS = 5_000

/** A refusal that says no to this node, not that something is not there. */
function needsAdmission(error: unknown): boolean {
  return isAdmissionRefusal(codeOf(error))
}

function invitationRow(invitation: Invitation): InvitationRow {
  const { id, createdAt, expiresAt, uses, usedBy, peer, revoked } = invitation
  const isSpent = usedBy.length >= uses
  return {
    ...{ id, uses, usedBy: [...usedBy], peer },
    createdAt: new Date(createdAt).toISOString(),
    expiresAt: expiresAt === null ? null : new Date(expiresAt).toISOString(),
    state: revoked ? 'revoked' : isUsable(invitation, Date.now()) ? 'open' : isSpent ? 'used_up' : 'expired'
  }
}

function candidateRow({ peer, state, since, askedAt, address, name, by }: Candidate): CandidateRow {
  return { peer, state, since: new Date(since).toISOString(), askedAt: new Date(askedAt).toISOString(), address, name, by }
}

function memberLive(
  member: RunMember,
  peer: string,
  facts: { run: string; head: string | null; round: number; state: string; holding?: string[] }
): void {
  member.peerLive(peer, { head: facts.head ?? facts.run, round: facts.round, trains: trains(facts.state), holding: facts.holding ?? [] })
}

function trainerStart({
  manifest,
  membership,
  defaults,
  directory,
  tokenizerJson,
  sources,
  self,
  anchorFile,
  firstStep,
  contributors
}: {
  manifest: Manifest
  membership: Membership
  defaults: RunHostComponents['defaults']
  directory: string
  tokenizerJson: string | null
  sources: string[]
  self: string
  anchorFile: string
  firstStep: number
  contributors: string[]
}): TrainerStart {
  const { totalSteps, ...optimizer } = manifest.optimizer
  return {
    directory: trainerFolder(directory),
    model: manifest.model,
    tokenizer: { kind: manifest.tokenizer.kind, vocabulary: manifest.tokenizer.vocabulary, json: tokenizerJson },
    corpus: { sources, shared: manifest.data.corpus === 'private' ? null : { peer: self, contributors } },
    // A constant schedule has no end.
    optimizer: { ...optimizer, totalSteps: totalSteps ?? Number.MAX_SAFE_INTEGER },
    // Members with the same private text must not read it in the same order; a shared one is dealt from one order.
    seed: manifest.data.corpus === 'private' ? seedOf(manifest.seed, self) : manifest.seed,
    engine: membership.engine ?? defaults.engine,
    threads: membership.threads ?? defaults.threads,
    anchorFile,
    firstStep
  }
}

/** Whether one that there is works here shows when it is loaded, in the trainer. */
function requireEngine(name: string): void {
  const names: readonly string[] = ['auto', ...ENGINE_NAMES]
  if (names.includes(name)) return
  throw new DaemonError('bad_request', `There is no engine ${JSON.stringify(name)}: the engines are ${names.join(', ')}`, {
    hint: '`shoal engines` says which of them work here'
  })
}

function seedOf(seed: number, peer: string): number {
  return createHash('sha256').update(`${seed}/${peer}`).digest().readUInt32LE(0)
}

function described(manifest: Manifest, status: RunStatus): { manifest: Manifest; parameters: number; status: RunStatus } {
  return { manifest, parameters: parameterCount(manifest.model), status }
}

function emptyStatus(run: string, { name, state, reason }: { name: string; state: RunStatus['state']; reason: string | null }): RunStatus {
  return {
    run,
    name,
    state,
    waitingFor: null,
    split: null,
    pending: 0,
    reason,
    round: 0,
    head: null,
    anchor: null,
    step: 0,
    loss: null,
    tokens: 0,
    tokensPerSecond: null,
    engine: null,
    engineReason: null,
    members: [],
    share: null,
    lastAccepted: null,
    lastContribution: null,
    trainer: { pid: null, restarts: 0, code: null, reason: null, givenUp: [] }
  }
}

function unknownRun(run: string, cause?: unknown): DaemonError {
  return new DaemonError('unknown_run', `Nobody reachable knows run ${run}`, {
    hint: 'Check the id; `shoal peers` shows who is connected, `shoal run ls` what this node knows',
    cause
  })
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024)
}
