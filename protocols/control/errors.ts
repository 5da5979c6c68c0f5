// What can go wrong between a client and a daemon's control API. An answer that the daemon refused keeps the daemon's own code, so `code` is any string here.

/** Codes that the client itself gives; every other code was given by the daemon. */
export type ClientErrorCode =
  | 'daemon_not_running'
  | 'api_token_missing'
  | 'api_token_unreadable'
  | 'daemon_file_damaged'
  | 'request_timeout'
  | 'answer_damaged'
  | 'answer_too_large'
  | 'timeout' // the caller's own time limit, where request_timeout is the client's
  | 'aborted'

/** A request that did not succeed. */
export class ControlError extends Error {
  override name = 'ControlError'
  readonly code: string
  readonly hint: string | undefined
  readonly details: unknown
  /** HTTP status, where the daemon answered. */
  readonly status: number | undefined

  constructor(code: string, message: string, options: { hint?: string; details?: unknown; status?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.details = options.details
    this.status = options.status
  }
}
