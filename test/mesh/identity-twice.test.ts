// One identity in two real daemons, as after a home was copied: both are told, by whoever is connected with both, and so is everybody else.
import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../daemon/config.ts'
import { Daemon } from '../../daemon/daemon.ts'
import { IDENTITY_FILE } from '../../daemon/identity.ts'
import { type ControlClient, connectControl, locateDaemon } from '../../protocols/control/index.ts'

describe('an identity that lives twice', function () {
  this.timeout(60_000)
  let root: string
  const daemons: Daemon[] = []
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'shoal-twice-'))
  })
  after(async () => {
    await Promise.all(daemons.map(daemon => daemon.stop()))
    await rm(root, { recursive: true })
  })

  const start = async (name: string, bootstrap: string[]): Promise<{ daemon: Daemon; control: ControlClient }> => {
    const home = join(root, name)
    const daemon = await Daemon.start(await loadConfig({ flags: { home, profile: 'test', logLevel: 'silent', bootstrap } }))
    daemons.push(daemon)
    return { daemon, control: connectControl(await locateDaemon(home, path => readFile(path, 'utf8'))) }
  }
  const healthOf = async (control: ControlClient, code: string) => (await control.status()).health.find(row => row.code === code)
  const until = async <T>(look: () => Promise<T | undefined>): Promise<T> => {
    for (const limit = performance.now() + 30_000; ; await new Promise(resolve => setTimeout(resolve, 100))) {
      const found = await look()
      if (found !== undefined) return found
      assert.ok(performance.now() < limit, `not so in time: ${look}`)
    }
  }

  it('is named with both hosts, on both and on others, and no restart is taken for it', async () => {
    const third = await start('third', [])
    const bootstrap = third.daemon.ready.addresses
    const first = await start('first', bootstrap)
    const { peer, addresses } = first.daemon.ready
    await until(async () => (await third.control.peers()).peers.find(row => row.peer === peer))
    // A restart, with the same identity.
    await first.daemon.stop()
    const again = await start('first', bootstrap)
    await until(async () => (await third.control.peers()).peers.find(row => row.peer === peer && row.lastSeenMs !== null))
    for (const { control } of [third, again])
      for (const code of ['identity_twice', 'peer_identity_twice']) assert.equal(await healthOf(control, code), undefined)

    await mkdir(join(root, 'copy'))
    await cp(join(root, 'first', IDENTITY_FILE), join(root, 'copy', IDENTITY_FILE))
    const copy = await start('copy', bootstrap)
    assert.equal(copy.daemon.ready.peer, peer)
    const ports = [again, copy].map(({ daemon }) => /\/tcp\/\d+/.exec(daemon.ready.addresses[0]!)![0])
    assert.ok(addresses.length > 0)
    const rows = await Promise.all([
      until(() => healthOf(again.control, 'identity_twice')),
      until(() => healthOf(copy.control, 'identity_twice')),
      until(() => healthOf(third.control, 'peer_identity_twice'))
    ])
    for (const { message } of rows) for (const part of [hostname(), ...ports]) assert.ok(message.includes(part), message)
    assert.deepEqual(
      rows.map(({ level }) => level),
      ['fail', 'fail', 'warn']
    )
    assert.ok((await third.control.why(peer)).events.some(({ code }) => code === 'peer_identity_twice' || code === 'peer_joined'))
  })
})
