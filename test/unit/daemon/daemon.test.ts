// A daemon's start and stop in temporary homes, on loopback and free ports, with a stand-in for the part that keeps runs.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import '../../../daemon/polyfill.ts'
import { loadConfig } from '../../../daemon/config.ts'
import { Daemon, type DaemonOptions } from '../../../daemon/daemon.ts'
import { DaemonError } from '../../../daemon/errors.ts'
import { openHome } from '../../../daemon/home.ts'
import { initHome, runDaemon } from '../../../daemon/index.ts'
import { openNoRuns } from '../../../daemon/run/no-runs.ts'
import { connectControl, locateDaemon } from '../../../protocols/control/index.ts'
import type { RunStatus } from '../../../protocols/control/messages.ts'
import { lastingAddress } from '../../mesh/lasting-address.ts'

const read = async (path: string) => readFile(path, 'utf8').catch(() => undefined)

describe('Daemon', function () {
  this.timeout(60_000)
  let root: string
  let daemons: Daemon[]
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'shoal-daemon-'))
    daemons = []
  })
  afterEach(async () => {
    await Promise.all(daemons.map(daemon => daemon.stop()))
    await rm(root, { recursive: true })
  })

  const home = (name: string) => join(root, name)
  const start = async (name: string, flags: Record<string, unknown> = {}, options: DaemonOptions = {}) => {
    const config = await loadConfig({ flags: { home: home(name), profile: 'test', logLevel: 'warn', ...flags } })
    const daemon = await Daemon.start(config, { openRuns: openNoRuns, ...options })
    daemons.push(daemon)
    return daemon
  }
  const writeFileIn = async (name: string, file: string, text: string) => {
    await initHome(home(name))
    await writeFile(join(home(name), file), text)
  }
  const clientOf = async (name: string) => connectControl(await locateDaemon(home(name), read))

  it('says where it is while it runs, and leaves nothing behind that claims so', async () => {
    const daemon = await start('a')
    const client = await clientOf('a')
    const id = await client.id()
    assert.equal(id.peer, daemon.ready.peer)
    assert.match(id.join, /^shoal daemon --profile test --bootstrap \/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3KooW/)
    assert.deepEqual(await client.ready(), { schema: 1, ready: true, failed: [] })
    assert.equal((await stat(join(home('a'), 'api-token'))).mode & 0o777, 0o600)
    assert.equal((await client.status()).node.state, 'ready')
    await daemon.stop()
    await assert.rejects(locateDaemon(home('a'), read), { code: 'daemon_not_running' })
  })

  it('is the same node after a restart, and a token that somebody kept opens nothing', async () => {
    const first = await start('a')
    const client = await clientOf('a')
    const { token } = await locateDaemon(home('a'), read)
    await client.shutdown()
    await first.stopped
    const second = await start('a')
    assert.equal(second.ready.peer, first.ready.peer)
    const kept = connectControl({ api: second.ready.api, token })
    await assert.rejects(kept.status(), { code: 'not_authorised' })
  })

  it('names the daemon that has the home', async () => {
    const daemon = await start('a')
    await assert.rejects(start('a'), (error: Error & { code: string; hint: string; details: { pid: number; api: string } }) => {
      assert.equal(error.code, 'home_in_use')
      assert.match(error.message, new RegExp(`pid ${process.pid} that answers at ${daemon.ready.api}`))
      assert.match(error.hint, /shoal stop --home/)
      assert.deepEqual(error.details, { home: home('a'), pid: process.pid, api: daemon.ready.api })
      return true
    })
    // The one that was refused took nothing from the one that runs.
    assert.equal((await (await clientOf('a')).status()).node.state, 'ready')
  })

  it('says to wait for whoever has the home and has no API, as one that still stops', async () => {
    await initHome(home('a'))
    const store = await openHome(home('a'))
    await assert.rejects(start('a'), (error: Error & { code: string; hint: string; details: object }) => {
      assert.equal(error.code, 'home_in_use')
      assert.match(error.message, /still starts or stops/)
      assert.doesNotMatch(error.hint, /shoal stop/)
      assert.ok(error.hint.includes(join(home('a'), 'logs', 'daemon.log')), error.hint)
      assert.deepEqual(error.details, { home: home('a') })
      return true
    })
    await store.close()
  })

  it('finds a bootstrap node, shows it among the peers and tells of it by an event', async () => {
    const first = await start('a')
    await start('b', { bootstrap: first.ready.addresses })
    const client = await clientOf('b')
    for await (const event of client.events({ since: 0 }, { signal: AbortSignal.timeout(10_000) })) {
      if (event.type !== 'peer') continue
      assert.equal(event.peer, first.ready.peer)
      assert.equal(event.data?.foundBy, 'bootstrap')
      break
    }
    const [row] = (await client.peers()).peers
    assert.deepEqual([row?.peer, row?.foundBy, row?.direction, row?.state], [first.ready.peer, 'bootstrap', 'outbound', 'present'])
  })

  it('removes what a daemon that was killed had in scratch, and nothing of one that has the home', async () => {
    const left = join(home('a'), 'scratch', 'genesis-1-2.5.safetensors')
    const leave = async () => {
      await mkdir(dirname(left), { recursive: true })
      await writeFile(left, 'half')
    }
    await initHome(home('a'))
    await leave()
    await start('a')
    assert.equal(await read(left), undefined)
    await leave()
    await assert.rejects(start('a'), { code: 'home_in_use' })
    assert.equal(await read(left), 'half')
  })

  it('finds peers again that it met only through a bootstrap node which is gone', async () => {
    const hub = await start('hub')
    const [listenA, listenB] = [await lastingAddress(), await lastingAddress()]
    const met = [
      await start('a', { bootstrap: hub.ready.addresses, listen: listenA }),
      await start('b', { bootstrap: hub.ready.addresses, listen: listenB })
    ]
    const peersOf = async (name: string) => (await (await clientOf(name)).peers()).peers
    const bothMeet = async (peers: string[]) => {
      // Those heard only by gossip have no connection, and so no address to keep.
      const seen = await Promise.all(
        ['a', 'b'].map(async name => (await peersOf(name)).filter(row => row.direction !== null).map(({ peer }) => peer))
      )
      return seen.every((names, index) => peers.filter(peer => peer !== met[index]!.ready.peer).every(peer => names.includes(peer)))
    }
    const until = async (condition: () => Promise<boolean>) => {
      for (const limit = performance.now() + 25_000; !(await condition()); await new Promise(resolve => setTimeout(resolve, 100)))
        assert.ok(performance.now() < limit, `${condition}`)
    }
    const peers = met.map(({ ready }) => ready.peer)
    await until(() => bothMeet([...peers, hub.ready.peer]))
    for (const daemon of [hub, ...met]) await daemon.stop()
    // Each listens where it did, and is told of nobody.
    await start('a', { listen: listenA })
    await start('b', { listen: listenB })
    await until(() => bothMeet(peers))
    const foundBy = await Promise.all(['a', 'b'].map(async name => (await peersOf(name))[0]!.foundBy))
    assert.ok(foundBy.includes('remembered'), `${foundBy}`)
  })

  it('refuses a port that somebody chose and another has, and leaves the home free', async () => {
    const other = createServer()
    await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
    const { port } = other.address() as AddressInfo
    try {
      await assert.rejects(start('a', { listen: `/ip4/127.0.0.1/tcp/${port}` }), { code: 'port_taken' })
      await assert.rejects(start('a', { apiPort: port }), { code: 'port_taken' })
    } finally {
      other.close()
    }
    await start('a')
  })

  it('stops what it had started, in reverse, when a later part fails to start', async () => {
    const order: string[] = []
    const failing: DaemonOptions = {
      openRuns: components => ({
        ...openNoRuns(),
        start: async () => {
          order.push('start')
          components.events.emit({ type: 'run', message: 'about to fail' })
          throw new Error('no runs today')
        },
        stop: async () => {
          order.push('stop')
          assert.equal(await components.store.records.table('events').get('x'), undefined)
          assert.ok(components.node.addresses().length > 0)
        }
      })
    }
    await assert.rejects(start('a', {}, failing), /no runs today/)
    assert.deepEqual(order, ['start', 'stop'])
    await assert.rejects(locateDaemon(home('a'), read), { code: 'daemon_not_running' })
    await start('a')
    const { events } = await (await clientOf('a')).eventList()
    assert.ok(events.some(event => event.message === 'about to fail'))
  })

  it('refuses a damaged identity and a wrong configuration with their codes', async () => {
    await initHome(home('a'))
    await writeFile(join(home('a'), 'identity.key'), 'nonsense')
    await assert.rejects(start('a'), { code: 'identity_damaged' })
    await initHome(home('b'))
    await writeFile(join(home('b'), 'config.yaml'), 'netwrok: x\n')
    await assert.rejects(start('b'), { code: 'config_unknown_key' })
  })

  it('pauses its runs while the disk has too little room, again for those that came later, and says so', async () => {
    const reasons: string[] = []
    const openRuns = () => ({ ...openNoRuns(), pauseForDisk: async (reason: string) => void reasons.push(reason) })
    await writeFileIn('a', 'config.yaml', 'diskFloor: 1000TiB\n')
    await start('a', {}, { openRuns })
    const { health } = await (await clientOf('a')).status()
    assert.deepEqual([health[0]?.code, health[0]?.level], ['disk_full', 'fail'])
    assert.match(health[0]?.message ?? '', /free, training needs 1000 TiB: training is paused/)
    assert.deepEqual((await (await clientOf('a')).ready()).failed, ['disk'])
    await new Promise(resolve => setTimeout(resolve, 2500))
    assert.ok(reasons.length >= 2)
  })

  it('names every run that it could not join, until it is in it', async () => {
    const [first, second] = ['a', 'b'].map(letter => `b${letter.repeat(58)}`)
    const joined: RunStatus[] = []
    const seek = () => Promise.reject(new DaemonError('data_missing', 'no text was named'))
    await start('a', { run: [first, second] }, { openRuns: () => ({ ...openNoRuns(), list: () => joined, seek }) })
    const client = await clientOf('a')
    const shown = async () => (await client.status()).health.find(({ code }) => code === 'join_failed')?.message
    const until = async (condition: (message: string | undefined) => boolean) => {
      for (const limit = performance.now() + 20_000; !condition(await shown()); await new Promise(resolve => setTimeout(resolve, 50)))
        assert.ok(performance.now() < limit, `${condition} ${await shown()}`)
    }
    await until(message => [first, second].every(run => message?.includes(`${run} could not be joined: no text was named`)))
    const status = { name: 'demo', split: null, pending: 0, trainer: { givenUp: [] } } as unknown as RunStatus
    joined.push({ ...status, run: first!, state: 'training' })
    await until(message => message?.includes(first!) === false && message.includes(second!))
    joined.push({ ...status, run: second!, state: 'observing' })
    await until(message => message === undefined)
  })

  it('says in its health and its metrics that members do not see one another, and that peers wait for admission, until it is over', async () => {
    const calm = { run: `b${'a'.repeat(58)}`, name: 'demo', split: null, pending: 0, trainer: { givenUp: [] }, members: [] }
    let status = calm as unknown as RunStatus
    await start('a', {}, { openRuns: () => ({ ...openNoRuns(), list: () => [status] }) })
    const client = await clientOf('a')
    const shown = async () =>
      (await client.status()).health.map(({ code }) => code).filter(code => /mesh_split|admission_pending/.test(code))
    const gauges = async () =>
      ['split', 'pending'].map(async name => new RegExp(`^shoal_run_${name}\\{.*\\} (\\d+)$`, 'm').exec(await client.metrics())?.[1])
    const until = async (codes: string[]) => {
      for (
        const limit = performance.now() + 20_000;
        String(await shown()) !== String(codes);
        await new Promise(resolve => setTimeout(resolve, 50))
      )
        assert.ok(performance.now() < limit, String(await shown()))
    }
    assert.deepEqual(await Promise.all(await gauges()), ['0', '0'])
    status = { ...status, split: 'this node sees a; b is missed', pending: 3 }
    await until(['admission_pending', 'mesh_split'])
    assert.deepEqual(await Promise.all(await gauges()), ['1', '3'])
    const [pending, split] = (await client.status()).health.filter(({ code }) => /mesh_split|admission_pending/.test(code))
    assert.match(pending!.message, /^demo: 3 wait/)
    assert.match(split!.message, /^demo: this node sees a; b is missed/)
    status = calm as unknown as RunStatus
    await until([])
    const codes = (await client.eventList()).events.filter(({ type }) => type === 'health').map(({ code, data }) => [code, data?.level])
    for (const code of ['mesh_split', 'admission_pending'])
      assert.deepEqual(
        codes.filter(([which]) => which === code).map(([, level]) => level),
        ['warn', 'ok']
      )
  })

  it('only helps others find one another where it was told so', async () => {
    await start('a', { bootstrapOnly: true })
    const client = await clientOf('a')
    await assert.rejects(client.joinRun(`b${'a'.repeat(58)}`), { code: 'not_allowed', status: 403 })
  })

  it('takes no ban of what only looks like a peer id, which it could not start with again', async () => {
    const daemon = await start('a')
    const client = await clientOf('a')
    await assert.rejects(client.banPeer({ peer: `12D3KooW${'a'.repeat(44)}` }), { code: 'bad_request' })
    await client.banPeer({ peer: '12D3KooWGRUVh7cgUpGfHGbrJFeJ6h6zqqu8kxp5yhNqDXnPGEPg' })
    await daemon.stop()
    await start('a')
  })

  it('is stopped by the API while it starts, whatever of it was begun, and leaves the home free', async () => {
    for (const fails of [false, true]) {
      const openRuns = () => {
        let isStopped = false
        const start = async () => {
          await (await clientOf('a')).shutdown()
          while (!isStopped) await new Promise(resolve => setImmediate(resolve))
          if (fails) throw new Error('the store is closed')
        }
        const stop = async () => {
          isStopped = true
        }
        return { ...openNoRuns(), start, stop }
      }
      await assert.rejects(start('a', {}, { openRuns }), { code: 'stopping' })
      await assert.rejects(locateDaemon(home('a'), read), { code: 'daemon_not_running' })
    }
    await start('a')
  })

  it('runDaemon() ends by a signal, by the API, and gives up a start', async () => {
    const sources = { flags: { home: home('a'), profile: 'test', bootstrapOnly: true, logLevel: 'silent' } }
    const bySignal = new AbortController()
    let joinLine = ''
    await runDaemon({
      ...sources,
      signal: bySignal.signal,
      onReady: ready => {
        joinLine = ready.join
        bySignal.abort()
      }
    })
    assert.match(joinLine, /--bootstrap/)
    await runDaemon({ ...sources, onReady: () => void clientOf('a').then(client => client.shutdown()) })
    await runDaemon({ ...sources, signal: AbortSignal.abort(), onReady: () => assert.fail() })
    await start('a')
  })

  it('runDaemon() catches an error that nobody waits for while it starts', async () => {
    const ofMocha = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    try {
      const flags = { home: home('a'), profile: 'test', bootstrapOnly: true, logLevel: 'error' }
      const running = runDaemon({ flags, terminal: { write: () => {} }, onReady: () => {} })
      const log = join(home('a'), 'logs', 'daemon.log')
      while ((await read(log)) === undefined) await new Promise(resolve => setImmediate(resolve))
      process.emit('uncaughtException', new Error('a socket died'))
      await assert.rejects(running, { code: 'internal', message: /a socket died/ })
      assert.match((await read(log))!, /a socket died/)
    } finally {
      for (const listener of ofMocha) process.on('uncaughtException', listener)
    }
  })
})
