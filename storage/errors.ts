// The one error of this room: what failed, on which path, and the way out. Everything that storage/ throws on purpose is a StorageError
// (an aborted signal's own reason is passed through as it is).

export type StorageErrorCode =
  // the home and its files
  | 'home_in_use' // another process holds the lock of the home
  | 'store_corrupt' // the records cannot be opened, or hold what nobody wrote
  | 'store_version' // the home was written by a Shoal with another layout
  | 'store_closed'
  | 'disk_full' // no room, or a quota is spent; nothing half-written was left
  | 'not_permitted'
  | 'file_missing'
  | 'file_too_large'
  | 'io_error' // any other failure of the file system
  // blocks
  | 'bad_cid'
  | 'wrong_bytes' // the bytes are not those that the CID names
  | 'block_too_large'
  // records
  | 'bad_key'
  | 'record_too_large'
  | 'bad_record' // a value that JSON cannot say
  // safetensors
  | 'safetensors_truncated' // fewer bytes than the header promises
  | 'safetensors_header' // not a header: length, JSON, names, shapes, counts
  | 'safetensors_offsets' // holes, overlaps, sizes that differ from shapes, bytes behind the last tensor
  | 'safetensors_dtype'
  | 'safetensors_missing' // no tensor of that name
  // checkpoints
  | 'checkpoint_missing' // a file that a checkpoint needs is not there
  | 'checkpoint_exists'
  | 'checkpoint_config'
  | 'checkpoint_index'
  | 'checkpoint_path' // a file name or a link that leads out of the folder

export interface StorageErrorOptions {
  /** The way out, in a sentence. */
  hint?: string
  details?: Record<string, unknown>
  cause?: unknown
}

export class StorageError extends Error {
  readonly code: StorageErrorCode
  readonly hint?: string
  readonly details: Record<string, unknown>

  constructor(code: StorageErrorCode, message: string, options: StorageErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'StorageError'
    this.code = code
    this.hint = options.hint
    this.details = options.details ?? {}
  }
}

const SYSTEM_CODE = /^(E[A-Z0-9]+|ERR_FS_[A-Z_]+|LEVEL_[A-Z_]+)$/

/** The system's code of an error (`ENOSPC`, `LEVEL_LOCKED`), or an empty string. */
export function systemCode(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : ''
}

/** A value from outside as a message may show it: a short text in quotes, or its kind. String() would run what an object says and recurse. */
export function quoted(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 120)) : `a value of type ${typeof value}`
}

/**
 * Says a failure of the file system (or of Level) in this room's words. Anything else passes through: an aborted signal's reason, whatever its
 * kind, and the error of a caller's tensor source.
 *
 * @param action what was being done, as a verb phrase: `write block bafy...`
 */
export function fileFailure(action: string, path: string, error: unknown): unknown {
  if (error instanceof StorageError || !SYSTEM_CODE.test(systemCode(error))) return error
  const details = { path }
  const options = { details, cause: error }
  switch (systemCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return diskFull(action, path, error)
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new StorageError('not_permitted', `could not ${action}: no permission for ${path}`, {
        ...options,
        hint: `let the user who runs this write to ${path}, or choose another place`
      })
    case 'ENOENT':
      return new StorageError('file_missing', `could not ${action}: ${path} does not exist`, options)
    default:
      return new StorageError(
        'io_error',
        `could not ${action}: ${path}: ${error instanceof Error ? error.message : String(error)}`,
        options
      )
  }
}

export function diskFull(action: string, path: string, cause?: unknown, details: Record<string, unknown> = {}): StorageError {
  return new StorageError('disk_full', `could not ${action}: no space left for ${path}`, {
    hint: 'free some space on that file system; what was written before is whole, and work goes on when there is room',
    details: { path, ...details },
    cause
  })
}
