// A hostile peer, a real libp2p node, speaks every protocol wrongly to a real daemon that trains with an honest one: the daemon lives, its memory is bounded,
// rounds go on, and each way that is refused is told of under its code. It takes minutes, so it runs by hand: SHOAL_HOSTILE_TIMES=1 for each way once,
// SHOAL_HOSTILE_WAYS=member: for those only whose names begin so.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ControlClient, connectControl, locateDaemon } from '../../protocols/control/index.ts'
import { introduce, type Scene, WAYS, type Way } from './hostile-ways.ts'
import { LONE_RUN, MAIN } from './small-run.ts'
import { openStranger, type Stranger } from './stranger.ts'

const TIMES = Number(process.env.SHOAL_HOSTILE_TIMES ?? 0)
const CHOSEN = WAYS.filter(({ name }) => name.startsWith(process.env.SHOAL_HOSTILE_WAYS ?? ''))
const NETWORK = 'hostile'
const SPEC = { ...LONE_RUN, strategy: { innerSteps: 5, quorum: 2, deadlineMs: 6_000, graceMs: 1_000, fetchTimeoutMs: 3_000 } }
/** MiB that the daemon may grow by more than the honest one does, which trains as long: what V8 leaves uncollected, and nothing that grows with what was sent. */
const GROWTH_MIB = 200
/** Milliseconds in which a way must be told of: the longest wait of a protocol, and a busy machine. */
const TOLD_MS = 30_000

describe('a hostile peer', function () {
  this.timeout(600_000 + TIMES * 1_200_000)
  let root: string
  let children: ChildProcess[]
  let strangers: Stranger[]
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'shoal-hostile-'))
    children = []
    strangers = []
  })
  afterEach(async () => {
    await Promise.all(strangers.map(stranger => stranger.stop()))
    for (const child of children) {
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    }
    await rm(root, { recursive: true })
  })

  async function start(
    name: string,
    bootstrap: string[]
  ): Promise<{ child: ChildProcess; control: ControlClient; peer: string; address: string }> {
    const home = join(root, name)
    const flags = ['--home', home, '--profile', 'test', '--network', NETWORK, '--threads', '1', '--log-level', 'error', '--json']
    const child = spawn(
      process.execPath,
      [MAIN, 'daemon', '--stop-with-parent', ...flags, ...bootstrap.flatMap(address => ['--bootstrap', address])],
      {
        stdio: ['pipe', 'pipe', 'inherit']
      }
    )
    children.push(child)
    await once(child.stdout!, 'data')
    const control = connectControl(await locateDaemon(home, path => readFile(path, 'utf8').catch(() => undefined)))
    const { peer, addresses } = await control.id()
    return { child, control, peer, address: addresses[0]! }
  }

  const until = async (condition: () => Promise<boolean>, limitMs: number): Promise<boolean> => {
    for (const limit = performance.now() + limitMs; performance.now() < limit; await new Promise(resolve => setTimeout(resolve, 100)))
      if (await condition()) return true
    return false
  }
  const residentMiB = async ({ pid }: ChildProcess): Promise<number> =>
    Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
  const roundOf = async (control: ControlClient): Promise<number> => (await control.runs()).runs[0]?.round ?? 0

  it('is refused with a code each way that it is wrong, and costs no crash, no memory and no round', async function () {
    if (TIMES === 0 || process.platform !== 'linux') this.skip()
    const victim = await start('victim', [])
    const honest = await start('honest', [victim.address])
    const { run } = await victim.control.createRun({ spec: SPEC })
    assert.ok(await until(async () => (await honest.control.peers()).peers.length > 0, 30_000), 'they do not meet')
    for (const { control } of [victim, honest]) await control.joinRun(run, {})
    assert.ok(await until(async () => (await roundOf(victim.control)) >= 1, 120_000), 'no first round')

    const facts = { network: NETWORK, run, victim: { peer: victim.peer, address: victim.address } }
    const scene: Scene = {
      ...facts,
      stranger: async options => {
        const stranger = await openStranger({ network: NETWORK, ...options })
        strangers.push(stranger)
        await introduce(stranger, facts)
        return stranger
      }
    }
    const factsNow = async () => ({
      round: await roundOf(honest.control),
      mib: await residentMiB(victim.child),
      honestMib: await residentMiB(honest.child)
    })
    const before = await factsNow()
    let mostMiB = 0
    // All at once what is waited for: many ways are told of only when somebody's patience is over.
    const done: { way: Way; peer: string; cost: string }[] = []
    for (const way of CHOSEN) {
      for (let time = 0; time < TIMES; time++) {
        const startedMs = performance.now()
        const { peer } = await way.act(scene).catch(cause => {
          throw new Error(`it could not be tried: ${way.name}`, { cause })
        })
        const mib = await residentMiB(victim.child)
        mostMiB = Math.max(mostMiB, mib)
        done.push({ way, peer, cost: `${Math.round(performance.now() - startedMs)} ms, then ${Math.round(mib)} MiB` })
        assert.equal(victim.child.exitCode, null, `the daemon ended after: ${way.name}`)
      }
    }
    const untold: string[] = []
    for (const { way, peer, cost } of done) {
      let codes: string[] = []
      const isTold = async () => {
        codes = [...new Set((await victim.control.why(peer)).events.flatMap(({ code }) => (code === undefined ? [] : [code])))]
        return way.codes.length === 0 || way.codes.some(code => codes.includes(code))
      }
      if (!(await until(isTold, TOLD_MS))) untold.push(`${way.name}: told were ${codes.join(', ') || 'no codes'}`)
      console.log(`      ${way.name.padEnd(66)} ${(codes.join(' ') || '-').padEnd(40)} ${cost}`)
    }
    const after = await factsNow()
    const memory = `resident before ${Math.round(before.mib)}, most ${Math.round(mostMiB)}, after ${Math.round(after.mib)} MiB`
    const honestly = `the honest one ${Math.round(before.honestMib)} to ${Math.round(after.honestMib)}`
    console.log(`      ${memory}, ${honestly}; rounds ${before.round} to ${after.round}`)
    assert.deepEqual(untold, [])
    assert.ok(
      after.round > before.round || (await until(async () => (await roundOf(honest.control)) > before.round, 60_000)),
      'no round was closed meanwhile'
    )
    const grownMib = mostMiB - before.mib - Math.max(0, after.honestMib - before.honestMib)
    assert.ok(grownMib < GROWTH_MIB, `it grew by ${grownMib} MiB more than the honest one`)
    assert.ok((await victim.control.status()).health.every(({ level }) => level !== 'fail'))
  })
})
