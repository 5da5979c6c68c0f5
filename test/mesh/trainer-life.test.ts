// A real daemon whose trainer dies again and again: the daemon stays, another engine goes on from the last state, and the reason is said wherever one looks.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { statusText } from '../../cli/status-text.ts'
import { loadConfig } from '../../daemon/config.ts'
import { Daemon } from '../../daemon/daemon.ts'
import { connectControl, locateDaemon } from '../../protocols/control/index.ts'
import { describeEngine } from '../../training/engines/engine.ts'
import { LONE_RUN } from './small-run.ts'

describe('a trainer that dies', function () {
  this.timeout(240_000)
  let home: string
  let daemon: Daemon
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'shoal-trainer-life-'))
    daemon = await Daemon.start(await loadConfig({ flags: { home, profile: 'test', logLevel: 'warn', threads: 1 } }))
  })
  afterEach(async () => {
    await daemon.stop()
    await rm(home, { recursive: true })
  })

  it('is replaced by one on another engine, which is said by status, health, why, metrics and the log', async () => {
    const read = async (path: string) => readFile(path, 'utf8').catch(() => undefined)
    const control = connectControl(await locateDaemon(home, read))
    const status = async () => (await control.status()).runs[0]!
    const until = async (condition: () => Promise<boolean>) => {
      for (const limit = performance.now() + 90_000; !(await condition()); await new Promise(resolve => setTimeout(resolve, 50)))
        assert.ok(performance.now() < limit, `not so in time: ${condition} ${JSON.stringify((await control.status()).runs)}`)
    }
    const { run } = await control.createRun({ spec: LONE_RUN })
    await control.joinRun(run, { engine: 'wasm' })
    await until(async () => (await status()).round >= 1)
    for (const deaths of [1, 2, 3]) {
      // Without a reason the trainer is ready.
      await until(async () => (await status()).reason === null && (await status()).trainer.restarts === deaths - 1)
      process.kill((await status()).trainer.pid!, 'SIGKILL')
      await until(async () => (await status()).trainer.restarts === deaths)
    }
    const { round } = await status()
    await until(async () => (await status()).engine === 'traced' && (await status()).round >= round + 2)

    const { trainer, state } = await status()
    assert.notEqual(state, 'failed')
    const reason = 'killed by SIGKILL'
    assert.deepEqual(trainer.givenUp, [{ engine: 'wasm', code: 'engine_crashed', reason, deaths: 3 }])
    const document = await control.status()
    assert.match(statusText(document), /wasm given up after 3: engine_crashed, killed by SIGKILL; shoal run resume tries it again/)
    const about = (await control.why(run)).events.filter(({ type, code }) => type === 'trainer' && code !== undefined)
    assert.deepEqual(
      about.map(({ code }) => code),
      ['engine_crashed', 'engine_crashed', 'engine_crashed', 'engine_fallback']
    )
    assert.deepEqual(about.at(-1)!.data, { from: 'wasm', to: 'traced', cause: 'engine_crashed', reason, deaths: 3 })
    assert.ok((await control.why('engine_fallback')).events.some(({ type }) => type === 'trainer'))
    assert.match(await control.metrics(), /^shoal_trainer_restarts_total\{code="engine_crashed"\} 3$/m)
    assert.match(await control.metrics(), /^shoal_engine_fallbacks_total\{from="wasm",to="traced"\} 1$/m)
    await until(async () => (await control.status()).health.some(({ code }) => code === 'engine_fallback'))
    const log = await readFile(join(home, 'logs', 'daemon.log'), 'utf8')
    assert.match(log, /training goes on with traced instead of wasm: wasm engine_crashed \(3 times, killed by SIGKILL\)/)

    await control.resumeRun(run)
    await until(async () => (await status()).engine === 'wasm' && (await status()).trainer.givenUp.length === 0)
  })

  it('is said to fall back again where resuming leads to the same engine as before', async function () {
    if ((await describeEngine('tfjs-node-gpu')).available) this.skip()
    const control = connectControl(await locateDaemon(home, async path => readFile(path, 'utf8').catch(() => undefined)))
    const fallbacks = async () => (await control.why('engine_fallback')).events.filter(({ type }) => type === 'trainer').length
    const untilFallbacks = async (count: number) => {
      for (const limit = performance.now() + 90_000; (await fallbacks()) < count; await new Promise(resolve => setTimeout(resolve, 50)))
        assert.ok(performance.now() < limit, `not so in time: ${count} fallbacks`)
    }
    const { run } = await control.createRun({ spec: LONE_RUN })
    await control.joinRun(run, { engine: 'tfjs-node-gpu' })
    await untilFallbacks(1)
    const { engine } = (await control.status()).runs[0]!
    await control.resumeRun(run)
    await untilFallbacks(2)
    assert.equal((await control.status()).runs[0]!.engine, engine)
  })
})
