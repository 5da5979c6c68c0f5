// Names for files that are being written, and the removal of those whose writer died before it could rename them.
import { type Dirent, statSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'

const SUFFIX = /\.(\d+)-\d+-\d+\.shoal-tmp$/
let written = 0

/** A name beside `path` that no other writer uses and that removeLeftovers() knows again: process, thread, count. */
export function temporaryPath(path: string): string {
  written += 1
  return `${path}.${process.pid}-${threadId}-${written}.shoal-tmp`
}

/**
 * Removes what dead writers left in a folder. What a living process is writing stays; a name with our own process id is a leftover only if it
 * is older than this process (in a container the daemon has the same id in each life).
 *
 * @param options depth: folders below to look into, default 0; of: only leftovers of the file or folder with this name
 * @returns how many were removed
 */
export async function removeLeftovers(folder: string, options: { depth?: number; of?: string } = {}): Promise<number> {
  let entries: Dirent[]
  try {
    entries = await readdir(folder, { withFileTypes: true })
  } catch {
    return 0 // No folder, or not ours to read: nothing to clean.
  }
  let removed = 0
  for (const entry of entries) {
    const path = join(folder, entry.name)
    const writer = SUFFIX.exec(entry.name)?.[1]
    if (writer !== undefined) {
      const wanted = options.of === undefined || entry.name.replace(SUFFIX, '') === options.of
      if (wanted && !isBeingWritten(path, Number(writer))) {
        await rm(path, { recursive: true, force: true })
        removed += 1
      }
    } else if (entry.isDirectory() && (options.depth ?? 0) > 0) {
      removed += await removeLeftovers(path, { ...options, depth: options.depth! - 1 })
    }
  }
  return removed
}

function isBeingWritten(path: string, writer: number): boolean {
  if (writer !== process.pid) return isAlive(writer)
  const startedMs = Date.now() - process.uptime() * 1000
  return (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) >= startedMs
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' // It lives, and belongs to somebody else.
  }
}
