// The home of a node on disk: records in Level (whose lock is the home's lock), blocks in files. A crash at any instant leaves a store that opens.
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type BlockStore, openBlockFiles } from './block-store.ts'
import { STORE_VERSION } from './constants.ts'
import { fileFailure, StorageError, systemCode } from './errors.ts'
import { makeFolder } from './folders.ts'
import { removeLeftovers } from './leftovers.ts'
import { type LevelRecords, openRecords, type Records } from './records.ts'
import { writeFileAtomic } from './write-file-atomic.ts'

/** Folders deep in which half-written files are looked for: HOME/runs/RUN/FOLDER, HOME/blocks/SHARD. */
const LEFTOVER_DEPTH = 4

export interface Store {
  /** The home, as an absolute path. */
  home: string
  records: Records
  blocks: BlockStore
  /** Waits for what is being written and gives the lock back. */
  close(): Promise<void>
}

/**
 * Opens a home, making it if there is none, and removes what a crash left half-written. One process at a time.
 *
 * @throws StorageError `home_in_use`, `store_corrupt`, `store_version`, `disk_full`, `not_permitted`, `io_error`
 */
export async function openStore(home: string, options: { signal?: AbortSignal } = {}): Promise<Store> {
  const path = resolve(home)
  options.signal?.throwIfAborted()
  await makeFolder(path)
  const records = await openRecords(join(path, 'records'))
  try {
    await checkVersion(path)
    await removeLeftovers(path, { depth: LEFTOVER_DEPTH })
    const blocks = await openBlockFiles(path)
    options.signal?.throwIfAborted()
    return { home: path, records, blocks, close: () => closeStore(records, blocks) }
  } catch (error) {
    await records.close()
    throw fileFailure('open the home', path, error)
  }
}

async function closeStore(records: LevelRecords, blocks: BlockStore): Promise<void> {
  await blocks.close()
  await records.close()
}

async function checkVersion(home: string): Promise<void> {
  const path = join(home, 'store-version')
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw fileFailure('read the version of the home', path, error)
    return writeFileAtomic(path, `${STORE_VERSION}\n`)
  }
  if (text.trim() !== String(STORE_VERSION)) {
    throw new StorageError(
      'store_version',
      `${home} has layout ${JSON.stringify(text.trim().slice(0, 20))}; this Shoal knows ${STORE_VERSION}`,
      {
        hint: 'use the Shoal that wrote it, or give this one another home',
        details: { path, version: text.trim().slice(0, 20), known: STORE_VERSION }
      }
    )
  }
}
