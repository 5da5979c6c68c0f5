// Folders made one by one. Node's recursive mkdir turns round for ever, uninterruptibly, where a parent is there but lets nothing be made in it, as /proc does.
import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileFailure, systemCode } from './errors.ts'
import { syncDirectory } from './write-file-atomic.ts'

export interface NewFolderOptions {
  /** Permissions of what is made, less the umask. @default 0o700 */
  mode?: number
}

/**
 * Makes a folder and the missing ones above it; they survive a power cut, without which nothing in them would.
 * A folder that is there stays as it is.
 *
 * @throws StorageError `not_permitted`, `disk_full`, `file_missing` where nothing can be made in a parent, `io_error`
 */
export async function makeFolder(path: string, { mode = 0o700 }: NewFolderOptions = {}): Promise<void> {
  try {
    const missing: string[] = []
    for (let at = path; !(await isThere(at)); at = dirname(at)) missing.push(at)
    for (const folder of missing.reverse()) {
      await mkdir(folder, { mode }).catch(error => {
        if (systemCode(error) !== 'EEXIST') throw error
      })
      await syncDirectory(dirname(folder))
    }
  } catch (error) {
    throw fileFailure('make the folder', path, error)
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    throw error
  }
  throw Object.assign(new Error(`${path} is not a folder`), { code: 'ENOTDIR' })
}
