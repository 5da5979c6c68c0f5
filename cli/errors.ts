// What the command line says when something fails, and the exit code that goes with it.

/** Codes of failures that begin in the command line itself; the daemon's own codes pass through unchanged. */
export type CliErrorCode =
  | 'unknown_option'
  | 'unknown_command'
  | 'missing_argument'
  | 'bad_argument'
  | 'bad_scenario'
  | 'file_unreadable'
  | 'invalid_utf8'
  | 'daemon_not_running'
  | 'daemon_exited'
  | 'timeout'
  | 'interrupted'
  | 'check_failed'
  | 'already_exists'
  | 'no_mesh'
  | 'step_failed'
  | 'network_unavailable'
  | 'unknown_run'

interface CliErrorOptions {
  hint?: string
  details?: Record<string, unknown>
  cause?: unknown
}

/** A failure with a stable `code`, a sentence, and where there is one the way out. */
export class CliError extends Error {
  readonly code: CliErrorCode
  readonly hint?: string
  readonly details?: Record<string, unknown>

  constructor(code: CliErrorCode, message: string, options: CliErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.name = 'CliError'
    this.code = code
    if (options.hint !== undefined) this.hint = options.hint
    if (options.details !== undefined) this.details = options.details
  }
}

/** The process's exit codes; `shoal --help` lists them. */
export const EXIT = { ok: 0, failed: 1, usage: 2, notRunning: 3, timeout: 4, notAuthorised: 5, checkFailed: 6 } as const

/** Codes, ours and the daemon's, whose exit code is not 1. */
const EXIT_OF: Record<string, number> = {
  unknown_option: EXIT.usage,
  unknown_command: EXIT.usage,
  missing_argument: EXIT.usage,
  bad_argument: EXIT.usage,
  bad_scenario: EXIT.usage,
  bad_request: EXIT.usage,
  file_unreadable: EXIT.usage,
  file_missing: EXIT.usage,
  already_exists: EXIT.usage,
  identity_missing: EXIT.usage,
  identity_exists: EXIT.usage,
  backup_exists: EXIT.usage,
  backup_unreadable: EXIT.usage,
  backup_unwritable: EXIT.usage,
  backup_foreign: EXIT.usage,
  backup_damaged: EXIT.usage,
  port_taken: EXIT.usage,
  address_not_available: EXIT.usage,
  data_missing: EXIT.usage,
  data_unreadable: EXIT.usage,
  bad_corpus: EXIT.usage,
  corpus_too_large: EXIT.usage,
  corpus_too_small: EXIT.usage,
  corpus_empty: EXIT.usage,
  invalid_utf8: EXIT.usage,
  bad_json_line: EXIT.usage,
  genesis_unusable: EXIT.usage,
  unknown_engine: EXIT.usage,
  unknown_era: EXIT.usage,
  bad_attack: EXIT.usage,
  bad_codec: EXIT.usage,
  bad_workload: EXIT.usage,
  bad_generation: EXIT.usage,
  checkpoint_missing: EXIT.usage,
  checkpoint_exists: EXIT.usage,
  bad_address: EXIT.usage,
  bad_cid: EXIT.usage,
  daemon_not_running: EXIT.notRunning,
  timeout: EXIT.timeout,
  request_timeout: EXIT.timeout,
  api_token_missing: EXIT.notAuthorised,
  api_token_unreadable: EXIT.notAuthorised,
  not_authorised: EXIT.notAuthorised,
  host_not_allowed: EXIT.notAuthorised,
  origin_not_allowed: EXIT.notAuthorised,
  not_allowed: EXIT.notAuthorised,
  not_admitted: EXIT.notAuthorised,
  admission_revoked: EXIT.notAuthorised,
  invitation_expired: EXIT.notAuthorised,
  invitation_for_another: EXIT.notAuthorised,
  invitation_revoked: EXIT.notAuthorised,
  invitation_unknown: EXIT.notAuthorised,
  invitation_used_up: EXIT.notAuthorised,
  not_an_inviter: EXIT.notAuthorised,
  bad_invitation: EXIT.usage,
  check_failed: EXIT.checkFailed
}

/** What is printed for any thrown thing. */
export interface Failure {
  code: string
  message: string
  hint?: string
  /** Facts for scripts. */
  details?: object
}

/** Reads the structural error shape that all rooms share; anything else becomes `failed`. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Error) {
    const { code, hint, details } = error as { code?: unknown; hint?: unknown; details?: unknown }
    if (error.name === 'TimeoutError') return { code: 'timeout', message: 'the time limit passed', hint: 'give --timeout a longer time' }
    if (error.name === 'AbortError') return { code: 'interrupted', message: 'interrupted' }
    return {
      // Codes of ours are in snake_case; Node's own (ENOSPC, ERR_...) are words of the message.
      code: typeof code === 'string' && /^[a-z][a-z0-9_]*$/.test(code) ? code : 'failed',
      message: error.message,
      ...(typeof hint === 'string' ? { hint } : {}),
      ...(typeof details === 'object' && details !== null ? { details } : {})
    }
  }
  return { code: 'failed', message: String(error) }
}

/** The exit code for a failure. */
export function exitCodeOf(failure: Failure): number {
  if (/^(config|manifest)_/.test(failure.code)) return EXIT.usage
  return EXIT_OF[failure.code] ?? EXIT.failed
}
