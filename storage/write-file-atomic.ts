// A file is there whole or not at all: write beside it, fsync, rename, fsync the folder.
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { WRITE_BYTES_MAX } from './constants.ts'
import { fileFailure } from './errors.ts'
import { temporaryPath } from './leftovers.ts'

export interface WriteFileOptions {
  /** Permissions of the file, such as 0o600 for secrets. @default 0o666 less the umask */
  mode?: number
  /** Survive a power cut, not only a crash of the process: fsync file and folder before resolving. @default true */
  durable?: boolean
  signal?: AbortSignal
}

/**
 * Replaces a file in one step: whoever reads sees the old bytes or the new ones, whenever the writer dies.
 *
 * @throws StorageError `disk_full`, `not_permitted`, `file_missing` (no such folder), `io_error`; the old file is untouched and nothing is left
 */
export async function writeFileAtomic(path: string, content: Uint8Array | string, options: WriteFileOptions = {}): Promise<void> {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  await replaceFile(path, handle => writeAll(handle, bytes, options.signal), options)
}

/** writeFileAtomic() for content that comes piece by piece. */
export async function replaceFile(
  path: string,
  write: (handle: FileHandle) => Promise<void>,
  options: WriteFileOptions = {}
): Promise<void> {
  const temporary = temporaryPath(path)
  options.signal?.throwIfAborted()
  try {
    await writeFileWhole(temporary, write, options)
    await rename(temporary, path)
    if (options.durable !== false) await syncDirectory(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true })
    throw fileFailure('write a file', path, error)
  }
}

/** Writes a new file and makes it durable; it may be left half-written on failure, under a name that the caller cleans up. */
export async function writeFileWhole(
  path: string,
  write: (handle: FileHandle) => Promise<void>,
  options: WriteFileOptions = {}
): Promise<void> {
  const handle = await open(path, 'wx', options.mode ?? 0o666)
  try {
    await write(handle)
    if (options.durable !== false) await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Appends all bytes at the handle's position; one write() may take fewer than it is given. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
  for (let offset = 0; offset < bytes.byteLength; ) {
    signal?.throwIfAborted()
    const { bytesWritten } = await handle.write(bytes, offset, Math.min(bytes.byteLength - offset, WRITE_BYTES_MAX))
    offset += bytesWritten
  }
}

/** Makes renames and new names in a folder survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return // Folders cannot be opened there; NTFS journals names itself.
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
