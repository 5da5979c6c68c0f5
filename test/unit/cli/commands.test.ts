import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { withCheckpoint } from '../../../cli/commands/checkpoint-folder.ts'
import { readSince } from '../../../cli/commands/events.ts'
import { expiry } from '../../../cli/commands/run-admission.ts'
import { judge, readCondition } from '../../../cli/commands/wait.ts'
import { readIfThere } from '../../../cli/files.ts'
import { theRun, theRunWithCheckpoints } from '../../../cli/run-argument.ts'
import type { Session } from '../../../cli/session.ts'
import {
  type ControlClient,
  ControlError,
  connectControl,
  locateDaemon,
  type PeerRow,
  type StatusDocument
} from '../../../protocols/control/index.ts'
import { type FakeDaemon, startFakeDaemon } from './fake-daemon.ts'

const MAIN = join(import.meta.dirname, '..', '..', '..', 'cli', 'main.js')
const RUN = `b${'a'.repeat(58)}`
const RUN_STATUS = {
  run: RUN,
  name: 'demo',
  state: 'waiting' as const,
  waitingFor: 'waiting for 1 more',
  split: null,
  pending: 0,
  reason: null,
  round: 3,
  head: 'bhead',
  anchor: 'banchor',
  step: 150,
  loss: 2.25,
  tokens: 153_600,
  tokensPerSecond: 4200,
  engine: 'traced',
  engineReason: null,
  members: ['peer1', 'peer2'],
  share: { rounds: 3, ownTokens: 30_000, allTokens: 120_000, share: 0.25 },
  lastAccepted: { round: 2, tokens: 10_000, at: null },
  lastContribution: { round: 3, cid: 'bc', result: 'included' as const, taken: { tokens: 10_000, age: 1, scale: 0.25 } },
  trainer: { pid: null, restarts: 0, code: null, reason: null, givenUp: [] }
}
const PEER: PeerRow = {
  peer: '12D3KooWPeerTwo2222',
  addresses: ['/ip4/127.0.0.1/tcp/4102/p2p/12D3KooWPeerTwo2222'],
  direction: 'outbound' as const,
  rttMs: 2,
  lastSeenMs: 1200,
  foundBy: 'dht' as const,
  state: 'present',
  standing: 'good',
  runs: [{ run: RUN, round: 4, state: 'training' }],
  agent: null
}
const BANNED: PeerRow = {
  ...{ peer: '12D3KooWPeerThree3333', addresses: [], direction: null, rttMs: null, lastSeenMs: null, foundBy: null },
  ...{ state: 'away', standing: 'banned', runs: [], agent: null }
}
const STATUS: StatusDocument = {
  schema: 1,
  node: { peer: '12D3KooWPeerOne1111', upSeconds: 200, version: '0.1.0', network: 'shoal', state: 'ready' },
  runs: [RUN_STATUS],
  peers: [PEER, BANNED],
  traffic: { sent: 1000, received: 2_500_000, wire: { sent: 1000, received: 2_500_000 }, maxUpload: null },
  health: [{ level: 'warn', code: 'clock_skew', message: 'the clock is a day off', fix: 'set the clock' }]
}
const EVENT = { id: 7, ts: '2026-01-01T00:00:00.000Z', type: 'refused', run: RUN, round: 3, code: 'norm_too_large', message: 'too large' }

describe('readSince()', () => {
  it('takes ids, times and ages, and names what it wants otherwise', () => {
    const nowMs = Date.UTC(2026, 4, 1, 10)
    assert.equal(readSince('1234', undefined, nowMs), 1234)
    assert.equal(readSince('10m', undefined, nowMs), '2026-05-01T09:50:00.000Z')
    assert.equal(readSince('30d', undefined, nowMs), '2026-04-01T10:00:00.000Z')
    assert.equal(readSince('1.5h', undefined, nowMs), '2026-05-01T08:30:00.000Z')
    assert.equal(readSince('2026-05-01T09:00:00Z', undefined, nowMs), '2026-05-01T09:00:00.000Z')
    for (const text of ['', 'yesterday', '10 minutes', '2026-13-01T00:00:00Z', '-5', '0m']) {
      assert.throws(() => readSince(text, undefined, nowMs), { code: 'bad_argument' }, text)
    }
  })
})

