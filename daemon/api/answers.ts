// How the API answers: JSON documents, errors with the status that fits their code.
import type { ServerResponse } from 'node:http'
import { CONTROL_SCHEMA } from '../../protocols/control/constants.ts'
import type { ErrorDocument } from '../../protocols/control/messages.ts'
import { type CodedError, isCodedError } from '../errors.ts'

/** Statuses of codes that a client may want to tell apart by status alone; any other coded error is 422, anything uncoded 500. */
const STATUS_OF: Record<string, number> = {
  bad_request: 400,
  not_authorised: 401,
  host_not_allowed: 403,
  origin_not_allowed: 403,
  not_allowed: 403,
  not_admitted: 403,
  admission_revoked: 403,
  invitation_expired: 403,
  invitation_for_another: 403,
  invitation_revoked: 403,
  invitation_unknown: 403,
  invitation_used_up: 403,
  not_an_inviter: 403,
  not_found: 404,
  unknown_run: 404,
  unknown_round: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  already_joined: 409,
  not_joined: 409,
  checkpoint_exists: 409,
  body_too_large: 413,
  internal: 500,
  no_peers: 503,
  stopping: 503,
  too_many_streams: 503,
  timeout: 504,
  disk_full: 507
}

/** The HTTP status of anything that was thrown. */
export function statusOf(error: unknown): number {
  if (!isCodedError(error)) return 500
  return STATUS_OF[error.code] ?? (error.code.startsWith('manifest_') ? 400 : 422)
}

/** The plain form of anything that was thrown. A bug's own words stay in the log: they may hold paths and bytes of no use to a caller. */
export function errorDocument(error: unknown): ErrorDocument {
  const facts: CodedError = isCodedError(error)
    ? error
    : { code: 'internal', message: 'the daemon failed at this request', hint: 'shoal logs says why; please report it' }
  const { code, message, hint, details } = facts
  return {
    schema: CONTROL_SCHEMA,
    error: { code, message, ...(hint === undefined ? {} : { hint }), ...(details === undefined ? {} : { details }) }
  }
}

/** Sends a document with its schema number. */
export function sendDocument(response: ServerResponse, status: number, document: object, headers: Record<string, string> = {}): void {
  sendText(response, status, `${JSON.stringify({ schema: CONTROL_SCHEMA, ...document })}\n`, 'application/json; charset=utf-8', headers)
}

/** Sends a whole body; HEAD gets its head alone. */
export function sendText(response: ServerResponse, status: number, text: string, type: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text), ...SAFE_HEADERS, ...headers })
  response.end(response.req.method === 'HEAD' ? undefined : text)
}

/** Nothing of the API belongs in a cache, and none of it is to be taken for another type. */
export const SAFE_HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }
