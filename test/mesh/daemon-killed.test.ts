// A whole daemon, trainer and all, killed at any instant of the rounds that it makes with another: its home opens with all that the other was told.
// SHOAL_DAEMON_KILLS=25 for as many kills.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../daemon/config.ts'
import { Daemon } from '../../daemon/daemon.ts'
import { openHome } from '../../daemon/home.ts'
import { type KeptRound, Ledger } from '../../daemon/run/ledger.ts'
import { pastAfter } from '../../daemon/run/restart.ts'
import { type ControlClient, connectControl, locateDaemon, type NodeEvent } from '../../protocols/control/index.ts'
import { LONE_RUN, MAIN } from './small-run.ts'

const DEFAULT_KILLS = 1
const KILLS = Number(process.env.SHOAL_DAEMON_KILLS ?? DEFAULT_KILLS)
/** Milliseconds after its trainer's first step within which it is killed: two or three rounds. */
const LIFE_MS = 6_000
const SPEC = { ...LONE_RUN, strategy: { innerSteps: 5, quorum: 2, deadlineMs: 4_000, graceMs: 1_000, fetchTimeoutMs: 3_000 } }

describe('a daemon that is killed among its rounds', function () {
  this.timeout(120_000 + KILLS * 90_000)
  let root: string
  let steady: Daemon
  let child: ChildProcess | undefined
  let promises = 0
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'shoal-daemon-killed-'))
    steady = await Daemon.start(
      await loadConfig({ flags: { home: join(root, 'steady'), profile: 'test', logLevel: 'silent', threads: 1 } })
    )
  })
  afterEach(async () => {
    child?.kill('SIGKILL')
    await steady.stop()
    await rm(root, { recursive: true })
  })

  const controlOf = async (home: string) => connectControl(await locateDaemon(home, path => readFile(path, 'utf8').catch(() => undefined)))
  const until = async (condition: () => Promise<boolean>) => {
    for (const limit = performance.now() + 80_000; !(await condition()); await new Promise(resolve => setTimeout(resolve, 100)))
      assert.ok(performance.now() < limit, `not so in time: ${condition}\n${await said()}`)
  }
  let said = async (): Promise<string> => ''

  /** Starts the other node; resolves when its API answers. */
  async function start(home: string): Promise<ControlClient> {
    const flags = [
      '--home',
      home,
      '--profile',
      'test',
      '--threads',
      '1',
      '--log-level',
      'silent',
      '--bootstrap',
      steady.ready.addresses[0]!
    ]
    child = spawn(process.execPath, [MAIN, 'daemon', '--stop-with-parent', ...flags, '--json'], { stdio: ['pipe', 'pipe', 'inherit'] })
    await once(child.stdout!, 'data')
    return controlOf(home)
  }

  /** Every event from now on, until the stream or the daemon ends. */
  function heard(control: ControlClient, signal?: AbortSignal): NodeEvent[] {
    const events: NodeEvent[] = []
    const follow = async () => {
      for await (const event of control.events({}, signal === undefined ? {} : { signal })) events.push(event)
    }
    follow().catch(() => {})
    return events
  }

  /** Opens the home of the dead and looks for all that it or its peer said of it. */
  async function check(home: string, run: string, said: NodeEvent[], adoptedByPeer: KeptRound[]): Promise<void> {
    const store = await openHome(home)
    try {
      const damaged: string[] = []
      store.blocks.onCorrupt(cid => damaged.push(cid))
      const ledger = new Ledger(store, run)
      const own = await ledger.own(Number.MAX_SAFE_INTEGER)
      const stored = said.filter(({ type, data }) => type === 'phase' && data?.phase === 'stored')
      promises += stored.length
      for (const { round } of stored) assert.ok(own.some(row => row.round === round && row.cid !== null))
      const head = (await ledger.head())?.round ?? 0
      const told = Math.max(0, ...said.filter(({ type }) => type === 'round').map(({ round }) => round!))
      assert.ok(head >= told, `round ${told} was adopted and the head is ${head}`)
      assert.equal((await pastAfter({ ledger, blocks: store.blocks })).records.length, head)
      for (const { contributions } of adoptedByPeer)
        for (const { cid, peer } of contributions) {
          if (peer === steady.ready.peer) continue
          assert.ok(own.some(row => row.cid === cid))
          assert.ok(await store.blocks.get(cid))
        }
      for await (const { cid } of store.blocks.list()) await store.blocks.get(cid)
      assert.deepEqual(damaged, [])
    } finally {
      await store.close()
    }
  }

  it(`has all that its peer was told, ${KILLS} times, and both agree in the end`, async () => {
    const control = await controlOf(join(root, 'steady'))
    const { run } = await control.createRun({ spec: SPEC })
    await control.joinRun(run, {})
    const ending = new AbortController()
    const peerSaid = heard(control, ending.signal)
    const adoptedByPeer = () =>
      peerSaid.filter(({ type, run: of }) => type === 'round' && of === run).map(event => event.data as unknown as KeptRound)
    const home = join(root, 'killed')
    let other = await start(home)
    await until(async () => (await other.peers()).peers.length > 0)
    await other.joinRun(run, {})
    for (let kill = 1; kill <= KILLS; kill++) {
      const said = heard(other)
      // A quarter of the kills come while it starts.
      if (kill % 4 !== 0) await until(async () => ((await other.runs()).runs[0]?.step ?? 0) > 0)
      await new Promise(resolve => setTimeout(resolve, Math.random() * LIFE_MS))
      const exited = once(child!, 'exit')
      child!.kill('SIGKILL')
      await exited
      await check(home, run, said, adoptedByPeer())
      other = await start(home)
    }
    const { round } = (await control.runs()).runs[0]!
    said = async () => {
      const told = [control, other].map(async node => ({
        status: (await node.status()).runs[0],
        peers: (await node.peers()).peers,
        events: (await node.eventList({ limit: 40 })).events.map(({ ts, code, message }) => `${ts} ${code ?? ''} ${message}`)
      }))
      return JSON.stringify(await Promise.all(told), null, 1)
    }
    const nodes = [control, other]
    await until(async () => (await Promise.all(nodes.map(async node => (await node.runs()).runs[0]!.round))).every(now => now >= round + 1))
    const [mine, theirs] = await Promise.all(nodes.map(async node => (await node.rounds(run, { limit: 10_000 })).rounds))
    const common = mine!.filter(row => theirs!.some(other => other.round === row.round))
    assert.ok(common.length > round)
    for (const { round, record, anchor } of common) {
      const other = theirs!.find(row => row.round === round)!
      assert.deepEqual([other.record, other.anchor], [record, anchor])
    }
    ending.abort()
    if (KILLS > DEFAULT_KILLS) console.log(`      ${KILLS} kills in ${common.length} rounds, ${promises} contributions said to be stored`)
    assert.ok(promises > 0 || KILLS <= DEFAULT_KILLS)
  })
})
