// Records in Level: small facts, as JSON, in the keyspaces of one table. What was put with `sync` survives a power cut, anything else a crash.
// Keys are joined with '/', numbers written with orderedKey() so that their order is that of the keys.
import { chmod } from 'node:fs/promises'
import { Level } from 'level'
import { KEY_BYTES_MAX, RECORD_BYTES_MAX, RECORDS_CACHE_BYTES, RECORDS_REOPEN_BYTES, RECORDS_WRITE_BUFFER_BYTES } from './constants.ts'
import { diskFull, fileFailure, quoted, StorageError, systemCode } from './errors.ts'
import { requireRoom } from './free-bytes.ts'

/** The keyspaces: key -> value. Whoever needs another one adds its line here. */
export const TABLES = [
  'runs', // RUN -> how this node takes part: manifest CID, data, engine, paused or not, where its data position stands
  'heads', // RUN -> the newest record adopted: its CID, round and anchor; RUN/ROUND -> the same of a checkpoint that was fetched
  'rounds', // RUN/ROUND -> the record adopted in that round: CIDs, contributors, seconds, bytes
  'kept', // RUN -> the oldest round of which bodies and anchors may be on disk: those of all before it are forgotten
  'names', // RUN/ROUND -> the CID of that round's record alone: a row of `rounds` has half a megabyte where there are a thousand members
  'stretches', // RUN/ROUND -> who was accepted in the rounds since the stretch before it, up to this one
  'own', // RUN/ROUND -> our contribution: CID, snapshot and residual files, and its fate
  'events', // EVENT -> what happened, for `events`; ids count upwards
  'reasons', // EVENT -> those that carry a code, kept by a count of their own for `why`: everyday events do not push them out
  'invitations', // RUN/ID -> an invitation that this node handed out: the hash of its secret, until when, how often, by whom used
  'candidates', // RUN/PEER -> who asked this node for admission, and what was said of it
  'grants', // RUN -> this node's own admission to a run by invitation: the grant it holds, and the invitation until it has one
  'trust', // PEER -> what this node makes of it: points, standing, until when, the newest offences
  'peers', // PEER -> its network and addresses, what it was to this node and since when, of those that we were connected with
  'self' // NAME -> what this node must remember of itself: the number of its newest process
] as const
export type TableName = (typeof TABLES)[number]

export interface WriteOptions {
  /** fsync before resolving. @default false */
  sync?: boolean
}

/** Bounds of keys, in byte order. */
export interface KeyRange {
  gte?: string
  gt?: string
  lte?: string
  lt?: string
  /** Only keys that begin so: `RUN/`. The other bounds still hold. */
  prefix?: string
  reverse?: boolean
  limit?: number
}

export type RecordOperation =
  | { type: 'put'; table: TableName; key: string; value: unknown }
  | { type: 'delete'; table: TableName; key: string }

/** One keyspace. Values are what JSON can say; their type is the caller's word, for nobody else writes here. */
export interface Table<V> {
  get(key: string): Promise<V | undefined>
  put(key: string, value: V, options?: WriteOptions): Promise<void>
  /** Several: all of them or none. */
  delete(keys: string | string[], options?: WriteOptions): Promise<void>
  /** A consistent view from when the iteration began; where writes go on after a full disk meanwhile, what lies behind is seen as it is then. */
  entries(range?: KeyRange): AsyncIterable<[key: string, value: V]>
}

/** Any call may fail with `disk_full`, `store_corrupt`, `store_closed` or `io_error`. */
export interface Records {
  table<V>(name: TableName): Table<V>
  /** All of it or none of it. */
  batch(operations: RecordOperation[], options?: WriteOptions): Promise<void>
}

/** A count as a key, so that byte order is number order: all that a safe integer can be, in 16 digits. */
export function orderedKey(count: number): string {
  if (!Number.isSafeInteger(count) || count < 0) throw new StorageError('bad_key', `not a number that can be a key: ${count}`)
  return String(count).padStart(16, '0')
}

/** Opens the records and takes their lock, which is the lock of the home. */
export async function openRecords(folder: string): Promise<LevelRecords> {
  const level: Level<string, string> = new Level(folder, { cacheSize: RECORDS_CACHE_BYTES, writeBufferSize: RECORDS_WRITE_BUFFER_BYTES })
  try {
    await level.open()
  } catch (error) {
    throw openFailure(folder, error)
  }
  // Level lets everybody read it, and there are secrets in it. A file system without modes refuses, and has nobody to keep out.
  await chmod(folder, 0o700).catch(() => {})
  return new LevelRecords(folder, level)
}

