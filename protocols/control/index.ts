// The control protocol: how the CLI, the mesh runner or anybody's script speaks to one daemon over HTTP on the loopback address.
// Documents are JSON with `schema: 1` (messages.ts); a refusal is `{ error: { code, message, hint } }` with a fitting status.
// Events and log lines are server-sent events, resumed with `since`. Everything under /v1 wants the bearer token of HOME/api-token.
// The server is daemon/api; this folder holds what both sides must agree on, and the client.
export {
  type CallOptions,
  ControlClient,
  type ControlTarget,
  connectControl,
  type LocatedDaemon,
  locateDaemon,
  readToken
} from './client.ts'
export { CONTROL_SCHEMA, DAEMON_FILE, TOKEN_FILE } from './constants.ts'
export { type ClientErrorCode, ControlError } from './errors.ts'
export { isAlive } from './is-alive.ts'
export type * from './messages.ts'
