// The control API's server: node:http on the loopback address. Each request passes host, token and bounds before a route sees it.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { CONTROL_SCHEMA } from '../../protocols/control/constants.ts'
import { DaemonError, isCodedError } from '../errors.ts'
import type { Logger } from '../logging/log.ts'
import { logLine } from '../logging/log-line.ts'
import { errorDocument, sendDocument, sendText, statusOf } from './answers.ts'
import { API_HOST, CLOSE_GRACE_MS, HEADERS_TIMEOUT_MS, MAX_CONNECTIONS, REQUEST_TIMEOUT_MS } from './constants.ts'
import { checkHost, checkOrigin, checkToken, queryEventType, queryNumber, readBody, wholeNumber } from './requests.ts'
import { findRoute, type RouteComponents } from './routes.ts'
import { Streams, wantsStream } from './streams.ts'

export type { NodeFace, RouteComponents } from './routes.ts'

export interface ApiOptions {
  token: string
  /** 0 for any free port. */
  port: number
  logger: Logger
  /** Milliseconds. @default 10000 */
  heartbeatMs?: number
  /** Milliseconds in which a whole request must arrive. @default 15000 */
  requestTimeoutMs?: number
}

/** What monitoring may read without a token. */
const PROBES = ['/livez', '/readyz', '/metrics']
const EVENT_IDS = { min: 0, max: Number.MAX_SAFE_INTEGER }

/** Serves the control API until closed. */
export class ApiServer {
  readonly #components: RouteComponents
  readonly #options: ApiOptions
  readonly #streams: Streams
  readonly #server: Server
  #closing: Promise<void> | undefined

