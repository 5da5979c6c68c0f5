// A real daemon that may send only so much: another fetches a checkpoint from it, and what passes its sockets is measured.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { statusText } from '../../cli/status-text.ts'
import { loadConfig } from '../../daemon/config.ts'
import { Daemon } from '../../daemon/daemon.ts'
import { connectControl, locateDaemon } from '../../protocols/control/index.ts'
import { LONE_RUN } from './small-run.ts'

const RATE = 500_000
const MEASURED_MS = 4_000
/** About 5 MB. */
const MODEL = { family: 'gpt2', layers: 3, width: 192, heads: 3, context: 64, biases: false }

describe('--max-upload', function () {
  this.timeout(120_000)
  let root: string
  const daemons: Daemon[] = []
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'shoal-max-upload-'))
  })
  after(async () => {
    await Promise.all(daemons.map(daemon => daemon.stop()))
    await rm(root, { recursive: true })
  })

  const start = async (name: string, flags: Record<string, unknown>) => {
    const home = join(root, name)
    const daemon = await Daemon.start(await loadConfig({ flags: { home, profile: 'test', logLevel: 'silent', ...flags } }))
    daemons.push(daemon)
    return { daemon, control: connectControl(await locateDaemon(home, path => readFile(path, 'utf8').catch(() => undefined))) }
  }

  it('holds for all that passes the sockets, and facts are in time', async () => {
    const giver = await start('giver', { maxUpload: '500kB/s' })
    const taker = await start('taker', { bootstrap: giver.daemon.ready.addresses })
    const { run } = await giver.control.createRun({ spec: { ...LONE_RUN, model: MODEL } })
    await giver.control.joinRun(run, { train: false })
    const lastSeen = async () => (await taker.control.peers()).peers.find(({ peer }) => peer === giver.daemon.ready.peer)?.lastSeenMs
    while ((await lastSeen()) === undefined || (await lastSeen()) === null) await delay(50)
    let fetched = false
    // It ends with the test.
    taker.control.fetchCheckpoint({ run }).then(
      () => {
        fetched = true
      },
      () => {}
    )
    const sent = async () => (await giver.control.status()).traffic.wire.sent
    const before = await sent()
    // Under way, and the burst at the start is over.
    while ((await sent()) < before + RATE) await delay(20)
    const [from, sinceMs] = [await sent(), performance.now()]
    let silentMs = 0
    while (performance.now() - sinceMs < MEASURED_MS) {
      await delay(100)
      silentMs = Math.max(silentMs, (await lastSeen())!)
    }
    const rate = ((await sent()) - from) / ((performance.now() - sinceMs) / 1000)
    const said = `${Math.round(rate)} bytes a second of ${RATE}`
    assert.ok(rate < RATE * 1.05, said)
    // On a busy machine turns are missed for longer than a burst makes good.
    assert.ok(rate > RATE * 0.8, said)
    assert.ok(silentMs < 6_000, `presence was ${silentMs} ms old`)
    assert.equal(fetched, false, 'it was measured while blocks were asked for')
    assert.match(statusText(await giver.control.status()), /sends at most 500 kB\/s/)
    assert.match(await giver.control.metrics(), /^shoal_max_upload_bytes_per_second 500000$/m)
    if (process.env.SHOAL_SHOW_FIGURES) console.log(`      ${Math.round(rate)} bytes a second, presence at most ${silentMs} ms old`)
  })
})