describe('expiry()', () => {
  it('takes times as every option does, or never', () => {
    assert.deepEqual(['7d', '1.5h', '90s', 'never'].map(expiry), [604_800_000, 5_400_000, 90_000, null])
    for (const text of ['', '0m', '367d', 'soon']) assert.throws(() => expiry(text), { code: 'bad_argument' }, text)
  })
})

describe('commands', function () {
  this.timeout(20_000)
  let daemon: FakeDaemon
  before(async () => {
    daemon = await startFakeDaemon({
      'GET /v1/status': STATUS,
      'GET /v1/peers': { schema: 1, peers: [PEER] },
      'GET /v1/runs': { schema: 1, runs: [RUN_STATUS] },
      [`GET /v1/runs/${RUN}/rounds`]: {
        schema: 1,
        run: RUN,
        rounds: [
          {
            round: 3,
            record: 'brecord',
            anchor: 'banchor',
            closer: 'peer1',
            contributors: [],
            seconds: 6.1,
            bytes: 9,
            adoptedAt: 'now',
            loss: 2
          }
        ]
      },
      'GET /v1/id': () => {},
      'POST /v1/shutdown': () => {},
      'GET /v1/logs': (response: ServerResponse) => {
        const { searchParams } = new URL(response.req.url!, 'http://localhost')
        const line = searchParams.get('format') === 'json' ? '{"msg":"the record"}' : 'the line'
        if (searchParams.get('follow') !== '1') {
          response.end(JSON.stringify({ schema: 1, lines: [line] }))
          return
        }
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(`data: ${line}\n\n`)
      },
      'GET /v1/why': { schema: 1, subject: '3', meaning: null, events: [EVENT] },
      'GET /v1/events': (response: ServerResponse) => {
        if (response.req.headers.accept !== 'text/event-stream') {
          const { searchParams } = new URL(response.req.url!, 'http://localhost')
          const isOld = searchParams.get('type') === 'trust' && searchParams.get('limit') === '1'
          response.end(JSON.stringify({ schema: 1, events: [isOld ? { ...EVENT, id: 1, type: 'trust' } : EVENT], last: 7 }))
          return
        }
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(`id: 8\ndata: ${JSON.stringify({ ...EVENT, id: 8 })}\n\n`)
      }
    })
  })
  after(() => daemon.close())

  const shoal = (args: string[], during?: (child: ReturnType<typeof spawn>, stdout: string) => void) =>
    new Promise<{ status: number | null; stdout: string; stderr: string }>(resolve => {
      const { SHOAL_API: _api, ...env } = process.env
      const child = spawn(process.execPath, [MAIN, ...args], { env: { ...env, SHOAL_HOME: daemon.home } })
      let stdout = ''
      let stderr = ''
      child.stdout.on('data', data => {
        stdout += data
        during?.(child, stdout)
      })
      child.stderr.on('data', data => {
        stderr += data
      })
      child.on('close', status => resolve({ status, stdout, stderr }))
    })

  it('status shows node, run, peers and what is wrong', async () => {
    const { status, stdout } = await shoal(['status'])
    assert.equal(status, 0)
    for (const part of [
      /demo {3}waiting {3}round 3/,
      /waiting for 1 more/,
      /received 2\.5 MB/,
      /share {5}25 % of 120 000 tokens in the last 3 rounds {3}last accepted: round 2/,
      /last contribution: round 3, included with 10 000 tokens, late, cut to 25 %/,
      /dht/,
      /# {2}warn {2}the clock is a day off {2}-> set the clock/
    ]) {
      assert.match(stdout, part)
    }
  })

  it('status --json is the document as it came, alone on stdout', async () => {
    const { stdout } = await shoal(['status', '--json'])
    assert.deepEqual(JSON.parse(stdout), STATUS)
  })

  it('status --watch writes lines in a pipe and ends with 0 at Ctrl-C', async () => {
    const { status, stdout } = await shoal(['status', '--watch'], child => child.kill('SIGINT'))
    assert.equal(status, 0)
    assert.match(stdout, /^\S+ \.\.rOne1111 ready peers 1 \| demo waiting round 3 step 150 loss 2\.250 \(waiting for 1 more\)\n$/)
  })

  it('nothing that a peer says forges a line or gives the terminal orders', async () => {
    const state = 'x\u001b]0;title\u0007\n..forged  lan \u202e'
    const message = 'no\r\n2026-01-02T00:00:00.000Z  trust\u009b2J'
    const hostile = await startFakeDaemon({
      'GET /v1/peers': { schema: 1, peers: [{ ...PEER, runs: [{ run: RUN, round: 4, state }] }] },
      'GET /v1/status': {
        ...STATUS,
        runs: [{ ...RUN_STATUS, reason: message }],
        health: [{ level: 'warn', code: 'c', message, fix: null }]
      },
      'GET /v1/why': { schema: 1, subject: '3', meaning: null, events: [{ ...EVENT, message }] }
    })
    try {
      for (const [command, lines] of [
        [['peers'], 2],
        [['status'], 14],
        [['why', '3'], 1]
      ] as const) {
        const { stdout } = await shoal([...command, '--home', hostile.home])
        assert.doesNotMatch(stdout, /[^\n\x20-\x7e]/, command[0])
        assert.equal(stdout.trimEnd().split('\n').length, lines, stdout)
      }
    } finally {
      await hostile.close()
    }
  })

  it('stop stops the daemon that --api names, and waits for no other', async () => {
    let ended = Promise.resolve()
    const named = await startFakeDaemon({
      'GET /livez': {},
      'POST /v1/shutdown': (response: ServerResponse) => {
        response.end('{}', () => {
          ended = named.close()
        })
      }
    })
    const asked = daemon.requests.length
    const { status, stdout } = await shoal(['stop', '--api', named.api])
    await ended
    assert.deepEqual([status, stdout], [0, 'stopping: its API is closed\n'])
    assert.equal(named.requests[0], 'POST /v1/shutdown')
    assert.equal(daemon.requests.length, asked)
  })

  it('config show answers for no other than the daemon that --api names', async () => {
    const gone = await startFakeDaemon({})
    await gone.close()
    const { status, stdout, stderr } = await shoal(['config', 'show', '--api', gone.api])
    assert.deepEqual([status, stdout], [3, ''], stderr)
    assert.match(stderr, /^daemon_not_running/)
  })

  it('stop does not wait for a daemon that has ended and that nobody reaps', async function () {
    if (process.platform !== 'linux') this.skip()
    const stopping = await startFakeDaemon({ 'POST /v1/shutdown': {} })
    // The shell becomes a program that knows nothing of the child that it had.
    const parent = spawn('sh', ['-c', 'sleep 600 & echo $!; exec sleep 600'], { stdio: ['ignore', 'pipe', 'ignore'] })
    const about = (pid: number | undefined, file: string): string => readFileSync(`/proc/${pid}/${file}`, 'utf8')
    try {
      const [said] = (await once(parent.stdout, 'data')) as [Buffer]
      const pid = Number(said)
      while (about(parent.pid, 'comm') !== 'sleep\n') await delay(5)
      process.kill(pid, 'SIGKILL')
      while (!about(pid, 'stat').includes(') Z ')) await delay(5)
      writeFileSync(join(stopping.home, 'daemon.json'), JSON.stringify({ schema: 1, pid, api: stopping.api, peer: 'peer1' }))
      const { status, stdout } = await shoal(['stop', '--home', stopping.home, '--timeout', '10s'])
      assert.deepEqual([status, stdout], [0, 'stopped\n'])
    } finally {
      parent.kill('SIGKILL')
      await stopping.close()
    }
  })

  it('run create refuses flags of joining where nothing is joined', async () => {
    for (const [flag, ...value] of [
      ['--data', 'text.txt'],
      ['--no-train'],
      ['--engine', 'js'],
      ['--threads', '1'],
      ['--audit', '0.1'],
      ['--name', 'me']
    ]) {
      const { status, stderr } = await shoal(['run', 'create', 'run.yaml', flag!, ...value])
      assert.equal(status, 2, flag)
      assert.match(stderr, new RegExp(`^bad_argument: ${flag} .*\n  hint: add --join`))
    }
    assert.ok(!daemon.requests.includes('POST /v1/runs'))
  })

  it('run create names the run that it made, also where it cannot be joined', async () => {
    const other = await startFakeDaemon({ 'POST /v1/runs': { schema: 1, run: RUN } })
    const file = join(other.home, 'run.yaml')
    writeFileSync(file, 'name: demo')
    try {
      const text = await shoal(['run', 'create', file, '--join', '--home', other.home])
      assert.deepEqual([text.status, text.stdout], [1, `${RUN}\n`])
      const json = await shoal(['run', 'create', file, '--join', '--json', '--home', other.home])
      const { code, details } = JSON.parse(json.stdout).error
      assert.deepEqual([code, details.run], ['unknown_run', RUN])
      assert.ok(json.stderr.includes(RUN))
    } finally {
      await other.close()
    }
  })

  it('rounds takes the only run there is, and a name, and the end of an id', async () => {
    for (const args of [['rounds'], ['rounds', 'demo'], ['rounds', '..aaaaaaaa']]) {
      const { status, stdout } = await shoal(args)
      assert.equal(status, 0)
      assert.match(stdout, /ROUND .*LOSS[\s\S]*3 +2\.000/)
    }
  })

  it('rounds of an unknown run fails with the nearest name', async () => {
    const { status, stderr } = await shoal(['rounds', 'dem'])
    assert.equal(status, 1)
    assert.match(stderr, /^unknown_run: .*\n {2}hint: did you mean demo\?/)
  })

  it("the daemon's refusals keep their code and hint", async () => {
    const { status, stdout } = await shoal(['run', 'inspect', `b${'c'.repeat(58)}`, '--json'])
    assert.equal(status, 1)
    assert.deepEqual(JSON.parse(stdout).error, {
      ...{ code: 'unknown_run', message: 'the message of unknown_run', hint: 'the way out' },
      details: null
    })
  })

  it('a wrong token ends with 5', async () => {
    const home = await startFakeDaemon({})
    writeFileSync(join(home.home, 'api-token'), 'other')
    const { status, stderr } = await shoal(['id', '--home', home.home])
    await home.close()
    assert.equal(status, 5)
    assert.match(stderr, /^not_authorised/)
  })

  it('why and events print one line an event', async () => {
    assert.match((await shoal(['why', '3'])).stdout, /refused +round 3 {2}norm_too_large: too large/)
    assert.equal(JSON.parse((await shoal(['events', '--json'])).stdout).events.length, 1)
  })

  it('events --type asks the daemon for that type alone', async () => {
    const { events } = JSON.parse((await shoal(['events', '--type', 'trust', '-n', '1', '--json'])).stdout)
    assert.deepEqual(
      events.map(({ id }: { id: number }) => id),
      [1]
    )
  })

  it('events --since tells all since then, page after page, and with -n the newest of them', async () => {
    const kept = 25_000
    const many = await startFakeDaemon({
      'GET /v1/events': (response: ServerResponse) => {
        const { searchParams } = new URL(response.req.url!, 'http://localhost')
        const [since, limit] = [Number(searchParams.get('since')), Number(searchParams.get('limit'))]
        const events = Array.from({ length: Math.min(limit, kept - since) }, (_, i) => ({ ...EVENT, id: since + i + 1 }))
        response.end(JSON.stringify({ schema: 1, events, last: kept }))
      }
    })
    const idsOf = async (...args: string[]) => {
      const { events } = JSON.parse((await shoal(['events', '--since', '4', '--json', '--home', many.home, ...args])).stdout)
      return events.map(({ id }: { id: number }) => id)
    }
    try {
      const ids = await idsOf()
      assert.deepEqual([ids.length, ids.at(0), ids.at(-1)], [kept - 4, 5, kept])
      assert.deepEqual(await idsOf('-n', '2'), [kept - 1, kept])
      const { stdout } = await shoal(['events', '--since', '4', '--home', many.home])
      assert.equal(stdout.trimEnd().split('\n').length, kept - 4)
    } finally {
      await many.close()
    }
  })

  it('events -f --json streams one document a line and ends with 0 at Ctrl-C', async () => {
    const { status, stdout } = await shoal(['events', '-f', '--json'], (child, text) => {
      if (text.split('\n').length === 3) child.kill('SIGINT')
    })
    assert.equal(status, 0)
    assert.deepEqual(
      stdout
        .trim()
        .split('\n')
        .map(line => JSON.parse(line).id),
      [7, 8]
    )
  })

  it('events -f --json stays one document a line also where it fails', async () => {
    const { status, stdout } = await shoal(['events', '-f', '--json', '--timeout', '400ms'])
    assert.equal(status, 4)
    const documents = stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line))
    assert.deepEqual(
      documents.map(({ id, error }) => id ?? error.code),
      [7, 8, 'timeout']
    )
  })

  it('wait ends with 0 once the condition holds', async () => {
    assert.equal((await shoal(['wait', '--for', 'round=3', '--timeout', '5s'])).status, 0)
    const { status, stderr } = await shoal(['wait', '--for', 'peers=2', '--timeout', '400ms'])
    assert.equal(status, 4)
    assert.match(stderr, /^timeout: waited for peers=2: 1 peers/)
  })

  it('wait ends at once with what time does not mend', async () => {
    const home = await startFakeDaemon({})
    rmSync(join(home.home, 'api-token'))
    const missing = await shoal(['wait', '--for', 'peers=1', '--home', home.home, '--timeout', '10s'])
    mkdirSync(join(home.home, 'api-token'))
    const unreadable = await shoal(['wait', '--for', 'ready', '--home', home.home, '--timeout', '10s'])
    await home.close()
    assert.equal(missing.status, 5)
    assert.match(missing.stderr, /^api_token_missing/)
    assert.equal(unreadable.status, 5)
    assert.match(unreadable.stderr, /^api_token_unreadable/)
  })

  it('--timeout ends with 4, whatever a command waits for', async () => {
    for (const args of [['id'], ['events', '-f'], ['status', '--watch'], ['logs', '-f'], ['stop']]) {
      const { status, stderr } = await shoal([...args, '--timeout', '400ms'])
      assert.equal(status, 4, `${args}: ${stderr}`)
      assert.match(stderr, /^timeout: .+\n {2}hint: give --timeout a longer time\n$/)
    }
  })

  it('Ctrl-C is named as such, whatever a command waits for', async () => {
    const silent = await startFakeDaemon({ 'GET /v1/id': () => child.kill('SIGINT') })
    const child = spawn(process.execPath, [MAIN, 'id', '--home', silent.home])
    let stderr = ''
    child.stderr.on('data', data => {
      stderr += data
    })
    const status = await new Promise(resolve => child.on('close', resolve))
    await silent.close()
    assert.deepEqual([status, stderr], [1, 'interrupted: stopped by SIGINT\n'])
  })

  it('logs are lines, and with --json records, one a line', async () => {
    assert.equal((await shoal(['logs'])).stdout, 'the line\n')
    const { status, stdout } = await shoal(['logs', '--json'])
    assert.equal(status, 0)
    assert.deepEqual(JSON.parse(stdout), { msg: 'the record' })
    const followed = await shoal(['logs', '-f', '--json'], child => child.kill('SIGINT'))
    assert.equal(followed.status, 0)
    assert.deepEqual(JSON.parse(followed.stdout), { msg: 'the record' })
  })
})