  private constructor(components: RouteComponents, options: ApiOptions) {
    this.#components = components
    this.#options = options
    this.#streams = new Streams(options.heartbeatMs === undefined ? {} : { heartbeatMs: options.heartbeatMs })
    const requestTimeout = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS
    const timeouts = {
      requestTimeout,
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeout),
      connectionsCheckingInterval: Math.min(1000, requestTimeout),
      keepAliveTimeout: 5000
    }
    this.#server = createServer(timeouts, (request, response) => void this.#serve(request, response))
    this.#server.maxConnections = MAX_CONNECTIONS
    this.#server.on('clientError', refuseRaw)
  }

  /** Starts listening. Throws `port_taken`. */
  static async listen(components: RouteComponents, options: ApiOptions): Promise<ApiServer> {
    const api = new ApiServer(components, options)
    await new Promise<void>((resolve, reject) => {
      const fail = (cause: NodeJS.ErrnoException) => reject(listenError(cause, options.port))
      api.#server.once('error', fail)
      api.#server.listen({ host: API_HOST, port: options.port }, () => {
        api.#server.off('error', fail)
        resolve()
      })
    })
    return api
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://${API_HOST}:${this.port}`
  }

  /** Ends streams, lets open requests finish for two seconds, then cuts them. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    this.#streams.close()
    this.#server.closeIdleConnections()
    const cut = setTimeout(() => this.#server.closeAllConnections(), CLOSE_GRACE_MS)
    await closed
    clearTimeout(cut)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#answer(request, response)
    } catch (error) {
      if (!isCodedError(error)) this.#options.logger.error({ err: error, method: request.method, path: request.url }, 'a request failed')
      if (response.headersSent) response.destroy()
      else sendDocument(response, statusOf(error), errorDocument(error), refusalHeaders(request, error))
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const address = this.#server.address() as AddressInfo | null
    if (address === null) throw new DaemonError('stopping', 'the daemon is stopping')
    checkHost(request, address.port)
    const { pathname, searchParams: query } = urlOf(request)
    if (await this.#probe(request, response, pathname)) return
    checkToken(request, this.#options.token)
    const ending = this.#closing !== undefined || (request.method === 'POST' && this.#components.face.stopping())
    if (ending) throw new DaemonError('stopping', 'the daemon is stopping')
    const streaming = this.#stream(request, response, pathname, query)
    if (streaming !== undefined) return streaming
    const found = findRoute(request.method ?? '', pathname)
    if (!('route' in found)) throw noRoute(request.method ?? '', pathname, found.allowed)
    const left = new AbortController()
    response.once('close', () => left.abort())
    const call = {
      params: found.params,
      query,
      signal: left.signal,
      body: <T extends Parameters<typeof readBody>[1]>(schema: T) => readBody(request, schema),
      number: (name: string, range: { min: number; max: number }) => queryNumber(query, name, range)
    }
    sendDocument(response, 200, await found.route.handle(call, this.#components))
  }

  async #probe(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    if ((request.method !== 'GET' && request.method !== 'HEAD') || !PROBES.includes(path)) return false
    checkOrigin(request)
    const { face, metrics } = this.#components
    if (path === '/livez') sendDocument(response, 200, { ready: true, failed: [] })
    else if (path === '/readyz') {
      const state = face.ready()
      sendDocument(response, state.ready ? 200 : 503, state)
    } else sendText(response, 200, await metrics.text(), metrics.contentType)
    return true
  }

  #stream(request: IncomingMessage, response: ServerResponse, path: string, query: URLSearchParams): Promise<void> | undefined {
    if (request.method !== 'GET') return undefined
    const { events, log } = this.#components
    if (path === '/v1/events' && wantsStream(request)) {
      const resumed = request.headers['last-event-id']
      const since =
        queryNumber(query, 'since', EVENT_IDS) ??
        (resumed === undefined ? events.last : wholeNumber(String(resumed), 'Last-Event-ID', EVENT_IDS))
      return this.#streams.events(response, events, since, queryEventType(query))
    }
    if (path === '/v1/logs' && query.get('follow') === '1') {
      const format = query.get('format') === 'json' ? (json: string) => json : (json: string) => logLine(json, false)
      return this.#streams.lines(response, log, queryNumber(query, 'tail', { min: 0, max: 2000 }) ?? 10, format)
    }
    return undefined
  }
}

function urlOf(request: IncomingMessage): URL {
  try {
    return new URL(request.url ?? '/', 'http://localhost')
  } catch (cause) {
    throw new DaemonError('bad_request', 'the request has no path that can be read', { cause })
  }
}

function noRoute(method: string, path: string, allowed: string[]): DaemonError {
  if (allowed.length === 0) return new DaemonError('not_found', `the API has no path ${path.slice(0, 200)}`)
  return new DaemonError('method_not_allowed', `${path} takes ${allowed.join(', ')}, not ${method}`, { details: { allowed } })
}

function refusalHeaders(request: IncomingMessage, error: unknown): Record<string, string> {
  // A body that was not read must not be taken for the next request.
  const unread: Record<string, string> = request.complete ? {} : { connection: 'close' }
  if (!isCodedError(error)) return unread
  if (error.code === 'not_authorised') return { ...unread, 'www-authenticate': 'Bearer' }
  if (error.code === 'method_not_allowed') return { ...unread, allow: (error.details as { allowed: string[] }).allowed.join(', ') }
  return unread
}

/** Answers what node:http itself refused, before there was a request. */
function refuseRaw(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable) return
  const slow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const large = error.code === 'HPE_HEADER_OVERFLOW'
  const [status, code, message] = slow
    ? ['408 Request Timeout', 'request_timeout', 'the request did not arrive in time']
    : large
      ? ['431 Request Header Fields Too Large', 'bad_request', "the request's head is too large"]
      : ['400 Bad Request', 'bad_request', 'the request is not HTTP']
  const body = `${JSON.stringify({ schema: CONTROL_SCHEMA, error: { code, message } })}\n`
  const head = `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close`
  socket.end(`HTTP/1.1 ${status}\r\n${head}\r\n\r\n${body}`)
}

function listenError(cause: NodeJS.ErrnoException, port: number): DaemonError {
  if (cause.code === 'EADDRINUSE' || cause.code === 'EACCES') {
    const why = cause.code === 'EADDRINUSE' ? 'is taken' : 'may not be listened on'
    return new DaemonError('port_taken', `the control API's port ${port} on ${API_HOST} ${why}`, {
      hint: 'name another one with --api-port, or 0 for any free one',
      details: { port, host: API_HOST },
      cause
    })
  }
  return new DaemonError('start_failed', `the control API cannot listen on ${API_HOST}:${port}: ${cause.message}`, { cause })
}
