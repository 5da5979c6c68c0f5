// The node's memory of what happened: events with rising ids, kept on disk up to a cap, and the reasons among them kept longer for `why`.
import type { NodeEvent } from '../protocols/control/messages.ts'

/** The part of a table of records that the log needs. */
export interface EventTable {
  put(key: string, value: NodeEvent): Promise<void>
  delete(keys: string[]): Promise<void>
  entries(range?: { gte?: string; gt?: string; lt?: string; reverse?: boolean; limit?: number }): AsyncIterable<[string, NodeEvent]>
}

export interface EventLogComponents {
  /** Every event, the newest {@link EventLogOptions.kept} of them. */
  events: EventTable
  /** Only events that carry a `code`: refusals and failures, which are rarer and asked for later. */
  reasons: EventTable
}

interface Place {
  table: EventTable
  kept: number
  /** Entries on disk now. */
  count: number
  takes: (event: NodeEvent) => boolean
}

export interface EventLogOptions {
  /** Events kept. @default 20000 */
  kept?: number
  /** Events with a code kept. @default 20000 */
  reasonsKept?: number
  /** RFC 3339 time of an event. @default the system's clock */
  now?: () => Date
  /** Told once for each failed write; events stay readable in memory meanwhile. */
  onError?: (error: unknown) => void
}

/** Events a log holds while the disk takes none; the oldest go first. */
const MAX_UNWRITTEN = 10_000
/** Events of a table that one trim forgets at most: readers wait for it. After the cap was lowered by a lot, each write forgets so many more. */
const MAX_FORGOTTEN = 2_000
/** Digits of a key, so that text order is number order. */
const KEY_DIGITS = 16
/** Characters from which a prefix of a peer id or CID is enough in `why`. */
const MIN_PREFIX = 8
/** Levels of an event's data that `why` looks into: a round's contributions are the third. */
const MAX_DEPTH = 4

/** Persisted log of events. Emitting never waits and never throws; writes follow in order. */
export class EventLog {
  readonly #tables: [Place, Place]
  readonly #listeners = new Set<(event: NodeEvent) => void>()
  readonly #now: () => Date
  readonly #onError: (error: unknown) => void
  #unwritten: NodeEvent[] = []
  #writing: Promise<void> | undefined
  #last = 0

