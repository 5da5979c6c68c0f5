// The one error of this room: what went wrong between peers, or with bytes that came from one, under a stable code.

/** Every code a protocol may raise; a code is forever, its sentence may be bettered. Each protocol lists its own here. */
export type ProtocolErrorCode =
  // signed blocks and messages: bytes from outside that are not what they must be
  | 'bad_message' // cannot be decoded, or a field is missing or of the wrong kind
  | 'message_too_large'
  | 'version_mismatch' // of a version that this node does not read
  | 'bad_signature'
  | 'wrong_run' // what belongs to one run, said to another
  | 'wrong_signer' // signing with a key that is not the peer's named in the payload
  | 'bad_invitation' // the text of an invitation that cannot be read
  // streams and blocks
  | 'wrong_bytes' // a peer sent bytes that do not hash to the CID it was asked for
  | 'peer_stalled' // a peer said nothing for longer than it may
  | 'peer_unreachable' // no stream to the peer could be opened, or it broke
  | 'block_missing' // a block that should be here is not
  | 'rate_limited' // a peer asks or says more than it may
  | 'too_many_streams' // a peer, or all together, have more streams open with us than are served

export interface ProtocolErrorOptions {
  /** The way out, as a sentence for the person at the terminal. */
  hint?: string
  /** The facts behind the message, for logs and for `--json`. */
  details?: Record<string, unknown>
  cause?: unknown
}

/** @example throw new ProtocolError('message_too_large', 'cannot decode a record of 70000 bytes: at most 65536 are allowed') */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode
  readonly hint: string | undefined
  readonly details: Record<string, unknown>

  constructor(code: ProtocolErrorCode, message: string, options: ProtocolErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'ProtocolError'
    this.code = code
    this.hint = options.hint
    this.details = options.details ?? {}
  }
}

/** True for an error of this room: what a peer sent or did, not a bug of ours. */
export function isProtocolError(error: unknown): error is ProtocolError {
  return error instanceof ProtocolError
}
