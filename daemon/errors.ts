// The daemon's one error class and every code it can carry. Codes are stable: scripts and the CLI's exit codes depend on them.

export type DaemonErrorCode =
  // configuration
  | 'config_syntax'
  | 'config_unknown_key'
  | 'config_value'
  | 'config_unreadable'
  // run manifests
  | 'manifest_syntax'
  | 'manifest_unknown_key'
  | 'manifest_missing_key'
  | 'manifest_value'
  | 'manifest_version'
  | 'manifest_too_large'
  | 'manifest_damaged'
  | 'manifest_signature'
  // the daemon's life
  | 'home_in_use'
  | 'identity_damaged'
  | 'identity_missing' // nothing to back up
  | 'identity_exists' // another one stands where one is to be restored
  | 'backup_exists'
  | 'backup_unreadable'
  | 'backup_unwritable'
  | 'backup_foreign' // not a backup of an identity
  | 'backup_damaged'
  | 'port_taken'
  | 'address_not_available'
  // the network
  | 'bad_address' // not an address, or none to listen on
  | 'bad_network_name'
  | 'peer_unreachable'
  | 'version_mismatch' // the peer is of our mesh and of another version
  | 'other_network' // the peer was reached and belongs to a mesh of another name
  | 'api_token_missing'
  | 'stopping'
  | 'start_failed'
  // requests
  | 'bad_request'
  | 'body_too_large'
  | 'request_timeout'
  | 'not_found'
  | 'method_not_allowed'
  | 'not_authorised'
  | 'host_not_allowed'
  | 'origin_not_allowed'
  | 'too_many_streams'
  | 'internal'
  // runs and checkpoints
  | 'unknown_run'
  | 'unknown_round'
  | 'no_peers'
  | 'not_joined'
  | 'already_joined'
  | 'not_allowed'
  // admission by invitation: at the newcomer's, those of protocols/admission/refusals.ts
  | 'not_admitted'
  | 'admission_pending' // nobody has said yes or no so far; asked again
  | 'admission_revoked'
  | 'invitation_unknown'
  | 'invitation_expired'
  | 'invitation_used_up'
  | 'invitation_revoked'
  | 'invitation_for_another'
  | 'not_an_inviter'
  | 'too_many_requests'
  // and at the inviter's
  | 'bad_invitation'
  | 'unknown_invitation'
  | 'too_many_invitations'
  | 'too_many_admitted'
  | 'data_missing'
  | 'data_unreadable'
  | 'not_enough_memory'
  | 'engine_unavailable'
  | 'genesis_unusable'
  | 'run_too_large' // what a manifest names is larger than what it says of it
  | 'disk_full'
  | 'trainer_failed'
  | 'trainer_gone'
  | 'trainer_state_damaged'
  | 'non_finite_delta'
  | 'block_unavailable'
  | 'bad_chain' // a record's parent is of another run, or not of the round before
  | 'history_too_long' // a chain has more that is unknown here than a node can learn
  | 'timeout'
  // arithmetic
  | 'audit_failed' // no verdict on a contribution, and nobody's fault
  | 'arithmetic_crashed'
  | 'bad_anchor'
  | 'bad_contribution'
  | 'norm_too_large' // of this node's own change
  // bench round
  | 'bench_failed'

/** One wrong place in a configuration or a manifest. */
export interface Issue {
  code: DaemonErrorCode
  /** Keys joined by dots, such as `strategy.codec.name`. */
  path: string
  /** What stands there, undefined where nothing does. */
  value: unknown
  /** What may stand there. */
  allowed: string
  /** The known key nearest to an unknown one. */
  nearest?: string
  /** The file, flag or variable it stands in, where that differs between issues. */
  source?: string
  /** Line in the text it was read from, from 1. */
  line?: number
}

export interface DaemonErrorOptions {
  /** The way out, one sentence or command. */
  hint?: string
  /** Plain data for machines. */
  details?: Record<string, unknown>
  cause?: unknown
}

/** What a daemon throws on purpose: the action that failed, the value and the limit in `message`, the way out in `hint`. */
export class DaemonError extends Error {
  override name = 'DaemonError'
  readonly code: DaemonErrorCode
  readonly hint: string | undefined
  readonly details: Record<string, unknown> | undefined

  constructor(code: DaemonErrorCode, message: string, options: DaemonErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.details = options.details
  }
}

/** The structural shape that errors of every room share. */
export interface CodedError {
  code: string
  message: string
  hint?: string
  details?: unknown
}

/** True for an error that was thrown on purpose by any of our rooms (`code` in snake_case), false for Node's own (`ENOENT`) and bugs. */
export function isCodedError(error: unknown): error is CodedError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && /^[a-z][a-z0-9_]*$/.test(error.code)
}

/** Code of anything that was thrown: `internal` for what was not on purpose. */
export function codeOf(error: unknown): string {
  return isCodedError(error) ? error.code : 'internal'
}

/** Text of anything that was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
