// The control API over real sockets, with the client that the CLI uses; runs are kept by a stand-in.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { queryObjects } from 'node:v8'
import { ApiServer, type NodeFace } from '../../../../daemon/api/server.ts'
import { loadConfig } from '../../../../daemon/config.ts'
import { DaemonError } from '../../../../daemon/errors.ts'
import { EventLog } from '../../../../daemon/events.ts'
import { type Log, openLog } from '../../../../daemon/logging/log.ts'
import { DEMO_SPEC, type Manifest } from '../../../../daemon/manifest.ts'
import { Metrics } from '../../../../daemon/metrics.ts'
import { openNoRuns } from '../../../../daemon/run/no-runs.ts'
import type { RunHost } from '../../../../daemon/run/run-host.ts'
import { ControlClient } from '../../../../protocols/control/index.ts'
import type { NodeEvent, RunStatus, StandingRow, StatusDocument } from '../../../../protocols/control/messages.ts'
import { MemoryTable } from '../memory-table.ts'

const TOKEN = 'right-token'
const RUN = `b${'a'.repeat(58)}`
const STATUS: StatusDocument = {
  schema: 1,
  node: { peer: 'p', upSeconds: 1, version: '0', network: 'n', state: 'ready' },
  runs: [],
  peers: [],
  traffic: { sent: 1, received: 2, wire: { sent: 1, received: 2 }, maxUpload: null },
  health: []
}
const RUN_STATUS = {
  run: RUN,
  name: 'demo',
  state: 'training',
  round: 3,
  step: 9,
  tokens: 7,
  loss: null,
  members: []
} as unknown as RunStatus

const TRUSTED: StandingRow = {
  ...{ peer: 'p', standing: 'good', reason: null, byOperator: false, until: null },
  ...{ points: 0, bans: 0, offences: [], opinions: [] }
}

interface RawAnswer {
  status: number
  body: string
  headers: Record<string, unknown>
}

