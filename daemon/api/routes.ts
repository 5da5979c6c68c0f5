// Every path of the API and what it answers. What is slow or may fail lives behind RunHost and NodeFace; nothing is decided here.
import { isAbsolute } from 'node:path'
import * as v from 'valibot'
import { decodeInvitation, MAX_INVITATION_LENGTH, MAX_NAME_LENGTH, MAX_USES } from '../../protocols/admission/index.ts'
import { MAX_ROWS, MAX_SPAN_MS } from '../../protocols/control/constants.ts'
import type {
  ConfigDocument,
  IdDocument,
  JoinRunRequest,
  PeerRow,
  ReadyDocument,
  RunStatus,
  StandingRow,
  StatusDocument
} from '../../protocols/control/messages.ts'
import { type DaemonConfig, settingRows } from '../config.ts'
import { isBuiltin } from '../corpora.ts'
import { DaemonError } from '../errors.ts'
import { meaningOf } from '../event-codes.ts'
import type { EventLog } from '../events.ts'
import { isPeer } from '../identity.ts'
import type { Log } from '../logging/log.ts'
import { logLine } from '../logging/log-line.ts'
import { parseRunSpec, specWarnings } from '../manifest.ts'
import type { Metrics } from '../metrics.ts'
import type { RunHost } from '../run/run-host.ts'
import { MAX_WHY } from './constants.ts'
import { queryEventType, querySince } from './requests.ts'

/** What the API needs to know of the node itself. */
export interface NodeFace {
  id(): Omit<IdDocument, 'schema'>
  status(): StatusDocument
  peers(): PeerRow[]
  /** Dials an address; answers the peer found there. */
  connect(address: string, options: { signal: AbortSignal }): Promise<string>
  /** What this node makes of a peer, after the operator's word. @param forMs null: for ever */
  ban(peer: string, options: { reason: string; forMs: number | null }): Promise<StandingRow>
  unban(peer: string): Promise<StandingRow>
  standing(peer: string): StandingRow
  ready(): Omit<ReadyDocument, 'schema'>
  /** True once the daemon has begun to stop: nothing new is begun then. */
  stopping(): boolean
  /** Begins a clean stop, after the answer is out. */
  shutdown(): void
}

export interface RouteComponents {
  face: NodeFace
  runs: RunHost
  events: EventLog
  log: Log
  metrics: Metrics
  config: DaemonConfig
}

/** One request as a route sees it. */
export interface Call {
  params: Record<string, string>
  query: URLSearchParams
  /** Fires when the client leaves. */
  signal: AbortSignal
  body<T extends v.GenericSchema>(schema: T): Promise<v.InferOutput<T>>
  number(name: string, range: { min: number; max: number }): number | undefined
}

export interface Route {
  method: 'GET' | 'POST'
  /** `:name` stands for one part. */
  path: string
  /** Answers the document to send. */
  handle(call: Call, components: RouteComponents): object | Promise<object>
}

const COUNT = (least: number, most: number) =>
  v.pipe(
    v.number('must be a number'),
    v.safeInteger('must be an integer'),
    v.minValue(least, `must be at least ${least}`),
    v.maxValue(most, `must be at most ${most}`)
  )