export class LevelRecords implements Records {
  readonly #folder: string
  readonly #level: Level<string, string>
  /** `damaged`: Level refuses writes after a failed one until it is opened again; it still reads. */
  #state: 'open' | 'damaged' | 'shut' | 'closed' = 'open'
  #reopening: Promise<void> | null = null

  constructor(folder: string, level: Level<string, string>) {
    this.#folder = folder
    this.#level = level
  }

  table<V>(name: TableName): Table<V> {
    if (!TABLES.includes(name)) throw new StorageError('bad_key', `no table ${JSON.stringify(name)} (add it to TABLES)`)
    return {
      get: key => this.#get<V>(name, key),
      put: (key, value, options) => this.batch([{ type: 'put', table: name, key, value }], options),
      delete: (keys, options) =>
        this.batch(
          [keys].flat().map(key => ({ type: 'delete', table: name, key })),
          options
        ),
      entries: range => this.#entries<V>(name, range ?? {})
    }
  }

  async batch(operations: RecordOperation[], options: WriteOptions = {}): Promise<void> {
    const encoded = operations.map(operation =>
      operation.type === 'put'
        ? { type: 'put' as const, key: fullKey(operation.table, operation.key), value: encodeValue(operation) }
        : { type: 'del' as const, key: fullKey(operation.table, operation.key) }
    )
    await this.#usable('write')
    try {
      await this.#level.batch(encoded, { sync: options.sync === true })
    } catch (error) {
      if (this.#state === 'open') this.#state = 'damaged'
      throw recordFailure('write a record', this.#folder, error)
    }
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    await this.#reopening?.catch(() => {}) // Whoever asked for it hears of its failure.
    await this.#level.close()
  }

  async #get<V>(table: TableName, key: string): Promise<V | undefined> {
    const full = fullKey(table, key)
    await this.#usable('read')
    try {
      const text = await this.#level.get(full)
      return text === undefined ? undefined : decodeValue<V>(full, text)
    } catch (error) {
      throw recordFailure('read a record', this.#folder, error)
    }
  }

  async *#entries<V>(table: TableName, range: KeyRange): AsyncIterable<[string, V]> {
    const start = table.length + 1
    let rest = range
    for (;;) {
      await this.#usable('read')
      try {
        for await (const [key, text] of this.#level.iterator({
          ...bounds(table, rest),
          reverse: rest.reverse === true,
          limit: rest.limit ?? -1
        })) {
          const name = key.slice(start)
          rest = behind(name, rest)
          yield [name, decodeValue<V>(key, text)]
        }
        return
      } catch (error) {
        // Reopening ends what is being listed: it goes on behind what was told.
        if (this.#state === 'closed' || !isNotOpen(error)) throw recordFailure('list records', this.#folder, error)
      }
    }
  }