describe('ApiServer', () => {
  let home: string
  let log: Log
  let events: EventLog
  let metrics: Metrics
  let api: ApiServer
  let client: ControlClient
  let runs: RunHost
  let face: NodeFace
  let stopped: boolean
  let looks: number

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'shoal-api-'))
    log = openLog(home, { level: 'info', maxBytes: 1 << 20, files: 2 })
    events = await EventLog.open({ events: new MemoryTable(), reasons: new MemoryTable() })
    looks = 0
    const status = () => {
      looks++
      return { ...STATUS, runs: runs.list() }
    }
    metrics = new Metrics({ events, status }, { version: '0' })
    stopped = false
    runs = { ...openNoRuns(), list: () => [RUN_STATUS], pause: async () => {} }
    runs.inspect = async run => {
      if (run !== RUN) throw new DaemonError('unknown_run', `this node does not know the run ${run}`)
      return { manifest: {} as Manifest, parameters: 7, status: RUN_STATUS }
    }
    face = {
      id: () => ({ peer: 'p', addresses: [], network: 'n', home, version: '0', join: 'shoal daemon' }),
      status: () => STATUS,
      peers: () => [],
      connect: async () => 'p2',
      ban: async peer => ({ ...TRUSTED, peer, standing: 'banned' }),
      unban: async peer => ({ ...TRUSTED, peer }),
      standing: peer => ({ ...TRUSTED, peer }),
      ready: () => ({ ready: false, failed: ['store'] }),
      stopping: () => stopped,
      shutdown: () => {
        stopped = true
      }
    }
    const config = await loadConfig({ flags: { home } })
    api = await ApiServer.listen(
      { face, runs, events, log, metrics, config },
      { token: TOKEN, port: 0, logger: log.logger, heartbeatMs: 50, requestTimeoutMs: 300 }
    )
    client = new ControlClient({ api: api.url, token: TOKEN })
  })

  afterEach(async () => {
    await api.close()
    metrics.close()
    log.close()
    await rm(home, { recursive: true })
  })

  const raw = (path: string, options: { method?: string; headers?: Record<string, string>; body?: string } = {}): Promise<RawAnswer> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${TOKEN}`, ...options.headers }
      const outgoing = request(
        { host: '127.0.0.1', port: api.port, path, method: options.method ?? 'GET', headers, agent: false },
        response => {
          let body = ''
          response.on('data', chunk => {
            body += chunk
          })
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }))
        }
      )
      outgoing.on('error', reject)
      outgoing.end(options.body)
    })
  const codeOf = (answer: RawAnswer) => (JSON.parse(answer.body) as { error: { code: string } }).error.code

  it('answers the documents of the node with their schema', async () => {
    assert.deepEqual(await client.status(), STATUS)
    assert.equal((await client.id()).schema, 1)
    assert.equal((await client.runs()).runs[0]?.run, RUN)
    assert.equal((await client.connectPeer('/ip4/1.2.3.4/tcp/1/p2p/x')).peer, 'p2')
    assert.equal((await client.config()).settings.find(row => row.key === 'apiPort')?.value, 4180)
    assert.deepEqual((await client.checkpoints()).checkpoints, [])
    assert.equal((await client.pauseRun('demo')).status.run, RUN)
  })

  it('wants the right token everywhere but at the probes', async () => {
    for (const headers of [{ authorization: '' }, { authorization: 'Bearer wrong' }, { authorization: TOKEN }] as Record<
      string,
      string
    >[]) {
      const answer = await raw('/v1/status', { headers })
      assert.deepEqual([answer.status, codeOf(answer), answer.headers['www-authenticate']], [401, 'not_authorised', 'Bearer'])
    }
    await assert.rejects(new ControlClient({ api: api.url, token: 'no' }).status(), { code: 'not_authorised', status: 401 })
    assert.equal((await raw('/nowhere', { headers: { authorization: '' } })).status, 401)
    for (const path of ['/livez', '/readyz', '/metrics']) assert.notEqual((await raw(path, { headers: { authorization: '' } })).status, 401)
  })

  it('says what is not ready, and is alive meanwhile', async () => {
    await client.live()
    assert.deepEqual(await client.ready(), { schema: 1, ready: false, failed: ['store'] })
    assert.equal((await raw('/readyz')).status, 503)
  })

  it('answers only to the names of this machine, so that no web page can reach it by a name of its own', async () => {
    for (const host of ['evil.example', `evil.example:${api.port}`, '127.0.0.1', `127.0.0.1:${api.port + 1}`]) {
      const answer = await raw('/v1/status', { headers: { host } })
      assert.deepEqual([answer.status, codeOf(answer)], [403, 'host_not_allowed'], host)
      assert.equal((await raw('/metrics', { headers: { host } })).status, 403)
    }
    assert.equal((await raw('/v1/status', { headers: { host: `localhost:${api.port}` } })).status, 200)
  })

  it('answers no probe that a web page has a browser send', async () => {
    const ofPages: Record<string, string>[] = [
      ...['http://evil.example', 'null', api.url].map(origin => ({ origin })),
      ...['cross-site', 'same-site'].map(site => ({ 'sec-fetch-site': site }))
    ]
    for (const path of ['/livez', '/readyz', '/metrics']) {
      for (const headers of ofPages) {
        const answer = await raw(path, { headers })
        assert.deepEqual([answer.status, codeOf(answer)], [403, 'origin_not_allowed'], `${path} ${JSON.stringify(headers)}`)
      }
      for (const site of ['none', 'same-origin']) assert.notEqual((await raw(path, { headers: { 'sec-fetch-site': site } })).status, 403)
    }
  })

  it('names unknown paths and wrong methods', async () => {
    const nowhere = await raw('/v1/nowhere')
    assert.deepEqual([nowhere.status, codeOf(nowhere)], [404, 'not_found'])
    const wrong = await raw('/v1/status', { method: 'POST' })
    assert.deepEqual([wrong.status, codeOf(wrong), wrong.headers.allow], [405, 'method_not_allowed', 'GET'])
    assert.equal((await raw('/v1/runs/%zz')).status, 404)
    assert.equal((await raw('/v1/status', { method: 'HEAD' })).body, '')
  })

  it('bounds and checks what a request brings', async () => {
    const post = (body: string, headers: Record<string, string> = {}) => raw('/v1/peers/connect', { method: 'POST', body, headers })
    const large = await post(`{"address":"${'x'.repeat(2 << 20)}"}`)
    assert.deepEqual([large.status, codeOf(large)], [413, 'body_too_large'])
    const chunked = await post('x'.repeat(2 << 20), { 'transfer-encoding': 'chunked' })
    assert.deepEqual([chunked.status, codeOf(chunked)], [413, 'body_too_large'])
    for (const body of ['{', 'null', '[]', '{}', '{"address":7}', JSON.stringify({ address: 'x'.repeat(1025) })]) {
      const answer = await post(body)
      assert.deepEqual([answer.status, codeOf(answer)], [400, 'bad_request'], body)
    }
    assert.equal(codeOf(await raw('/v1/events?since=-1')), 'bad_request')
    assert.equal(codeOf(await raw('/v1/why')), 'bad_request')
    assert.equal(codeOf(await raw(`/v1/runs/${RUN}/rounds?limit=1e9`)), 'bad_request')
    await assert.rejects(client.exportCheckpoint({ run: RUN, directory: 'relative' }), { code: 'bad_request' })
    await assert.rejects(client.joinRun(RUN, { data: ['/absolute', 'relative'] }), {
      code: 'bad_request',
      message: /data\.1 is "relative"/
    })
  })

  it('cuts off a request that does not arrive', async () => {
    const socket = connect(api.port, '127.0.0.1')
    socket.write(`POST /v1/runs HTTP/1.1\r\nHost: 127.0.0.1:${api.port}\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: 100\r\n\r\n{`)
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    assert.match(text, /^HTTP\/1\.1 408 /)
    assert.match(text, /request_timeout/)
  })

  it('passes on the codes, hints and details of what failed', async () => {
    await assert.rejects(client.run('bxyz'), { code: 'unknown_run', status: 404 })
    await assert.rejects(
      client.validateRun({ spec: { ...DEMO_SPEC, nmae: 1 } }),
      (error: { code: string; details: { issues: unknown[] } }) => {
        assert.equal(error.code, 'manifest_unknown_key')
        assert.equal(error.details.issues.length, 1)
        return true
      }
    )
    assert.equal((await client.validateRun({ spec: 'name: a\ngenesis: { from: x }\noptimizer: { learningRate: 1 }' })).spec.name, 'a')
    runs.fetchCheckpoint = () => Promise.reject(new DaemonError('no_peers', 'nobody has it', { hint: 'wait' }))
    await assert.rejects(client.fetchCheckpoint({ run: RUN }), { code: 'no_peers', hint: 'wait', status: 503 })
  })

  it('answers why for a run by its name, for one of its rounds, and says how many older events it left out', async () => {
    for (let round = 1; round <= 201; round++) events.emit({ type: 'round', run: RUN, round, message: 'closed' })
    events.emit({ type: 'round', run: `b${'c'.repeat(58)}`, round: 7, message: 'closed elsewhere' })
    const why = async (subject: string) => {
      const { events, leftOut } = await client.why(subject)
      return { ids: events.map(({ id }) => id), leftOut }
    }
    assert.deepEqual(await why('demo'), { ids: Array.from({ length: 200 }, (_, i) => i + 2), leftOut: 1 })
    assert.deepEqual(await why('demo/7'), { ids: [7], leftOut: 0 })
    runs.list = () => [{ ...RUN_STATUS, name: '7' }]
    assert.deepEqual(await why('7'), { ids: [7, 202], leftOut: 0 })
  })

  it("keeps a bug's words out of the answer and in the log", async () => {
    face.peers = () => {
      throw new TypeError('secret path')
    }
    await assert.rejects(client.peers(), { code: 'internal', status: 500 })
    const { lines } = await client.logs({ tail: 1 })
    assert.match(lines[0] ?? '', /a request failed .*secret path/)
  })

  it('streams events from any id, and a reader goes on where it broke off', async () => {
    for (let i = 1; i <= 3; i++) events.emit({ type: 'run', message: `event ${i}` })
    const seen: NodeEvent[] = []
    const first = new AbortController()
    for await (const event of client.events({ since: 1 }, { signal: first.signal })) {
      seen.push(event)
      if (event.id === 3) events.emit({ type: 'run', message: 'event 4' })
      if (event.id === 4) break
    }
    assert.deepEqual(
      seen.map(event => event.id),
      [2, 3, 4]
    )
    events.emit({ type: 'run', message: 'missed meanwhile' })
    for await (const event of client.events({ since: 4 })) {
      assert.equal(event.message, 'missed meanwhile')
      break
    }
  })

  it('remembers nothing of an event for a reader who stays', async () => {
    const counted: number[] = []
    events.emit({ type: 'run', message: 'first' })
    for await (const { id } of client.events({ since: 0 })) {
      if (id === 50 || id === 250) counted.push(queryObjects(Promise, { format: 'count' }) as number)
      if (id === 250) break
      setImmediate(() => events.emit({ type: 'run', message: `event ${id + 1}` }))
    }
    const [few = 0, many = 0] = counted
    assert.ok(many - few < 100, `${few} promises after 50 events, ${many} after 250`)
  })

  it('tells events of one type alone, those that were and those that come', async () => {
    for (const type of ['trust', 'run', 'run', 'trust'] as const) events.emit({ type, message: 'was' })
    const past = await client.eventList({ type: 'trust', limit: 2 })
    assert.deepEqual([past.events.map(event => event.id), past.last], [[1, 4], 4])
    const followed: number[] = []
    for await (const { id } of client.events({ since: 1, type: 'trust' })) {
      followed.push(id)
      if (id === 4) for (const type of ['run', 'trust'] as const) events.emit({ type, message: 'comes' })
      if (id === 6) break
    }
    assert.deepEqual(followed, [4, 6])
    const refused = await raw('/v1/events?type=nonsense')
    assert.deepEqual([refused.status, codeOf(refused)], [400, 'bad_request'])
  })

  it('streams from now on without an id, resumes by Last-Event-ID, and beats while nothing happens', async () => {
    events.emit({ type: 'run', message: 'old' })
    const text = await new Promise<string>((resolve, reject) => {
      const headers = { authorization: `Bearer ${TOKEN}`, accept: 'text/event-stream' }
      const outgoing = request({ host: '127.0.0.1', port: api.port, path: '/v1/events', headers, agent: false }, response => {
        let got = ''
        setTimeout(() => events.emit({ type: 'run', message: 'new' }), 120)
        response.on('data', chunk => {
          got += chunk
          if (got.includes('new')) {
            outgoing.destroy()
            resolve(got)
          }
        })
      })
      outgoing.on('error', reject)
      outgoing.end()
    })
    assert.ok(!text.includes('old'), text)
    assert.ok((text.match(/: still here/g) ?? []).length >= 2, text)
    assert.match(text, /id: 2\nevent: run\ndata: \{/)
    const bad = await raw('/v1/events', { headers: { accept: 'text/event-stream', 'last-event-id': 'x' } })
    assert.equal(codeOf(bad), 'bad_request')
    assert.deepEqual(
      (await client.eventList({ limit: 1 })).events.map(event => event.id),
      [2]
    )
  })

  it('follows the log', async () => {
    log.logger.child({ component: 'test' }).warn({ count: 3 }, 'before')
    for await (const line of client.followLogs({ tail: 1 })) {
      if (line.includes('after')) break
      assert.match(line, /warn {2}test: before count=3$/)
      log.logger.info('after')
    }
  })

  it('writes no line to a stream that a stop has ended', async () => {
    log.logger.info('before')
    const lines: string[] = []
    for await (const line of client.followLogs({ tail: 1 })) {
      lines.push(line)
      void api.close()
      log.logger.info('while it stops')
    }
    assert.equal(lines.length, 1)
  })

  it('counts what happens for Prometheus', async () => {
    events.emit({ type: 'refused', code: 'norm_too_large', peer: 'p', message: 'too large' })
    const text = await client.metrics()
    assert.match(text, /shoal_refused_total\{code="norm_too_large"\} 1/)
    assert.match(text, new RegExp(`shoal_run_round\\{run="${RUN}"\\} 3`))
    assert.match(text, /shoal_net_bytes\{dir="received"\} 2/)
    assert.equal(looks, 1, 'one look at the node for all of them')
  })

  it('ends streams at a stop, and refuses a second server on its port', async () => {
    await assert.rejects(
      ApiServer.listen(
        { face, runs, events, log, metrics, config: await loadConfig({ flags: { home } }) },
        { token: TOKEN, port: api.port, logger: log.logger }
      ),
      { code: 'port_taken' }
    )
    const ended = (async () => {
      for await (const _ of client.events()) assert.fail()
    })()
    await client.shutdown()
    assert.equal(stopped, true)
    await assert.rejects(client.pauseRun('demo'), { code: 'stopping', status: 503 })
    assert.equal((await client.status()).schema, 1)
    await new Promise(resolve => setTimeout(resolve, 50))
    const before = Date.now()
    await api.close()
    await ended
    assert.ok(Date.now() - before < 1500)
    await assert.rejects(client.status(), { code: 'daemon_not_running' })
  })
})