const RUN = v.pipe(v.string('must be a text'), v.minLength(1, 'must not be empty'), v.maxLength(200, 'must have at most 200 characters'))
const TEXT = (max: number) => v.pipe(v.string('must be a text'), v.maxLength(max, `must have at most ${max} characters`))
const ABSOLUTE = v.pipe(TEXT(4096), v.check(isAbsolute, 'must be an absolute path'))
const SOURCE = v.pipe(
  TEXT(4096),
  v.check(source => isBuiltin(source) || isAbsolute(source), 'must be an absolute path or sotu:ERA')
)
const ROUND = v.pipe(v.number('must be a number'), v.safeInteger('must be an integer'), v.minValue(0, 'must be at least 0'))
const SPEC = v.object({ spec: v.unknown(), baseDir: v.optional(ABSOLUTE), file: v.optional(TEXT(4096)) }, 'must be an object')
const THREADS = v.pipe(
  v.number('must be a number'),
  v.safeInteger('must be an integer'),
  v.minValue(0, 'must be at least 0'),
  v.maxValue(1024, 'must be at most 1024')
)
const JOIN = v.object(
  {
    data: v.optional(v.pipe(v.array(SOURCE, 'must be a list of paths'), v.maxLength(1000, 'must have at most 1000 entries'))),
    train: v.optional(v.boolean('must be true or false')),
    engine: v.optional(TEXT(64)),
    threads: v.optional(THREADS),
    audit: v.optional(v.pipe(v.number('must be a number'), v.minValue(0, 'must be at least 0'), v.maxValue(1, 'must be at most 1'))),
    invitation: v.optional(TEXT(MAX_INVITATION_LENGTH)),
    name: v.optional(TEXT(MAX_NAME_LENGTH))
  },
  'must be an object'
)
const BY_INVITATION = v.object({ ...JOIN.entries, invitation: TEXT(MAX_INVITATION_LENGTH) }, 'must be an object')
const PEER = v.pipe(TEXT(200), v.check(isPeer, 'must be an Ed25519 peer id such as 12D3KooW...'))
const INVITE = v.object(
  {
    expiresMs: v.optional(v.nullable(COUNT(1, MAX_SPAN_MS))),
    uses: v.optional(COUNT(1, MAX_USES)),
    peer: v.optional(PEER)
  },
  'must be an object'
)
const DECIDE = v.object({ peer: PEER, state: v.picklist(['admitted', 'refused', 'revoked'], 'must be admitted, refused or revoked') })
const BAN = v.object({ peer: PEER, forMs: v.optional(COUNT(1, MAX_SPAN_MS)), reason: v.optional(TEXT(200)) }, 'must be an object')
const REVOKE = v.object({ invitation: TEXT(MAX_INVITATION_LENGTH) }, 'must be an object')
const FETCH = v.object({ run: RUN, round: v.optional(ROUND) }, 'must be an object')
const EXPORT = v.object({ run: RUN, round: v.optional(ROUND), directory: ABSOLUTE }, 'must be an object')
const ADDRESS = v.object({ address: TEXT(1024) }, 'must be an object')

/** A run may be called by its name where the node knows just one of that name. */
function runOf(runs: RunHost, text: string): string {
  const named = runs.list().filter(row => row.name === text)
  if (named.length > 1) throw new DaemonError('unknown_run', `${named.length} runs are named ${text}`, { hint: 'use the run id' })
  return named[0]?.run ?? text
}

/** The same for what `why` is asked about: `demo` or `demo/7`. A number alone is a round's, and what is no run stays as it is. */
function subjectOf(runs: RunHost, text: string): string {
  if (/^\d+$/.test(text)) return text
  const [, run, round] = /^(.+?)(\/\d+)?$/s.exec(text)!
  return runOf(runs, run!) + (round ?? '')
}

async function statusOfRun(runs: RunHost, run: string): Promise<{ status: RunStatus }> {
  return { status: (await runs.inspect(run)).status }
}

/** A run that waits for admission is not known here by its manifest yet in every case. */
async function joinedStatus(runs: RunHost, run: string): Promise<{ status: RunStatus }> {
  const row = runs.list().find(status => status.run === run)
  return row === undefined ? statusOfRun(runs, run) : { status: row }
}

function joinOptions({ data, train, engine, threads, audit, invitation, name }: v.InferOutput<typeof JOIN>): JoinRunRequest {
  return {
    ...(data === undefined ? {} : { data }),
    ...(train === undefined ? {} : { train }),
    ...(engine === undefined ? {} : { engine }),
    // 0 leaves it to the daemon's own setting.
    ...(threads === undefined || threads === 0 ? {} : { threads }),
    ...(audit === undefined ? {} : { audit }),
    ...(invitation === undefined ? {} : { invitation }),
    ...(name === undefined ? {} : { name })
  }
}

const action = (name: 'pause' | 'resume'): Route => ({
  method: 'POST',
  path: `/v1/runs/:run/${name}`,
  async handle({ params }, { runs }) {
    const run = runOf(runs, params.run!)
    await runs[name](run)
    return statusOfRun(runs, run)
  }
})

