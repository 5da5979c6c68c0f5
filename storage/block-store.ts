// Blocks in files: HOME/blocks/<two letters>/<cid>, each verified by its hash whenever it is read. A second process or thread may open the same
// files with openBlockFiles(): names are hashes of the content, and files appear whole by rename, so that writers cannot disagree.
import { createHash } from 'node:crypto'
import { type Dirent, constants as flags } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'
import { BLOCK_BYTES_MAX, BLOCK_FILES_OPEN_MAX, CORRUPT_FILES_MAX, RESERVED_BYTES } from './constants.ts'
import { fileFailure, quoted, StorageError, systemCode } from './errors.ts'
import { makeFolder } from './folders.ts'
import { requireRoom } from './free-bytes.ts'
import { Gate } from './gate.ts'
import { temporaryPath } from './leftovers.ts'
import { syncDirectory, writeAll, writeFileWhole } from './write-file-atomic.ts'

/** Multicodec of blocks that are plain bytes. */
const RAW_CODEC = 0x55
/** Multicodec of structured blocks. */
const CBOR_CODEC = 0x71
const SHA256_BYTES = 32
const SHARD = /^[a-z2-7]{2}$/

export interface PutOptions {
  /** fsync file and folder before resolving: for what cannot be fetched again. @default false */
  durable?: boolean
}

/** Blocks by their CID (CIDv1, base32, raw or dag-cbor, SHA-256, as text). Any call may fail with `bad_cid`, `not_permitted`, `io_error` or `store_closed`. */
export interface BlockStore {
  /** Whether there is a file for the block; only get() looks inside. */
  has(cid: string): Promise<boolean>
  /** The bytes, checked against the hash, or undefined. A corrupted file is moved aside, reported to the listeners and answered with undefined, so that it is fetched again. */
  get(cid: string): Promise<Uint8Array | undefined>
  /** @throws StorageError `wrong_bytes`, `block_too_large`, `disk_full`; on failure nothing half-written is left */
  put(cid: string, bytes: Uint8Array, options?: PutOptions): Promise<void>
  /** Makes what is here of these survive a power cut, as a durable put does: for what others were told that this node keeps. Gives those that are not here. */
  sync(cids: Iterable<string>): Promise<string[]>
  /** Deleting what is not there is no error. */
  delete(cid: string): Promise<void>
  /** Every block held, in no order; blocks that come or go meanwhile may or may not be seen. */
  list(): AsyncIterable<{ cid: string; bytes: number }>
  onCorrupt(listener: (cid: string) => void): void
  /** Waits for what is being written; later calls fail with `store_closed`. */
  close(): Promise<void>
}

/** Opens the blocks of a home without its records and without its lock: for a worker thread or a process that the daemon starts. */
export async function openBlockFiles(home: string): Promise<BlockStore> {
  const folder = join(home, 'blocks')
  await makeFolder(folder)
  return new BlockFiles(folder)
}

/** @throws StorageError `bad_cid` unless the text is, letter for letter, a CID of the one kind that names blocks here */
export function digestOf(cid: string): Uint8Array {
  let parsed: CID | null = null
  try {
    if (typeof cid === 'string' && cid.length < 128) parsed = CID.parse(cid)
  } catch {
    // Refused below, with the same words as other texts that are no name of a block.
  }
  const known =
    parsed !== null &&
    parsed.version === 1 &&
    (parsed.code === RAW_CODEC || parsed.code === CBOR_CODEC) &&
    parsed.multihash.code === sha256.code &&
    parsed.multihash.digest.byteLength === SHA256_BYTES &&
    parsed.toString() === cid // One block, one name: no second spelling may become a second path.
  if (!known) {
    throw new StorageError('bad_cid', `not the CID of a block: ${quoted(cid)} (CIDv1, base32, raw or dag-cbor, SHA-256)`)
  }
  return parsed!.multihash.digest
}

class BlockFiles implements BlockStore {
  readonly #folder: string
  readonly #gate = new Gate(BLOCK_FILES_OPEN_MAX)
  readonly #listeners: ((cid: string) => void)[] = []
  /** Folders of blocks that survive a power cut. */
  readonly #durable = new Set<string>()

  constructor(folder: string) {
    this.#folder = folder
  }

  async has(cid: string): Promise<boolean> {
    const path = this.#path(cid)
    return this.#run('look for a block', path, () => stat(path).then(found => found.isFile(), absent))
  }