describe('theRunWithCheckpoints()', function () {
  this.timeout(20_000)
  const FETCHED = `b${'d'.repeat(58)}`

  it('takes the only run of which there is a checkpoint, on a node that has joined none', async () => {
    const status = { ...RUN_STATUS, run: FETCHED, name: 'fetched', state: 'left' }
    const daemon = await startFakeDaemon({
      'GET /v1/runs': { schema: 1, runs: [] },
      'GET /v1/checkpoints': { schema: 1, checkpoints: [{ run: FETCHED, round: 4, record: 'br', anchor: 'ba', bytes: 9 }] },
      [`GET /v1/runs/${FETCHED}`]: { schema: 1, run: FETCHED, status, manifest: {} }
    })
    const control = connectControl(await locateDaemon(daemon.home, readIfThere))
    const { signal } = new AbortController()
    try {
      for (const word of [undefined, 'fetched', '..dddddd']) assert.equal(await theRunWithCheckpoints(control, word, signal), FETCHED)
      // It is not in that run, so it can neither leave nor pause it.
      await assert.rejects(theRun(control, undefined, signal), { code: 'unknown_run' })
    } finally {
      await daemon.close()
    }
  })

  it('takes the run that the node is in before one of the same name that it left', async () => {
    const left = { ...RUN_STATUS, run: FETCHED, state: 'left' }
    const control = {
      runs: async () => ({ runs: [RUN_STATUS] }),
      checkpoints: async () => ({ checkpoints: [{ run: FETCHED }] }),
      run: async () => ({ status: left })
    } as unknown as ControlClient
    const { signal } = new AbortController()
    for (const word of [undefined, RUN_STATUS.name]) assert.equal(await theRunWithCheckpoints(control, word, signal), RUN_STATUS.run)
    assert.equal(await theRunWithCheckpoints(control, FETCHED, signal), FETCHED)
  })

  it('knows a run whose manifest cannot be read by its id, and finds the others', async () => {
    let failure = new ControlError('manifest_damaged', 'the manifest is damaged', { status: 500 })
    const control = {
      runs: async () => ({ runs: [RUN_STATUS] }),
      checkpoints: async () => ({ checkpoints: [{ run: FETCHED }] }),
      run: async () => Promise.reject(failure)
    } as unknown as ControlClient
    const { signal } = new AbortController()
    assert.equal(await theRunWithCheckpoints(control, RUN_STATUS.name, signal), RUN_STATUS.run)
    assert.equal(await theRunWithCheckpoints(control, '..dddddd', signal), FETCHED)
    failure = new ControlError('daemon_not_running', 'the connection broke')
    await assert.rejects(theRunWithCheckpoints(control, RUN_STATUS.name, signal), { code: 'daemon_not_running' })
  })
})