/** Paths that answer with a document; streams, metrics and probes are in server.ts. */
export const ROUTES: readonly Route[] = [
  { method: 'GET', path: '/v1/id', handle: (_, { face }) => face.id() },
  { method: 'GET', path: '/v1/status', handle: (_, { face }) => face.status() },
  { method: 'GET', path: '/v1/peers', handle: (_, { face }) => ({ peers: face.peers() }) },
  {
    method: 'POST',
    path: '/v1/peers/connect',
    async handle({ body, signal }, { face }) {
      const { address } = await body(ADDRESS)
      return { peer: await face.connect(address, { signal }) }
    }
  },
  {
    method: 'POST',
    path: '/v1/peers/ban',
    async handle({ body }, { face }) {
      const { peer, forMs, reason } = await body(BAN)
      if (peer === face.id().peer) throw new DaemonError('bad_request', 'a node cannot ban itself')
      return { standing: await face.ban(peer, { reason: reason ?? "the operator's word", forMs: forMs ?? null }) }
    }
  },
  {
    method: 'POST',
    path: '/v1/peers/unban',
    handle: async ({ body }, { face }) => ({ standing: await face.unban((await body(v.object({ peer: PEER }, 'must be an object'))).peer) })
  },
  { method: 'GET', path: '/v1/runs', handle: (_, { runs }) => ({ runs: runs.list() }) },
  {
    method: 'POST',
    path: '/v1/runs',
    async handle({ body, signal }, { runs }) {
      const { spec, baseDir, file } = await body(SPEC)
      const options = { signal, ...(baseDir === undefined ? {} : { baseDir }), ...(file === undefined ? {} : { file }) }
      return { run: await runs.create(spec, options) }
    }
  },
  {
    method: 'POST',
    path: '/v1/runs/validate',
    async handle({ body }) {
      const { spec, file } = await body(SPEC)
      const checked = parseRunSpec(spec, file === undefined ? {} : { file })
      return { spec: checked, warnings: specWarnings(checked) }
    }
  },
  {
    method: 'GET',
    path: '/v1/runs/:run',
    async handle({ params }, { runs }) {
      const run = runOf(runs, params.run!)
      return { run, ...(await runs.inspect(run)) }
    }
  },
  {
    method: 'POST',
    path: '/v1/runs/:run/join',
    async handle({ params, body, signal }, { runs }) {
      const run = runOf(runs, params.run!)
      await runs.join(run, { signal, ...joinOptions(await body(JOIN)) })
      return joinedStatus(runs, run)
    }
  },
  {
    method: 'POST',
    path: '/v1/runs/join',
    async handle({ body, signal }, { runs }) {
      const request = await body(BY_INVITATION)
      const { run } = decodeInvitation(request.invitation)
      await runs.join(run, { signal, ...joinOptions(request) })
      return joinedStatus(runs, run)
    }
  },
  {
    method: 'POST',
    path: '/v1/runs/:run/invitations',
    async handle({ params, body }, { runs }) {
      const run = runOf(runs, params.run!)
      const { expiresMs, uses, peer } = await body(INVITE)
      const request = {
        ...(expiresMs === undefined ? {} : { expiresMs }),
        ...(uses === undefined ? {} : { uses }),
        ...(peer === undefined ? {} : { peer })
      }
      return { run, ...(await runs.admission.invite(run, request)) }
    }
  },
  {
    method: 'GET',
    path: '/v1/runs/:run/invitations',
    async handle({ params }, { runs }) {
      const run = runOf(runs, params.run!)
      return { run, invitations: await runs.admission.invitations(run) }
    }
  },
  {
    method: 'POST',
    path: '/v1/runs/:run/invitations/revoke',
    async handle({ params, body }, { runs }) {
      const run = runOf(runs, params.run!)
      return { run, invitation: await runs.admission.revokeInvitation(run, (await body(REVOKE)).invitation) }
    }
  },
  {
    method: 'GET',
    path: '/v1/runs/:run/candidates',
    async handle({ params }, { runs }) {
      const run = runOf(runs, params.run!)
      return { run, candidates: await runs.admission.candidates(run) }
    }
  },
  {
    method: 'POST',
    path: '/v1/runs/:run/candidates',
    async handle({ params, body }, { runs }) {
      const run = runOf(runs, params.run!)
      const { peer, state } = await body(DECIDE)
      return { run, candidate: await runs.admission.decide(run, peer, state) }
    }
  },
  {
    method: 'POST',
    path: '/v1/runs/:run/leave',
    handle: async ({ params }, { runs }) => ({ status: await runs.leave(runOf(runs, params.run!)) })
  },
  action('pause'),
  action('resume'),
  {
    method: 'GET',
    path: '/v1/runs/:run/rounds',
    async handle({ params, number }, { runs }) {
      const run = runOf(runs, params.run!)
      return { run, rounds: await runs.rounds(run, number('limit', { min: 1, max: MAX_ROWS }) ?? 20) }
    }
  },
  {
    method: 'GET',
    path: '/v1/why',
    async handle({ query }, { events, face, runs }) {
      const subject = query.get('subject') ?? ''
      if (subject === '' || subject.length > 200) throw new DaemonError('bad_request', 'subject must be a peer, round, run or CID')
      const standing = v.is(PEER, subject) ? { standing: face.standing(subject) } : {}
      const meaning = meaningOf(subject)
      const about = await events.why(subjectOf(runs, subject))
      return { subject, meaning, ...standing, events: about.slice(-MAX_WHY), leftOut: Math.max(0, about.length - MAX_WHY) }
    }
  },
  {
    method: 'GET',
    path: '/v1/events',
    async handle({ number, query }, { events }) {
      const asked = querySince(query)
      const since = asked instanceof Date ? await events.before(asked) : asked
      const limit = number('limit', { min: 1, max: MAX_ROWS }) ?? 100
      const type = queryEventType(query)
      // Before they are read: what happens meanwhile is for whoever goes on from it.
      const { last } = events
      return { events: since === undefined ? await events.tail(limit, type) : await events.since(since, limit, type), last }
    }
  },
  { method: 'GET', path: '/v1/checkpoints', handle: async (_, { runs }) => ({ checkpoints: await runs.checkpoints() }) },
  {
    method: 'POST',
    path: '/v1/checkpoints/fetch',
    async handle({ body, signal }, { runs }) {
      const { run, round } = await body(FETCH)
      return { checkpoint: await runs.fetchCheckpoint(runOf(runs, run), round, { signal }) }
    }
  },
  {
    method: 'POST',
    path: '/v1/checkpoints/export',
    async handle({ body, signal }, { runs }) {
      const { run, round, directory } = await body(EXPORT)
      return runs.exportCheckpoint(runOf(runs, run), round, directory, { signal })
    }
  },
  {
    method: 'GET',
    path: '/v1/logs',
    handle({ number, query }, { log }) {
      const lines = log.tail(number('tail', { min: 0, max: 2000 }) ?? 100)
      return { lines: query.get('format') === 'json' ? lines : lines.map(json => logLine(json, false)) }
    }
  },
  {
    method: 'GET',
    path: '/v1/config',
    handle: (_, { config }): Omit<ConfigDocument, 'schema'> => ({ home: config.home, file: config.file, settings: settingRows(config) })
  },
  {
    method: 'POST',
    path: '/v1/shutdown',
    handle(_, { face }) {
      face.shutdown()
      return { stopping: true }
    }
  }
]

/** The route of a path and its parts, or the methods that the path has. */
export function findRoute(method: string, path: string): { route: Route; params: Record<string, string> } | { allowed: string[] } {
  const allowed: string[] = []
  const parts = path.split('/')
  for (const route of ROUTES) {
    const params = match(route.path.split('/'), parts)
    if (params === undefined) continue
    if (route.method === method || (route.method === 'GET' && method === 'HEAD')) return { route, params }
    allowed.push(route.method)
  }
  return { allowed: [...new Set(allowed)] }
}

function match(pattern: string[], parts: string[]): Record<string, string> | undefined {
  if (pattern.length !== parts.length) return undefined
  const params: Record<string, string> = {}
  for (const [i, part] of parts.entries()) {
    const wanted = pattern[i]!
    if (!wanted.startsWith(':')) {
      if (wanted !== part) return undefined
      continue
    }
    try {
      params[wanted.slice(1)] = decodeURIComponent(part)
    } catch {
      return undefined
    }
  }
  return params
}
