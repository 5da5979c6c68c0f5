// How much room is left, and refusing a large write before it starts.
import { statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { diskFull, fileFailure, systemCode } from './errors.ts'

/** Bytes that this user may still write on the file system of `path`; the path itself need not exist yet. */
export async function freeBytes(path: string): Promise<number> {
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at)
      return bavail * bsize
    } catch (error) {
      if (systemCode(error) !== 'ENOENT' || dirname(at) === at) throw fileFailure('ask for free space', at, error)
    }
  }
}

/**
 * Refuses with `disk_full` when writing `bytes` would leave less than `reservedBytes`. A courtesy that fails early and whole: others write too,
 * and quotas are not seen here, so ENOSPC can still come later.
 */
export async function requireRoom(action: string, path: string, bytes: number, reservedBytes = 0): Promise<void> {
  const free = await freeBytes(path)
  if (free < bytes + reservedBytes) throw diskFull(action, path, undefined, { free, needed: bytes, reserved: reservedBytes })
}