describe('withCheckpoint()', () => {
  it('says which round it took, and that nothing is trained in the first', async () => {
    const notes: string[] = []
    for (const round of [7, 0]) {
      const client = {
        runs: async () => ({ runs: [{ run: 'b', name: 'demo' }] }),
        checkpoints: async () => ({ checkpoints: [] }),
        exportCheckpoint: async ({ directory }: { directory: string }) => ({ directory, round })
      }
      const { signal } = new AbortController()
      const session = { control: async () => client, output: { note: (text: string) => notes.push(text) }, signal } as unknown as Session
      await withCheckpoint(session, {}, async () => {})
    }
    assert.deepEqual(notes, ['checkpoint: round 7 of run b', 'checkpoint: round 0 (nothing trained in it) of run b'])
  })
})

describe('judge()', () => {
  it('peers counts who is here, and nobody who is only listed as banned', () => {
    assert.deepEqual(judge(STATUS, readCondition('peers=2'), undefined), { holds: false, text: '1 peers' })
    assert.equal(judge(STATUS, readCondition('peers=1'), undefined).holds, true)
  })

  it('synced wants this node not to be behind a peer', () => {
    const condition = readCondition('synced')
    assert.deepEqual(judge(STATUS, condition, undefined), { holds: false, text: 'waiting at round 3, peers at 4' })
    assert.equal(judge({ ...STATUS, peers: [] }, condition, 'demo').holds, true)
    assert.equal(judge(STATUS, condition, 'other').holds, false)
  })

  it('takes the end of an id as tables show it, goes on waiting for a run that is not here yet, and refuses a word for two', () => {
    const condition = readCondition('round=3')
    assert.equal(judge(STATUS, condition, '..aaaaaaaa').holds, true)
    assert.deepEqual(judge(STATUS, condition, '..cccccccc'), { holds: false, text: 'this node is not in ..cccccccc' })
    const two = { ...STATUS, runs: [RUN_STATUS, { ...RUN_STATUS, run: `bb${'a'.repeat(57)}` }] }
    for (const word of ['..aaaaaaaa', 'demo']) assert.throws(() => judge(two, condition, word), { code: 'bad_argument' })
    assert.equal(judge(two, condition, RUN).holds, true)
  })
})