  async get(cid: string): Promise<Uint8Array | undefined> {
    const path = this.#path(cid)
    const digest = digestOf(cid)
    const answer = await this.#run('read a block', path, async () => {
      const bytes = await readBounded(path)
      if (bytes === undefined) return undefined
      return isBlock(bytes, digest) ? bytes : this.#moveAside(cid, path)
    })
    if (answer !== 'corrupted') return answer
    for (const listener of this.#listeners) listener(cid)
    return undefined
  }

  async put(cid: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    checkSize(cid, bytes)
    checkHash(cid, bytes)
    const path = this.#path(cid)
    await this.#run('write a block', path, () => this.#write(path, bytes, options.durable === true))
  }

  async sync(cids: Iterable<string>): Promise<string[]> {
    const files = [...new Set(cids)].map(cid => ({ cid, path: this.#path(cid) }))
    // At once, as far as the gate lets them: a journal commits together what waits for it together.
    const synced = await Promise.all(files.map(({ path }) => this.#run('write a block', path, () => syncFile(path).catch(absent))))
    const folders = new Set(files.map(({ path }) => dirname(path)))
    for (const folder of [...folders, this.#folder]) await this.#run('write blocks', folder, () => syncDirectory(folder).catch(absent))
    return files.filter((_, index) => synced[index] === false).map(({ cid }) => cid)
  }

  async delete(cid: string): Promise<void> {
    const path = this.#path(cid)
    await this.#run('delete a block', path, () => rm(path, { force: true }))
  }

  async *list(): AsyncIterable<{ cid: string; bytes: number }> {
    for (const shard of await this.#names(this.#folder)) {
      if (!shard.isDirectory() || !SHARD.test(shard.name)) continue
      for (const file of await this.#names(join(this.#folder, shard.name))) {
        if (!isCid(file.name)) continue
        const path = join(this.#folder, shard.name, file.name)
        const found = await this.#run('look at a block', path, () => stat(path).catch(absent))
        if (found) yield { cid: file.name, bytes: found.size }
      }
    }
  }

  onCorrupt(listener: (cid: string) => void): void {
    this.#listeners.push(listener)
  }

  async close(): Promise<void> {
    await this.#gate.close(() => new StorageError('store_closed', 'the blocks are closed'))
  }

  /** The letters before the last are spread evenly; the last carries only three bits of the hash. */
  #path(cid: string): string {
    digestOf(cid)
    return join(this.#folder, cid.slice(-3, -1), cid)
  }

  async #run<T>(action: string, path: string, operation: () => Promise<T>): Promise<T> {
    return this.#gate.run(async () => {
      try {
        return await operation()
      } catch (error) {
        throw fileFailure(action, path, error)
      }
    })
  }

  async #write(path: string, bytes: Uint8Array, durable: boolean): Promise<void> {
    const shard = dirname(path)
    const held = await readBounded(path)
    if (held !== undefined && held !== null && same(held, bytes)) {
      // An earlier, hasty put may not have reached the disk, nor the folder that it made.
      if (durable) {
        await this.#makeShard(shard, durable)
        await syncFile(path)
      }
    } else {
      await requireRoom('write a block', path, bytes.byteLength, RESERVED_BYTES)
      await this.#makeShard(shard, durable)
      const temporary = temporaryPath(path)
      try {
        await writeFileWhole(temporary, handle => writeAll(handle, bytes), { durable })
        await rename(temporary, path)
      } catch (error) {
        await rm(temporary, { force: true })
        throw error
      }
    }
    if (durable) await syncDirectory(shard)
  }

  async #makeShard(shard: string, durable: boolean): Promise<void> {
    // Made anew where somebody removed it while we ran.
    if ((await mkdir(shard, { recursive: true })) !== undefined) this.#durable.delete(shard)
    if (!durable || this.#durable.has(shard)) return
    await syncDirectory(this.#folder)
    this.#durable.add(shard)
  }

  /** Takes the file away before it is judged: the block may have been put in the place of the damaged one that was read. Then it goes back, and is the answer. */
  async #moveAside(cid: string, path: string): Promise<Uint8Array | undefined | 'corrupted'> {
    const moved = temporaryPath(path)
    if ((await rename(path, moved).catch(absent)) === false) return undefined // Another reader was faster.
    const bytes = await readBounded(moved)
    if (isBlock(bytes, digestOf(cid))) {
      await rename(moved, path)
      await syncDirectory(dirname(path)) // It may have been put durably.
      return bytes
    }
    const folder = join(this.#folder, 'corrupt')
    try {
      await mkdir(folder, { recursive: true })
      if ((await readdir(folder)).length < CORRUPT_FILES_MAX) await rename(moved, join(folder, cid))
    } catch {
      // No room to keep it: what matters is that it is not taken for the block.
    }
    await rm(moved, { recursive: true, force: true })
    return 'corrupted'
  }

  async #names(folder: string): Promise<Dirent[]> {
    return this.#run('list blocks', folder, () => readdir(folder, { withFileTypes: true }).catch(absent)).then(names => names || [])
  }
}

function checkSize(cid: string, bytes: Uint8Array): void {
  if (bytes.byteLength <= BLOCK_BYTES_MAX) return
  throw new StorageError('block_too_large', `block ${cid} has ${bytes.byteLength} bytes; the limit is ${BLOCK_BYTES_MAX}`, {
    details: { cid, bytes: bytes.byteLength, limit: BLOCK_BYTES_MAX }
  })
}

/** The file's bytes, undefined when there is none, null when it cannot be a block (too large, not a file). */
async function readBounded(path: string): Promise<Uint8Array | undefined | null> {
  try {
    // Without O_NONBLOCK, opening a fifo that somebody put there would wait for ever.
    const handle = await open(path, flags.O_RDONLY | (flags.O_NONBLOCK ?? 0))
    try {
      const found = await handle.stat()
      if (!found.isFile() || found.size > BLOCK_BYTES_MAX) return null
      const bytes = new Uint8Array(found.size)
      const { bytesRead } = await handle.read(bytes) // Files appear whole and are never written again: one read has it all.
      return bytes.subarray(0, bytesRead)
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    if (systemCode(error) === 'EIO') return null // A bad sector: as good as other bytes.
    throw error
  }
}

function isBlock(bytes: Uint8Array | undefined | null, digest: Uint8Array): bytes is Uint8Array {
  return bytes !== undefined && bytes !== null && same(hashOf(bytes), digest)
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function absent(error: unknown): false {
  if (systemCode(error) === 'ENOENT') return false
  throw error
}

function isCid(name: string): boolean {
  try {
    digestOf(name)
    return true
  } catch {
    return false
  }
}

/** @throws StorageError `wrong_bytes` where the bytes are not those that the CID names; `bad_cid` */
export function checkHash(cid: string, bytes: Uint8Array): void {
  if (same(hashOf(bytes), digestOf(cid))) return
  throw new StorageError('wrong_bytes', `these ${bytes.byteLength} bytes are not block ${cid}: their hash differs`, { details: { cid } })
}

function hashOf(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
