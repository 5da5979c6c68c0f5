// Whom this node trusts, kept across restarts: takes what was refused from the event log and opinions from gossip, and does what the rules of protocols/trust
// say. What a standing means is obeyed by those who listen: the node refuses connections, the runs neither wait nor count.

import type { NodeEvent, StandingRow } from '../protocols/control/messages.ts'
import {
  createTrust,
  type Judged,
  judge,
  type Opinion,
  opinionsAbout,
  pointsNow,
  pointsOf,
  type Standing,
  standingOf,
  type TrustCommand,
  type TrustEvent,
  type TrustState
} from '../protocols/trust/index.ts'
import type { RecordOperation, Records } from '../storage/index.ts'
import type { EventLog } from './events.ts'
import { MEMBERS_REFUSALS, Refusals, STRANGERS_REFUSALS } from './refusals.ts'

/** Milliseconds between two looks at what fades. */
const TICK_MS = 60_000

export interface TrustBookComponents {
  self: string
  records: Records
  events: EventLog
}

/** Something to be told to the others of a run. */
export type Say = (saying: { about: string; run: string; round: number; code: string }) => void

/** Whether the history of a run had accepted a peer, or that of any run of this node where none is named. */
export type IsAccepted = (peer: string, run: string | undefined) => boolean

export interface TrustBookOptions {
  /** Told of a failed write; the next change of that peer tries again. */
  onError?: (error: unknown) => void
}

export class TrustBook {
  readonly #c: TrustBookComponents
  readonly #state: TrustState
  readonly #onError: (error: unknown) => void
  readonly #listeners = new Set<(peer: string, standing: Standing) => void>()
  /** What is told of connections, and of runs: a crowd at the door hides nothing of what goes on inside. */
  readonly #atNode = new Refusals(STRANGERS_REFUSALS)
  readonly #inRuns = new Refusals(STRANGERS_REFUSALS)
  readonly #ofMembers = new Refusals(MEMBERS_REFUSALS)
  #forget: () => void = () => {}
  #ticker: NodeJS.Timeout | undefined
  /** The newest batch: fails where its write does. */
  #written: Promise<void> = Promise.resolve()
  /** The same with the failure told, which the next batch waits for. */
  #writing: Promise<void> = Promise.resolve()
  /** What the next batch writes, the newest of each peer: a flood waits here for the disk as one row, not as a queue of writes. */
  #unwritten = new Map<string, RecordOperation>()
  #isUrgent = false
  /** Publishes what this node saw; set by whoever keeps the runs. */
  onSay: Say = () => {}
  /** Set by whoever keeps the runs: until then everybody is a stranger. */
  isAccepted: IsAccepted = () => false
  /** The rounds of the heads of the runs that this node is in; set by whoever keeps them. */
  heads: () => ReadonlyMap<string, number> = () => new Map()

  private constructor(components: TrustBookComponents, rows: Judged[], { onError }: TrustBookOptions) {
    this.#c = components
    this.#state = createTrust(components.self, rows)
    this.#onError = onError ?? (() => {})
  }

  static async open(components: TrustBookComponents, options: TrustBookOptions = {}): Promise<TrustBook> {
    const rows: Judged[] = []
    for await (const [, row] of components.records.table<Judged>('trust').entries()) rows.push(row)
    return new TrustBook(components, rows, options)
  }

  /** Judges from now on by every refusal that the event log is told of. */
  start(): void {
    this.#forget = this.#c.events.subscribe(event => this.#heard(event))
    const tick = (): boolean => this.#judge({ type: 'tick', heads: this.heads() })
    this.#ticker = setInterval(tick, TICK_MS)
    tick()
  }

  async stop(): Promise<void> {
    this.#forget()
    clearInterval(this.#ticker)
    await this.#writing
  }

  standing(peer: string): Standing {
    return standingOf(this.#state, peer)
  }

  isBanned(peer: string): boolean {
    return this.standing(peer) === 'banned'
  }

  /** Peers that are not in good standing. */
  distrusted(): { peer: string; standing: Standing }[] {
    return [...this.#state.judged.values()].filter(({ standing }) => standing !== 'good').map(({ peer, standing }) => ({ peer, standing }))
  }

  banned(): string[] {
    return [...this.#state.judged.values()].filter(({ standing }) => standing === 'banned').map(({ peer }) => peer)
  }

  /** Calls `listener` with each change from now on; the answer stops that. */
  onChange(listener: (peer: string, standing: Standing) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The operator's words. @param forMs null: for ever. @throws what the disk says where it could not be written: then it holds until a restart */
  async ban(peer: string, { reason, forMs }: { reason: string; forMs: number | null }): Promise<StandingRow> {
    this.#judge({ type: 'ban', peer, reason, until: forMs === null ? null : Date.now() + forMs })
    await this.#written
    return this.row(peer)
  }

  async unban(peer: string): Promise<StandingRow> {
    this.#judge({ type: 'unban', peer })
    await this.#written
    return this.row(peer)
  }

  /**
   * @param electorate how many authors it is weighed against; null where its author has no voice
   * @returns false where it counts for nothing
   */
  heardOpinion({ run, peer: author, about, round, code }: Opinion, electorate: number | null): boolean {
    return this.#judge({ type: 'opinion', author, about, code, run, round, aboutAccepted: this.isAccepted(about, run), electorate })
  }

  /** What is known of a peer, all in good standing who are not. */
  row(peer: string): StandingRow {
    const now = Date.now()
    const row = this.#state.judged.get(peer)
    const opinions = opinionsAbout(this.#state, peer, now).map(({ author, run, round, code }) => ({ author, run, round, code }))
    if (row === undefined) {
      return { peer, standing: 'good', reason: null, byOperator: false, until: null, points: 0, bans: 0, offences: [], opinions }
    }
    return {
      ...{ peer, standing: row.standing, reason: row.reason, byOperator: row.byOperator, bans: row.bans, opinions },
      until: row.until === null ? null : new Date(row.until).toISOString(),
      points: Math.round(10 * pointsNow(row, now)) / 10,
      offences: row.marks.map(({ at, code, points, subject }) => ({ ts: new Date(at).toISOString(), code, points, subject }))
    }
  }

  /**
   * What another did: so many are told a peer and code, and so many of all together; judged by whether or not it is told. What names no subject may be the same
   * thing again, such as the streams of one connection that broke: of strangers it counts once a minute.
   */
  refused(facts: Omit<NodeEvent, 'id' | 'ts'>): void {
    const { peer = '', code = '', message, data } = facts
    const { isFirst, untold } = this.#refusalsOf(facts).note({ peer, code }, performance.now())
    if (untold === 0) this.#c.events.emit(facts)
    else if (untold !== null)
      this.#c.events.emit({ ...facts, message: `${message} (and ${untold} times since it was last told)`, data: { ...data, untold } })
    else if (isFirst || data?.subject !== undefined) this.#heard(facts)
  }

  /** A ban keeps away what a peer sends itself, and not what others bring of it: a banned member has no more room than strangers. */
  #refusalsOf({ run, peer }: Omit<NodeEvent, 'id' | 'ts'>): Refusals {
    if (run === undefined) return this.#atNode
    return peer !== undefined && this.isAccepted(peer, run) && !this.isBanned(peer) ? this.#ofMembers : this.#inRuns
  }

  #heard({ type, peer, code, run, round, data }: Omit<NodeEvent, 'id' | 'ts'>): void {
    const counts = type === 'refused' || type === 'audit'
    if (!counts || peer === undefined || code === undefined || pointsOf(code) === 0) return
    const subject = data?.subject
    this.#judge({
      ...{ type: 'offence', peer, code, accepted: this.isAccepted(peer, run) },
      ...(typeof subject === 'string' ? { subject } : {}),
      ...(run === undefined ? {} : { run }),
      ...(round === undefined ? {} : { round })
    })
  }

  #judge(event: TrustEvent): boolean {
    const { commands, counted } = judge(this.#state, event, Date.now())
    this.#write(commands)
    for (const command of commands) this.#obey(command)
    return counted
  }

  #obey(command: TrustCommand): void {
    switch (command.type) {
      case 'standing': {
        const { peer, standing, was, code, reason, until } = command
        const lasts = until === null ? (standing === 'banned' ? ' for good' : '') : ` until ${new Date(until).toISOString()}`
        const row = this.#state.judged.get(peer)
        const isWorthIt = row?.accepted === true || row?.byOperator === true || reason === 'unbanned'
        const isTold = isWorthIt || this.#inRuns.note({ peer, code }, performance.now()).untold !== null
        if (isTold)
          this.#c.events.emit({
            ...{ type: 'trust', peer, code, message: `${peer} is ${WORDS[standing]}${lasts}: ${reason}` },
            data: { standing, was, reason, until }
          })
        for (const listener of this.#listeners) listener(peer, standing)
        return
      }
      case 'say':
        this.onSay(command)
        return
      case 'accusedOurselves': {
        const { author, code, run, round } = command
        const message = `${author} says that this node did ${code} in round ${round}`
        this.#c.events.emit({ type: 'trust', peer: author, run, round, code: 'accused', message, data: { code } })
        return
      }
      default:
    }
  }

  #write(commands: TrustCommand[]): void {
    const isWaiting = this.#unwritten.size > 0
    for (const command of commands) {
      if (command.type === 'keep')
        this.#unwritten.set(command.row.peer, { type: 'put', table: 'trust', key: command.row.peer, value: { ...command.row } })
      if (command.type === 'forget') this.#unwritten.set(command.peer, { type: 'delete', table: 'trust', key: command.peer })
      // A ban must outlive a power cut; points may be collected again.
      if (command.type === 'standing') this.#isUrgent = true
    }
    if (isWaiting || this.#unwritten.size === 0) return
    this.#written = this.#writing.then(() => this.#writeBatch())
    this.#writing = this.#written.catch(error => this.#onError(error))
  }

  #writeBatch(): Promise<void> {
    const operations = [...this.#unwritten.values()]
    const sync = this.#isUrgent
    this.#unwritten.clear()
    this.#isUrgent = false
    return this.#c.records.batch(operations, { sync })
  }
}

const WORDS = { good: 'trusted again', probation: 'on probation', banned: 'banned' } as const
