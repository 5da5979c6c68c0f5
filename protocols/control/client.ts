// The control API's client: one typed method for each request. It reads no file itself; `locateDaemon` is given the reader.
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import {
  DAEMON_FILE,
  type EventType,
  HEARTBEAT_MS,
  MAX_ANSWER_BYTES,
  MAX_EVENT_BYTES,
  MISSED_HEARTBEATS,
  REQUEST_TIMEOUT_MS,
  TOKEN_FILE
} from './constants.ts'
import { ControlError } from './errors.ts'
import { isAlive } from './is-alive.ts'
import type {
  BanRequest,
  CandidateDocument,
  CandidatesDocument,
  CheckpointsDocument,
  ConfigDocument,
  ConnectDocument,
  CreateRunDocument,
  CreateRunRequest,
  DaemonFile,
  DecideRequest,
  ErrorDocument,
  EventsDocument,
  ExportCheckpointDocument,
  ExportCheckpointRequest,
  FetchCheckpointDocument,
  FetchCheckpointRequest,
  IdDocument,
  InvitationDocument,
  InvitationsDocument,
  InviteDocument,
  InviteRequest,
  JoinByInvitationRequest,
  JoinRunRequest,
  LogsDocument,
  NodeEvent,
  PeersDocument,
  ReadyDocument,
  RoundsDocument,
  RunActionDocument,
  RunDocument,
  RunsDocument,
  ShutdownDocument,
  StandingDocument,
  StatusDocument,
  ValidateRunDocument,
  WhyDocument
} from './messages.ts'
import { parseServerSentEvents } from './server-sent-events.ts'

/** Where a daemon's API is and the token that it wants. */
export interface ControlTarget {
  /** Such as `http://127.0.0.1:4180`. */
  api: string
  token: string
}

/** A daemon as its home describes it. */
export interface LocatedDaemon extends ControlTarget {
  pid: number
  peer: string
}

export interface CallOptions {
  signal?: AbortSignal
  /** Milliseconds until the whole answer must be there. @default 30000, and none for work that takes as long as it takes */
  timeoutMs?: number
}

/**
 * Finds the daemon that lives in a home, which takes a process that is alive: after a crash its port is anybody's on this machine, and the token not theirs.
 * `read` answers a file's text, undefined where the file does not exist.
 * Throws `daemon_not_running`, `api_token_missing`, `api_token_unreadable`, `daemon_file_damaged`.
 */
export async function locateDaemon(home: string, read: (path: string) => Promise<string | undefined>): Promise<LocatedDaemon> {
  const text = await read(join(home, DAEMON_FILE))
  if (text === undefined) throw notRunning(`no daemon is running in ${home}`)
  let facts: Partial<DaemonFile>
  try {
    facts = JSON.parse(text) as Partial<DaemonFile>
  } catch (cause) {
    throw new ControlError('daemon_file_damaged', `${join(home, DAEMON_FILE)} is not JSON`, {
      hint: 'start the daemon again: it writes the file anew',
      cause
    })
  }
  const { api, pid, peer } = facts
  if (typeof api !== 'string' || typeof pid !== 'number' || typeof peer !== 'string') {
    throw new ControlError('daemon_file_damaged', `${join(home, DAEMON_FILE)} lacks api, pid or peer`, {
      hint: 'start the daemon again: it writes the file anew'
    })
  }
  if (!isAlive(pid))
    throw notRunning(
      `no daemon is running in ${home}: the last one, pid ${pid}, did not stop cleanly, or it runs in a container and wants --api`
    )
  return { api, token: await readToken(home, read), pid, peer }
}

/** The token by which the owner of a home speaks to its daemon. Throws `api_token_missing`, `api_token_unreadable`. */
export async function readToken(home: string, read: (path: string) => Promise<string | undefined>): Promise<string> {
  const path = join(home, TOKEN_FILE)
  let text: string | undefined
  try {
    text = await read(path)
  } catch (cause) {
    throw new ControlError('api_token_unreadable', `the token file ${path} cannot be read`, {
      hint: "only the home's owner may speak to its daemon",
      cause
    })
  }
  const token = text?.trim()
  if (token !== undefined && token !== '') return token
  throw new ControlError('api_token_missing', `the token file ${path} is missing or empty`, {
    hint: `is ${home} the home of the daemon? If so, restart it: it writes a new token`
  })
}

/** A client for one daemon; holds no connection between calls. */
export function connectControl(target: ControlTarget): ControlClient {
  return new ControlClient(target)
}

/** Typed requests to one daemon. Every method throws {@link ControlError} with the daemon's code, or the client's own. */
export class ControlClient {
  readonly api: string
  readonly #token: string
  readonly #heartbeatMs: number