  private constructor(components: EventLogComponents, options: EventLogOptions) {
    this.#tables = [
      { table: components.events, kept: options.kept ?? 20_000, count: 0, takes: () => true },
      {
        table: components.reasons,
        kept: options.reasonsKept ?? 20_000,
        count: 0,
        takes: event => event.code !== undefined && event.type !== 'phase'
      }
    ]
    this.#now = options.now ?? (() => new Date())
    this.#onError = options.onError ?? (() => {})
  }

  /** Opens the log where the last one ended: ids go on rising. */
  static async open(components: EventLogComponents, options: EventLogOptions = {}): Promise<EventLog> {
    const log = new EventLog(components, options)
    for (const place of log.#tables) {
      for await (const [key] of place.table.entries()) {
        place.count++
        log.#last = Math.max(log.#last, Number(key))
      }
    }
    return log
  }

  /** Id of the newest event, 0 before the first. */
  get last(): number {
    return this.#last
  }

  emit(facts: Omit<NodeEvent, 'id' | 'ts'>): NodeEvent {
    const event: NodeEvent = { id: ++this.#last, ts: this.#now().toISOString(), ...facts }
    this.#unwritten.push(event)
    if (this.#unwritten.length > MAX_UNWRITTEN) this.#unwritten.shift()
    this.#startWriting()
    for (const listener of this.#listeners) {
      try {
        listener(event)
      } catch (error) {
        this.#onError(error)
      }
    }
    return event
  }

  /** Up to `limit` events after an id, oldest first; of one type, where it is given. */
  async since(id: number, limit: number, type?: NodeEvent['type']): Promise<NodeEvent[]> {
    const { unwritten, lt } = await this.#soFar()
    const found: NodeEvent[] = []
    for await (const [, event] of this.#tables[0].table.entries({ gt: keyOf(id), lt })) {
      if (isOf(type, event) && found.push(event) === limit) return found
    }
    for (const event of unwritten) if (event.id > id && isOf(type, event)) found.push(event)
    return found.slice(0, limit)
  }

  /** Id of the newest event before a moment, 0 where there is none: what `since` goes on from. By the wall clock of when they happened, so a clock that was set back hides some. */
  async before(moment: Date): Promise<number> {
    await this.flush()
    const ts = moment.toISOString()
    const unwritten = this.#unwritten.findLast(event => event.ts < ts)
    if (unwritten !== undefined) return unwritten.id
    for await (const [key, event] of this.#tables[0].table.entries({ reverse: true })) if (event.ts < ts) return Number(key)
    return 0
  }

  /** Up to `limit` of the newest events, oldest first; of one type, where it is given. */
  async tail(limit: number, type?: NodeEvent['type']): Promise<NodeEvent[]> {
    const { unwritten, lt } = await this.#soFar()
    const found = unwritten.filter(event => isOf(type, event)).reverse()
    for await (const [, event] of this.#tables[0].table.entries({ lt, reverse: true })) {
      if (found.length >= limit) break
      if (isOf(type, event)) found.push(event)
    }
    return found.slice(0, limit).reverse()
  }

  /** Calls `listener` for each event from now on; the answer stops that. */
  subscribe(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Every kept event about a peer, run, round (`7` or `RUN/7`), CID, engine or reason code, oldest first; a prefix of 8 characters is enough for ids, or `..`
   * and the end of one. Phases are left out: they say that something was begun, and nothing of what came of it.
   */
  async why(subject: string): Promise<NodeEvent[]> {
    const { unwritten } = await this.#soFar()
    const isAbout = matcher(subject)
    const about = (event: NodeEvent): boolean => event.type !== 'phase' && isAbout(event)
    const found = new Map<number, NodeEvent>()
    for (const { table } of this.#tables) for await (const [, event] of table.entries()) if (about(event)) found.set(event.id, event)
    for (const event of unwritten) if (about(event)) found.set(event.id, event)
    return [...found.values()].sort((a, b) => a.id - b.id)
  }

  /** Resolves when everything emitted so far is written or could not be. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  /** Writes what is left, as far as the disk takes it, and stops telling listeners. */
  async close(): Promise<void> {
    this.#listeners.clear()
    if (this.#unwritten.length > 0) this.#startWriting()
    await this.flush()
  }

  /**
   * All that was emitted until now: what is not written, and the key below which the table holds the rest. What comes while somebody reads is for the next look:
   * some of it is written, and gone from memory, behind the table's view, and of two the later may be written first.
   */
  async #soFar(): Promise<{ unwritten: NodeEvent[]; lt: string }> {
    await this.flush()
    const unwritten = [...this.#unwritten]
    return { unwritten, lt: keyOf(unwritten[0]?.id ?? this.#last + 1) }
  }

  #startWriting(): void {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
  }

  async #write(): Promise<void> {
    // One turn later, so that a burst of events becomes one batch.
    await Promise.resolve()
    while (this.#unwritten.length > 0) {
      const batch = this.#unwritten.slice(0, 256)
      try {
        for (const place of this.#tables) {
          const taken = batch.filter(place.takes)
          await Promise.all(taken.map(event => place.table.put(keyOf(event.id), event)))
        }
      } catch (error) {
        this.#onError(error)
        return
      }
      // Now that all have it: where the disk took a part, the whole batch is written once more.
      for (const place of this.#tables) place.count += batch.filter(place.takes).length
      const written = batch.at(-1)!.id
      this.#unwritten = this.#unwritten.filter(event => event.id > written)
      await this.#trim()
    }
  }

  async #trim(): Promise<void> {
    try {
      for (const place of this.#tables) await this.#trimTable(place)
    } catch (error) {
      this.#onError(error)
    }
  }

  async #trimTable(place: Place): Promise<void> {
    // Trim in strides: each deletion is a write.
    if (place.count <= place.kept + Math.floor(place.kept / 50)) return
    const keys: string[] = []
    for await (const [key] of place.table.entries({ limit: Math.min(place.count - place.kept, MAX_FORGOTTEN) })) keys.push(key)
    await place.table.delete(keys)
    place.count -= keys.length
  }
}

function isOf(type: NodeEvent['type'] | undefined, event: NodeEvent): boolean {
  return type === undefined || event.type === type
}

function keyOf(id: number): string {
  return String(id).padStart(KEY_DIGITS, '0')
}

function matcher(subject: string): (event: NodeEvent) => boolean {
  const round = /^(?:(.+)\/)?(\d{1,9})$/.exec(subject)
  if (round !== null) {
    const [, run, number] = round
    return event => event.round === Number(number) && (run === undefined || named(event.run, run))
  }
  return event => event.code === subject || named(event.run, subject) || named(event.peer, subject) || mentions(event.data, subject)
}

function mentions(value: unknown, subject: string, depth = 0): boolean {
  if (typeof value === 'string') return named(value, subject)
  if (typeof value !== 'object' || value === null || depth >= MAX_DEPTH) return false
  return Object.values(value).some(part => mentions(part, subject, depth + 1))
}

function named(id: string | undefined, subject: string): boolean {
  if (id === undefined || id === subject) return id !== undefined
  if (subject.length < MIN_PREFIX) return false
  return subject.startsWith('..') ? id.endsWith(subject.slice(2)) : id.startsWith(subject)
}
