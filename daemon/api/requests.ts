// What a request brings, bounded and checked: host, token, body, query.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import * as v from 'valibot'
import { EVENT_TYPES, type EventType } from '../../protocols/control/constants.ts'
import { DaemonError } from '../errors.ts'
import { shown } from '../wrong-values.ts'
import { MAX_BODY_BYTES } from './constants.ts'

/**
 * Refuses names other than this machine's own: a web page may make its own name point at 127.0.0.1 (DNS rebinding) and would then speak to us
 * as if we were its server.
 */
export function checkHost(request: IncomingMessage, port: number): void {
  const host = request.headers.host ?? ''
  if ([`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`].includes(host.toLowerCase())) return
  throw new DaemonError('host_not_allowed', `the Host header is ${shown(host)}, only 127.0.0.1:${port} and localhost:${port} are answered`)
}

/** Refuses what a web page has a browser ask, which needs no token to keep this node busy: browsers say of every request which page it is for. */
export function checkOrigin({ headers }: IncomingMessage): void {
  const { origin, 'sec-fetch-site': site = 'none' } = headers
  if (origin === undefined && (site === 'none' || site === 'same-origin')) return
  throw new DaemonError('origin_not_allowed', `the request comes from a web page (${shown(origin ?? site)}), and none is answered`)
}

/** Throws `not_authorised` unless the bearer token is the right one; takes as long for a wrong one as for the right one. */
export function checkToken(request: IncomingMessage, token: string): void {
  const given = /^Bearer ([!-~]{1,512})$/i.exec(request.headers.authorization ?? '')?.[1]
  const same = given !== undefined && timingSafeEqual(digest(given), digest(token))
  if (same) return
  throw new DaemonError('not_authorised', given === undefined ? 'the request has no bearer token' : 'the bearer token is wrong', {
    hint: "the token is in the file api-token in the node's home; only its owner can read it"
  })
}

/** Reads a JSON body of a known shape. Throws `body_too_large`, `bad_request`. */
export async function readBody<T extends v.GenericSchema>(request: IncomingMessage, schema: T): Promise<v.InferOutput<T>> {
  const text = await bodyText(request)
  let value: unknown
  try {
    value = text === '' ? {} : JSON.parse(text)
  } catch (cause) {
    throw new DaemonError('bad_request', `the body is not JSON: ${shown(text)}`, { cause })
  }
  const result = v.safeParse(schema, value)
  if (result.success) return result.output
  const [issue] = result.issues
  const path = v.getDotPath(issue) ?? ''
  throw new DaemonError('bad_request', `the request's ${path === '' ? 'body' : path} is ${shown(issue.input)}: ${issue.message}`)
}

async function bodyText(request: IncomingMessage): Promise<string> {
  const tooLarge = () => new DaemonError('body_too_large', `the request's body exceeds ${MAX_BODY_BYTES} bytes`)
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge()
  // Events, not `for await`: breaking off that loop would destroy the socket before the refusal is out.
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength
      if (bytes <= MAX_BODY_BYTES) chunks.push(chunk)
      else {
        request.removeAllListeners('data')
        request.pause()
        reject(tooLarge())
      }
    })
    request.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')))
    request.once('error', cause => reject(new DaemonError('bad_request', 'the request broke off', { cause })))
  })
}

/** A whole number from the query, or undefined where it is not given. Throws `bad_request`. */
export function queryNumber(query: URLSearchParams, name: string, range: { min: number; max: number }): number | undefined {
  const text = query.get(name)
  return text === null ? undefined : wholeNumber(text, name, range)
}

/** Since when: an event's id, or a moment as RFC 3339. Throws `bad_request`. */
export function querySince(query: URLSearchParams): number | Date | undefined {
  const text = query.get('since')
  if (text === null) return undefined
  if (!/^\d{4}-\d\d-\d\dT/.test(text)) return wholeNumber(text, 'since', { min: 0, max: Number.MAX_SAFE_INTEGER })
  const moment = new Date(text)
  if (Number.isNaN(moment.getTime()))
    throw new DaemonError('bad_request', `since is ${shown(text)}: it must be an event's id or a time such as 2026-05-01T10:00:00Z`)
  return moment
}

/** The kind of events that is asked for, or undefined for all. Throws `bad_request`. */
export function queryEventType(query: URLSearchParams): EventType | undefined {
  const text = query.get('type')
  if (text === null) return undefined
  const type = EVENT_TYPES.find(known => known === text)
  if (type === undefined) throw new DaemonError('bad_request', `type is ${shown(text)}: it must be one of ${EVENT_TYPES.join(', ')}`)
  return type
}

/** A whole number from text. Throws `bad_request`. */
export function wholeNumber(text: string, name: string, range: { min: number; max: number }): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(value) && value >= range.min && value <= range.max) return value
  throw new DaemonError('bad_request', `${name} is ${shown(text)}: it must be an integer from ${range.min} to ${range.max}`)
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