  constructor(target: ControlTarget, options: { heartbeatMs?: number } = {}) {
    this.api = target.api.replace(/\/+$/, '')
    this.#token = target.token
    this.#heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS
  }

  id(options?: CallOptions): Promise<IdDocument> {
    return this.#get('/v1/id', options)
  }

  status(options?: CallOptions): Promise<StatusDocument> {
    return this.#get('/v1/status', options)
  }

  peers(options?: CallOptions): Promise<PeersDocument> {
    return this.#get('/v1/peers', options)
  }

  /** @param address a multiaddr that ends in /p2p/PEER. */
  connectPeer(address: string, options?: CallOptions): Promise<ConnectDocument> {
    return this.#post('/v1/peers/connect', { address }, options)
  }

  banPeer(request: BanRequest, options?: CallOptions): Promise<StandingDocument> {
    return this.#post('/v1/peers/ban', request, options)
  }

  unbanPeer(peer: string, options?: CallOptions): Promise<StandingDocument> {
    return this.#post('/v1/peers/unban', { peer }, options)
  }

  runs(options?: CallOptions): Promise<RunsDocument> {
    return this.#get('/v1/runs', options)
  }

  run(run: string, options?: CallOptions): Promise<RunDocument> {
    return this.#get(`/v1/runs/${encodeURIComponent(run)}`, options)
  }

  /** May build a tokenizer and a genesis, so it has no time limit of its own. */
  createRun(request: CreateRunRequest, options?: CallOptions): Promise<CreateRunDocument> {
    return this.#post('/v1/runs', request, { timeoutMs: 0, ...options })
  }

  validateRun(request: CreateRunRequest, options?: CallOptions): Promise<ValidateRunDocument> {
    return this.#post('/v1/runs/validate', request, options)
  }

  /** Finds members and fetches the manifest, so it has no time limit of its own. */
  joinRun(run: string, request: JoinRunRequest = {}, options?: CallOptions): Promise<RunActionDocument> {
    return this.#post(`/v1/runs/${encodeURIComponent(run)}/join`, request, { timeoutMs: 0, ...options })
  }

  /** The same by the text of an invitation, which names the run. */
  joinByInvitation(request: JoinByInvitationRequest, options?: CallOptions): Promise<RunActionDocument> {
    return this.#post('/v1/runs/join', request, { timeoutMs: 0, ...options })
  }

  invite(run: string, request: InviteRequest = {}, options?: CallOptions): Promise<InviteDocument> {
    return this.#post(`/v1/runs/${encodeURIComponent(run)}/invitations`, request, options)
  }

  invitations(run: string, options?: CallOptions): Promise<InvitationsDocument> {
    return this.#get(`/v1/runs/${encodeURIComponent(run)}/invitations`, options)
  }

  /** @param invitation its id or its text. */
  revokeInvitation(run: string, invitation: string, options?: CallOptions): Promise<InvitationDocument> {
    return this.#post(`/v1/runs/${encodeURIComponent(run)}/invitations/revoke`, { invitation }, options)
  }

  /** Who asked this node for admission to the run. */
  candidates(run: string, options?: CallOptions): Promise<CandidatesDocument> {
    return this.#get(`/v1/runs/${encodeURIComponent(run)}/candidates`, options)
  }

  decideCandidate(run: string, request: DecideRequest, options?: CallOptions): Promise<CandidateDocument> {
    return this.#post(`/v1/runs/${encodeURIComponent(run)}/candidates`, request, options)
  }

  /** Waits for the trainer to save, so it has no time limit of its own. */
  leaveRun(run: string, options?: CallOptions): Promise<RunActionDocument> {
    return this.#post(`/v1/runs/${encodeURIComponent(run)}/leave`, {}, { timeoutMs: 0, ...options })
  }

  pauseRun(run: string, options?: CallOptions): Promise<RunActionDocument> {
    return this.#post(`/v1/runs/${encodeURIComponent(run)}/pause`, {}, options)
  }

  resumeRun(run: string, options?: CallOptions): Promise<RunActionDocument> {
    return this.#post(`/v1/runs/${encodeURIComponent(run)}/resume`, {}, options)
  }

  rounds(run: string, query: { limit?: number } = {}, options?: CallOptions): Promise<RoundsDocument> {
    return this.#get(`/v1/runs/${encodeURIComponent(run)}/rounds${queryOf(query)}`, options)
  }

  why(subject: string, options?: CallOptions): Promise<WhyDocument> {
    return this.#get(`/v1/why${queryOf({ subject })}`, options)
  }