  async #usable(purpose: 'read' | 'write'): Promise<void> {
    if (this.#state === 'closed') throw new StorageError('store_closed', 'the records are closed')
    if (this.#state === 'open' || (this.#state === 'damaged' && purpose === 'read')) return
    this.#reopening ??= this.#reopen().finally(() => {
      this.#reopening = null
    })
    await this.#reopening
  }

  /** LevelDB takes no write after one that failed, for the log's end is unknown; opening it again reads the log up to there and starts a new one. */
  async #reopen(): Promise<void> {
    await requireRoom('write a record', this.#folder, RECORDS_REOPEN_BYTES) // While there is none, the reads that still work are worth more.
    try {
      this.#shut()
      await this.#level.close()
      await this.#level.open()
      if (this.#state === 'shut') this.#state = 'open'
    } catch (error) {
      throw openFailure(this.#folder, error)
    }
  }

  #shut(): void {
    if (this.#state !== 'closed') this.#state = 'shut'
  }
}

function fullKey(table: TableName, key: string): string {
  if (typeof key !== 'string' || key.length === 0 || Buffer.byteLength(key) > KEY_BYTES_MAX) {
    throw new StorageError('bad_key', `a key of ${table} must have 1 to ${KEY_BYTES_MAX} bytes: ${quoted(key)}`)
  }
  return `${table}/${key}`
}

/** Level's bounds for one keyspace: '0' is the character behind '/', so `TABLE0` lies behind each of its keys. */
function bounds(table: TableName, range: KeyRange): { gte?: string; gt?: string; lte?: string; lt?: string } {
  const lowest = `${table}/${range.prefix ?? ''}`
  const lower = range.gt ?? range.gte
  const upper = range.lt ?? range.lte
  const from = lower === undefined ? null : `${table}/${lower}`
  const to = upper === undefined ? null : `${table}/${upper}`
  const behind = range.prefix ? behindPrefix(lowest) : `${table}0`
  return {
    ...(from === null || compareBytes(from, lowest) < 0 ? { gte: lowest } : range.gt !== undefined ? { gt: from } : { gte: from }),
    ...(to === null || compareBytes(to, behind) >= 0 ? { lt: behind } : range.lt !== undefined ? { lt: to } : { lte: to })
  }
}

/** What is left of the range when the key was told. */
function behind(key: string, range: KeyRange): KeyRange {
  const limit = range.limit === undefined || range.limit < 0 ? {} : { limit: range.limit - 1 }
  return { ...range, ...limit, [range.reverse === true ? 'lt' : 'gt']: key }
}

/** The lowest text that lies behind all that begin with the prefix: U+10FFFF is in no key of ours and sorts last in UTF-8. */
function behindPrefix(prefix: string): string {
  return `${prefix}\u{10ffff}`
}

function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function encodeValue({ table, key, value }: { table: TableName; key: string; value: unknown }): string {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (error) {
    throw new StorageError('bad_record', `could not say ${table}/${key} as JSON`, { cause: error })
  }
  if (text === undefined) throw new StorageError('bad_record', `could not say ${table}/${key} as JSON: it is undefined`)
  if (text.length > RECORD_BYTES_MAX || Buffer.byteLength(text) > RECORD_BYTES_MAX) {
    throw new StorageError('record_too_large', `${table}/${key} has ${Buffer.byteLength(text)} bytes; the limit is ${RECORD_BYTES_MAX}`)
  }
  return text
}

function decodeValue<V>(key: string, text: string): V {
  try {
    return JSON.parse(text) as V
  } catch (error) {
    throw new StorageError('store_corrupt', `the record ${key} is not JSON`, { details: { key }, cause: error })
  }
}

function recordFailure(action: string, folder: string, error: unknown): unknown {
  if (error instanceof StorageError) return error
  const code = systemCode(error)
  if (isDiskFull(error)) return diskFull(action, folder, error)
  if (code === 'LEVEL_CORRUPTION') return corrupt(folder, error)
  if (isNotOpen(error)) {
    return new StorageError('store_closed', `could not ${action}: the records were closed meanwhile`, { cause: error })
  }
  return fileFailure(action, folder, error)
}

function isNotOpen(error: unknown): boolean {
  const code = systemCode(error)
  return code === 'LEVEL_DATABASE_NOT_OPEN' || code === 'LEVEL_ITERATOR_NOT_OPEN'
}

function openFailure(folder: string, error: unknown): unknown {
  if (error instanceof StorageError) return error
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  switch (systemCode(cause)) {
    case 'LEVEL_LOCKED':
      return new StorageError('home_in_use', `another process uses this home: ${folder} is locked`, {
        hint: 'stop the daemon that uses it, or give this one another home',
        details: { path: folder },
        cause
      })
    case 'LEVEL_CORRUPTION':
      return corrupt(folder, cause)
    default:
      if (isDiskFull(cause)) return diskFull('open the records', folder, cause)
      if (/permission denied|read-only file system/i.test(messageOf(cause))) {
        return new StorageError('not_permitted', `could not open the records: no permission for ${folder}`, {
          details: { path: folder },
          cause
        })
      }
      return fileFailure('open the records', folder, cause)
  }
}

function corrupt(folder: string, cause: unknown): StorageError {
  return new StorageError('store_corrupt', `the records in ${folder} are damaged: ${messageOf(cause)}`, {
    hint: `move ${folder} away and start again: identity and blocks stay, runs are joined anew and fetched from their members`,
    details: { path: folder },
    cause
  })
}

/** LevelDB passes on the system's words, not its codes. */
function isDiskFull(error: unknown): boolean {
  return /no space left|quota exceeded/i.test(messageOf(error))
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
