// Runs that are joined, left and taken up again by real daemons, also where something goes wrong on the way.
import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../daemon/config.ts'
import { Daemon, type DaemonOptions } from '../../daemon/daemon.ts'
import { DaemonError } from '../../daemon/errors.ts'
import { openRunHost } from '../../daemon/run/index.ts'
import type { RunHost } from '../../daemon/run/run-host.ts'
import { connectControl, locateDaemon } from '../../protocols/control/index.ts'
import { StorageError, type Store } from '../../storage/index.ts'
import { LONE_RUN } from './small-run.ts'

describe('the life of a run', function () {
  this.timeout(120_000)
  let root: string
  let daemons: Daemon[]
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'shoal-run-life-'))
    daemons = []
  })
  afterEach(async () => {
    await Promise.all(daemons.map(daemon => daemon.stop()))
    await rm(root, { recursive: true })
  })

  const home = (name: string) => join(root, name)
  const start = async (name: string, options: DaemonOptions = {}, flags: Record<string, unknown> = {}) => {
    const daemon = await Daemon.start(
      await loadConfig({ flags: { home: home(name), profile: 'test', logLevel: 'silent', threads: 1, ...flags } }),
      options
    )
    daemons.push(daemon)
    const read = async (path: string) => readFile(path, 'utf8').catch(() => undefined)
    return { daemon, control: connectControl(await locateDaemon(home(name), read)) }
  }
  type Node = Awaited<ReturnType<typeof start>>
  const stateOf = async ({ control }: Node) => (await control.runs()).runs[0]?.state
  const until = async (condition: () => Promise<boolean>, limitMs = 30_000) => {
    for (const limit = performance.now() + limitMs; !(await condition()); await new Promise(resolve => setTimeout(resolve, 100)))
      assert.ok(performance.now() < limit, `not so in time: ${condition}`)
  }

  it('takes a run up when it can, after a start at which it could not, and lets go of one that it cannot', async () => {
    const first = await start('a')
    const { run } = await first.control.createRun({ spec: LONE_RUN })
    await first.control.joinRun(run, { train: false })
    await first.daemon.stop()
    // All blocks but the manifest are gone, and nobody else has them.
    await cp(join(home('a'), 'blocks'), join(root, 'blocks'), { recursive: true })
    const restore = () => cp(join(root, 'blocks'), join(home('a'), 'blocks'), { recursive: true })
    const damage = async () => {
      await rm(join(home('a'), 'blocks'), { recursive: true })
      await cp(join(root, 'blocks'), join(home('a'), 'blocks'), {
        recursive: true,
        filter: path => !/[a-z2-7]{50,}/.test(path) || path.includes(run)
      })
    }
    await damage()
    const second = await start('a')
    assert.equal(await stateOf(second), 'failed')
    const { status } = await second.control.run(run)
    assert.deepEqual([status.name, status.state], ['life', 'failed'])
    await assert.rejects(second.control.pauseRun(run), { code: 'not_joined', message: /not taken up yet: Nobody reachable/ })
    await restore()
    await until(async () => (await stateOf(second)) === 'observing')
    await second.daemon.stop()

    await damage()
    const third = await start('a')
    assert.equal(await stateOf(third), 'failed')
    assert.equal((await third.control.leaveRun(run)).status.state, 'left')
    assert.deepEqual((await third.control.runs()).runs, [])
    await assert.rejects(third.control.leaveRun(run), (error: { code: string; hint: string }) => {
      assert.equal(error.code, 'not_joined')
      assert.doesNotMatch(error.hint, /join/)
      return true
    })
    await third.daemon.stop()
    await restore()
    assert.equal(await stateOf(await start('a')), undefined)
  })

  it('takes up its runs beside one another after a start, so that none waits for another', async () => {
    const first = await start('g')
    const runs: string[] = []
    for (const name of ['one', 'two']) runs.push((await first.control.createRun({ spec: { ...LONE_RUN, name } })).run)
    for (const run of runs) await first.control.joinRun(run, { train: false })
    await first.daemon.stop()
    // Neither manifest is found before both are looked for.
    const sought = new Set<string>()
    const both = Promise.withResolvers<void>()
    const second = await start('g', {
      openRuns: components => {
        const { blocks } = components.store
        const has = blocks.has.bind(blocks)
        blocks.has = async cid => {
          if (runs.includes(cid)) {
            sought.add(cid)
            if (sought.size === runs.length) both.resolve()
            await both.promise
          }
          return has(cid)
        }
        return openRunHost(components)
      }
    })
    const { runs: rows } = await second.control.runs()
    assert.deepEqual(
      rows.map(({ state }) => state),
      ['observing', 'observing']
    )
  })

  it('is out of a run that was left while it was being joined, whichever came first', async () => {
    const author = await start('author')
    const { run } = await author.control.createRun({ spec: LONE_RUN })
    const node = await start('b', {}, { bootstrap: author.daemon.ready.addresses })
    await until(async () => (await node.control.peers()).peers.length > 0)
    for (const waitMs of [0, 5, 50]) {
      const joined = node.control.joinRun(run, { train: false }).then(
        () => 'joined',
        (error: { code: string }) => error.code
      )
      await new Promise(resolve => setTimeout(resolve, waitMs))
      await node.control.leaveRun(run).catch((error: { code: string }) => assert.equal(error.code, 'not_joined'))
      const outcome = await joined
      assert.ok(['joined', 'not_joined'].includes(outcome), outcome)
      // The leave may have come before the join did: then it had nothing to leave.
      if ((await stateOf(node)) !== undefined) await node.control.leaveRun(run)
      assert.equal(await stateOf(node), undefined)
    }
    await node.daemon.stop()
    assert.equal(await stateOf(await start('b')), undefined)
  })

  it('refuses to pause or resume a run while that is being joined, and does not do it later', async () => {
    const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const { control } = await start('h', {
      openRuns: components => {
        const { blocks } = components.store
        const has = blocks.has.bind(blocks)
        blocks.has = async cid => {
          begun.resolve()
          await gate.promise
          return has(cid)
        }
        return openRunHost(components)
      }
    })
    const { run } = await control.createRun({ spec: LONE_RUN })
    const joined = control.joinRun(run, { train: false })
    await begun.promise
    await assert.rejects(control.pauseRun(run), { code: 'not_joined', message: `Run ${run} is not taken up yet` })
    await assert.rejects(control.resumeRun(run), { code: 'not_joined' })
    gate.resolve()
    assert.equal((await joined).status.state, 'observing')
  })

  it('lacks nobody while its members only adopt', async () => {
    const author = await start('author')
    const { run } = await author.control.createRun({
      spec: { ...LONE_RUN, strategy: { innerSteps: 5, quorum: 2, deadlineMs: 5_000, graceMs: 1_000 } }
    })
    const other = await start('other', {}, { bootstrap: author.daemon.ready.addresses })
    await until(async () => (await other.control.peers()).peers.length > 0)
    for (const { control } of [author, other]) await control.joinRun(run, {})
    const nodes = [author, other]
    const roundsOf = async ({ control }: Node) => (await control.runs()).runs[0]?.round ?? 0
    await until(async () => (await Promise.all(nodes.map(roundsOf))).every(round => round >= 3), 90_000)
    // Until round 1 they are still starting.
    for (const { control } of nodes) {
      const waits = (await control.eventList({ limit: 1_000 })).events.filter(event => event.code === 'waiting_for_quorum')
      assert.deepEqual(
        waits.filter(({ round }) => round! > 1).map(({ round, message }) => `${message} in round ${round}`),
        []
      )
    }
  })

  it('is refused at once where text or engine is none that there is', async () => {
    const { control } = await start('d')
    const { run } = await control.createRun({ spec: { ...LONE_RUN, data: { corpus: 'private' } } })
    for (const [request, code] of [
      [{ data: [join(root, 'nothing')] }, 'data_unreadable'],
      [{ data: [join(root, 'd', 'logs')] }, 'data_missing'],
      [{ data: ['sotu:1066-1492'] }, 'unknown_era'],
      [{ data: ['sotu:1790-1860'], engine: 'steam' }, 'bad_request']
    ] as const) {
      await assert.rejects(control.joinRun(run, { ...request, data: [...request.data] }), { code })
    }
    assert.deepEqual((await control.runs()).runs, [])
  })

  it('shows the operator as the reason of a pause, whatever the disk has had since', async () => {
    const hosts: RunHost[] = []
    const node = await start('e', {
      openRuns: components => {
        const host = openRunHost(components)
        hosts.push(host)
        return host
      }
    })
    const { run } = await node.control.createRun({ spec: LONE_RUN })
    await node.control.joinRun(run, { train: false })
    const reason = async () => (await node.control.run(run)).status.reason
    const [host] = hosts
    const unpaused = await reason()
    await host!.pauseForDisk('the disk has 1 MB free')
    assert.equal(await reason(), 'the disk has 1 MB free')
    await node.control.pauseRun(run)
    await host!.pauseForDisk('the disk has 1 MB free')
    assert.equal(await reason(), 'paused by the operator')
    await host!.resumeFromDisk()
    assert.equal(await reason(), 'paused by the operator')
    await node.control.resumeRun(run)
    assert.equal(await reason(), unpaused)
  })

  it('computes with what the daemon is started with now, unless its join named an engine', async () => {
    const before = await start('f', {}, { engine: 'js' })
    const runs: string[] = []
    for (const request of [{}, { engine: 'js' }]) {
      const { run } = await before.control.createRun({ spec: { ...LONE_RUN, name: request.engine ?? 'unnamed' } })
      await before.control.joinRun(run, request)
      runs.push(run)
    }
    const engines = async ({ control }: Node) => {
      const rows = (await control.runs()).runs
      return runs.map(run => rows.find(row => row.run === run)?.engine)
    }
    await until(async () => (await engines(before)).join() === 'js,js', 90_000)
    await before.daemon.stop()
    const after = await start('f', {}, { engine: 'wasm' })
    await until(async () => (await engines(after)).join() === 'wasm,js', 90_000)
  })

  it('goes on with the text of its join, and says so where the daemon is started with another', async () => {
    const first = await start('g')
    const { run } = await first.control.createRun({ spec: { ...LONE_RUN, data: { corpus: 'private' } } })
    await first.control.joinRun(run, { train: false, data: ['sotu:1790-1860'] })
    await first.daemon.stop()
    const about = async ({ control }: Node) => (await control.eventList()).events.map(({ message }) => message).join('\n')
    const same = await start('g', {}, { run, data: ['sotu:1790-1860'] })
    assert.doesNotMatch(await about(same), /--data is ignored/)
    await same.daemon.stop()
    const other = await start('g', {}, { run, data: ['sotu:1861-1913'] })
    await until(async () => /--data is ignored: the run was joined before, with sotu:1790-1860;/.test(await about(other)))
  })

  it('has not joined where the disk does not take the membership', async () => {
    const node = await start('c', { openRuns: components => openRunHost({ ...components, store: refusingMemberships(components.store) }) })
    const { run } = await node.control.createRun({ spec: LONE_RUN })
    await assert.rejects(node.control.joinRun(run, { train: false }), { code: 'disk_full' })
    assert.deepEqual((await node.control.runs()).runs, [])
  })

  it('tells nobody of a run that it could not get into', async () => {
    const told: string[] = []
    const node = await start('f', {
      openRuns: components => {
        const { node: network, presence } = components
        const subscribe = network.subscribe.bind(network)
        const [setRun, removeRun] = [presence.setRun.bind(presence), presence.removeRun.bind(presence)]
        network.subscribe = (topic, receive) => {
          if (topic.includes('/rounds/')) throw new DaemonError('stopping', 'nothing is heard any more')
          subscribe(topic, receive)
        }
        presence.setRun = facts => {
          told.push('in it')
          setRun(facts)
        }
        presence.removeRun = run => {
          told.push('not in it')
          removeRun(run)
        }
        return openRunHost(components)
      }
    })
    const { run } = await node.control.createRun({ spec: LONE_RUN })
    await assert.rejects(node.control.joinRun(run, { train: false }), { code: 'stopping' })
    assert.ok(told.includes('in it'))
    assert.equal(told.at(-1), 'not in it')
  })
})

/** The node's own store, but for writes to one table. */
function refusingMemberships(store: Store): Store {
  const refuse = () => Promise.reject(new StorageError('disk_full', 'could not write the membership: the disk is full'))
  const { records } = store
  return {
    home: store.home,
    blocks: store.blocks,
    close: () => store.close(),
    records: {
      batch: (operations, options) => records.batch(operations, options),
      table: name => {
        const table = records.table<never>(name)
        if (name !== 'runs') return table
        return {
          get: key => table.get(key),
          delete: (key, options) => table.delete(key, options),
          entries: range => table.entries(range),
          put: refuse
        }
      }
    }
  }
}