  checkpoints(options?: CallOptions): Promise<CheckpointsDocument> {
    return this.#get('/v1/checkpoints', options)
  }

  /** Fetches an anchor's blocks from peers, so it has no time limit of its own. */
  fetchCheckpoint(request: FetchCheckpointRequest, options?: CallOptions): Promise<FetchCheckpointDocument> {
    return this.#post('/v1/checkpoints/fetch', request, { timeoutMs: 0, ...options })
  }

  exportCheckpoint(request: ExportCheckpointRequest, options?: CallOptions): Promise<ExportCheckpointDocument> {
    return this.#post('/v1/checkpoints/export', request, { timeoutMs: 0, ...options })
  }

  /** `format` json: lines as the daemon wrote them, each a JSON object; else as people read them. */
  logs(query: { tail?: number; format?: 'json' } = {}, options?: CallOptions): Promise<LogsDocument> {
    return this.#get(`/v1/logs${queryOf(query)}`, options)
  }

  config(options?: CallOptions): Promise<ConfigDocument> {
    return this.#get('/v1/config', options)
  }

  shutdown(options?: CallOptions): Promise<ShutdownDocument> {
    return this.#post('/v1/shutdown', {}, options)
  }

  /** Answers while the process's loop turns; throws otherwise. */
  async live(options?: CallOptions): Promise<void> {
    await this.#get('/livez', options)
  }

  /** Never throws for a daemon that is not ready: the document says which checks fail. */
  async ready(options?: CallOptions): Promise<ReadyDocument> {
    const { status, body } = await this.#text('GET', '/readyz', undefined, options)
    if (status !== 200 && status !== 503) throw refusalOf(status, body)
    return parseAnswer<ReadyDocument>(body)
  }

  /** Prometheus text. */
  async metrics(options?: CallOptions): Promise<string> {
    const { status, body } = await this.#text('GET', '/metrics', undefined, options)
    if (status !== 200) throw refusalOf(status, body)
    return body
  }

  /**
   * The events so far, oldest first, at most `limit` after `since` (an event's id, or a time as RFC 3339), or the newest `limit` where `since` is left out;
   * of one type, where it is given.
   */
  eventList(query: { since?: number | string; limit?: number; type?: EventType } = {}, options?: CallOptions): Promise<EventsDocument> {
    return this.#get(`/v1/events${queryOf(query)}`, options)
  }

  /** Follows events after an id until the signal fires (a time limit throws `timeout`) or the daemon stops; the caller goes on from the last id that it saw. */
  async *events(query: { since?: number; type?: EventType } = {}, options: { signal?: AbortSignal } = {}): AsyncGenerator<NodeEvent> {
    for await (const event of this.#stream(`/v1/events${queryOf(query)}`, options.signal)) yield parseAnswer<NodeEvent>(event.data)
  }

  /** Follows log lines: the last `tail`, then new ones, in the same forms. */
  async *followLogs(query: { tail?: number; format?: 'json' } = {}, options: { signal?: AbortSignal } = {}): AsyncGenerator<string> {
    for await (const event of this.#stream(`/v1/logs${queryOf({ ...query, follow: 1 })}`, options.signal)) yield event.data
  }

  async *#stream(path: string, signal: AbortSignal | undefined) {
    let response: IncomingMessage | undefined
    const silence = new AbortController()
    let isWaiting = true
    let missed = 0
    // Counted, as one long timer would end at once where this process itself was stopped; and a reader who takes his time is no silence.
    const timer = setInterval(() => {
      if (isWaiting && ++missed > MISSED_HEARTBEATS) silence.abort()
    }, this.#heartbeatMs)
    const heard = async function* (bytes: AsyncIterable<Buffer>) {
      for await (const chunk of bytes) {
        missed = 0
        isWaiting = false
        yield chunk
        isWaiting = true
      }
    }
    try {
      const either = signal === undefined ? silence.signal : AbortSignal.any([signal, silence.signal])
      response = await this.#open('GET', path, undefined, { accept: 'text/event-stream', signal: either })
      if (response.statusCode !== 200) throw refusalOf(response.statusCode ?? 0, await textOf(response))
      yield* parseServerSentEvents(heard(response), MAX_EVENT_BYTES)
    } catch (error) {
      if (signal?.aborted && !timedOut(signal)) return
      if (signal?.aborted) throw this.#givenUp(`GET ${path}`, signal, error)
      if (silence.signal.aborted) throw this.#silent(`GET ${path}`, error)
      throw error instanceof ControlError ? error : this.#connectionError(error)
    } finally {
      clearInterval(timer)
      response?.destroy()
    }
  }

  async #get<T>(path: string, options?: CallOptions): Promise<T> {
    return this.#json('GET', path, undefined, options)
  }

  async #post<T>(path: string, body: object, options?: CallOptions): Promise<T> {
    return this.#json('POST', path, JSON.stringify(body), options)
  }

  async #json<T>(method: string, path: string, body: string | undefined, options?: CallOptions): Promise<T> {
    const answer = await this.#text(method, path, body, options)
    if (answer.status < 200 || answer.status > 299) throw refusalOf(answer.status, answer.body)
    return parseAnswer<T>(answer.body)
  }

  async #text(
    method: string,
    path: string,
    body: string | undefined,
    options: CallOptions = {}
  ): Promise<{ status: number; body: string }> {
    const timeoutMs = options.timeoutMs ?? REQUEST_TIMEOUT_MS
    const timeout = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined
    const signals = [options.signal, timeout].filter(signal => signal !== undefined)
    try {
      const response = await this.#open(method, path, body, { accept: 'application/json', signal: AbortSignal.any(signals) })
      return { status: response.statusCode ?? 0, body: await textOf(response) }
    } catch (error) {
      if (error instanceof ControlError) throw error
      if (options.signal?.aborted) throw this.#givenUp(`${method} ${path}`, options.signal, error)
      if (timeout?.aborted) {
        throw new ControlError('request_timeout', `the daemon at ${this.api} did not answer ${method} ${path} within ${timeoutMs} ms`, {
          cause: error
        })
      }
      throw this.#connectionError(error)
    }
  }

  #open(
    method: string,
    path: string,
    body: string | undefined,
    options: { accept: string; signal: AbortSignal | undefined }
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${this.#token}`, accept: options.accept }
      const withBody = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }
      const outgoing = httpRequest(
        this.api + path,
        { method, headers: { ...headers, ...withBody }, agent: false, signal: options.signal },
        resolve
      )
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }

  #givenUp(request: string, signal: AbortSignal, cause: unknown): ControlError {
    if (!timedOut(signal)) return new ControlError('aborted', `${request} was given up`, { cause })
    return new ControlError('timeout', `the time limit passed during ${request} of the daemon at ${this.api}`, { cause })
  }

  #silent(request: string, cause: unknown): ControlError {
    const seconds = (MISSED_HEARTBEATS * this.#heartbeatMs) / 1000
    return new ControlError('request_timeout', `the daemon at ${this.api} has said nothing to ${request} for more than ${seconds} s`, {
      hint: 'it hangs or is stopped; while it lives a word comes every few seconds',
      cause
    })
  }

  #connectionError(error: unknown): ControlError {
    const code = (error as { code?: string } | null)?.code
    if (code === 'ECONNREFUSED' || code === 'ENOTFOUND') return notRunning(`no daemon answers at ${this.api}`, error)
    return notRunning(`the connection to the daemon at ${this.api} broke: ${error instanceof Error ? error.message : String(error)}`, error)
  }
}

/** Whether a signal fired because of a time limit, as those of AbortSignal.timeout() do. */
function timedOut(signal: AbortSignal): boolean {
  return signal.aborted && (signal.reason as { name?: unknown } | null)?.name === 'TimeoutError'
}

function notRunning(message: string, cause?: unknown): ControlError {
  return new ControlError('daemon_not_running', message, { hint: 'start one with: shoal daemon', cause })
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength
    if (bytes > MAX_ANSWER_BYTES) {
      response.destroy()
      throw new ControlError('answer_too_large', `the daemon's answer exceeds ${MAX_ANSWER_BYTES} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseAnswer<T>(text: string): T {
  try {
    return JSON.parse(text) as T
  } catch (cause) {
    throw new ControlError('answer_damaged', `the daemon's answer is not JSON: ${text.slice(0, 80)}`, { cause })
  }
}

function refusalOf(status: number, body: string): ControlError {
  try {
    const { error } = JSON.parse(body) as Partial<ErrorDocument>
    if (typeof error?.code === 'string' && typeof error.message === 'string') {
      return new ControlError(error.code, error.message, {
        status,
        ...(typeof error.hint === 'string' ? { hint: error.hint } : {}),
        ...(error.details === undefined ? {} : { details: error.details })
      })
    }
  } catch {
    // Not the daemon's own words: a proxy, or another server on this port.
  }
  return new ControlError('answer_damaged', `${status}: the server's answer is not a shoal daemon's: ${body.slice(0, 80)}`, { status })
}

function queryOf(query: Record<string, string | number | undefined>): string {
  const pairs = Object.entries(query).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]]))
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs)}`
}
