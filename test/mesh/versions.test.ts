// Nodes of other versions: real libp2p nodes that speak a version of our protocols that we do not, and a daemon that says so.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { loadConfig } from '../../daemon/config.ts'
import { Daemon } from '../../daemon/daemon.ts'
import { createNode, type ShoalNode } from '../../daemon/node.ts'
import { connectControl, locateDaemon } from '../../protocols/control/index.ts'
import { openStranger, type Stranger } from './stranger.ts'

const NETWORK = 'versions'

describe('a node of another version', function () {
  this.timeout(60_000)
  let home: string
  let daemon: Daemon
  let strangers: Stranger[]
  let nodes: ShoalNode[]
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'shoal-versions-'))
    const flags = { home, profile: 'test', logLevel: 'silent', network: NETWORK }
    daemon = await Daemon.start(await loadConfig({ flags }))
    strangers = []
    nodes = []
  })
  afterEach(async () => {
    await Promise.all(strangers.map(stranger => stranger.stop()))
    await Promise.all(nodes.map(node => node.stop()))
    await daemon.stop()
    await rm(home, { recursive: true })
  })

  const control = async () => connectControl(await locateDaemon(home, path => readFile(path, 'utf8').catch(() => undefined)))
  /** What `find` gives, as soon as it is anything. */
  const eventually = async (find: () => Promise<string | undefined>): Promise<string> => {
    for (const limit = performance.now() + 15_000; performance.now() < limit; await new Promise(resolve => setTimeout(resolve, 50))) {
      const found = await find()
      if (found !== undefined) return found
    }
    return assert.fail('nothing was told')
  }
  const told = (peer: string) =>
    eventually(async () => (await (await control()).why(peer)).events.find(({ code }) => code === 'version_mismatch')?.message)
  const health = () =>
    eventually(async () => (await (await control()).status()).health.find(({ code }) => code === 'version_mismatch')?.message)

  it('is named with the protocol and both versions where it speaks a newer one, in why and in status', async () => {
    const stranger = await openStranger({ network: NETWORK, speaks: ['blocks/2', 'sync/1'] })
    strangers.push(stranger)
    await stranger.dial(daemon.ready.addresses[0]!)
    const sentence = `${stranger.peer} speaks version 2 of blocks, this node 1: update this node`
    assert.equal(await told(stranger.peer), sentence)
    assert.equal(await health(), sentence)
  })

  it('is of this mesh, and not of another, where even its DHT is older; both sides are told', async () => {
    const stranger = await openStranger({ network: NETWORK, speaks: ['blocks/0'], kad: '0.9.0' })
    strangers.push(stranger)
    const events: string[] = []
    const node = await createNode({
      privateKey: await generateKeyPair('Ed25519'),
      network: NETWORK,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      profile: 'test'
    })
    nodes.push(node)
    node.onEvent(event => events.push(event.type === 'versionMismatch' ? event.message : event.type))
    await assert.rejects(node.connect(stranger.address), {
      code: 'version_mismatch',
      message: /version 0 of kad, this node 1: that node needs an update/
    })
    assert.ok(!events.includes('otherNetwork'))
    assert.equal(node.mismatches().length, 1)
    await stranger.dial(daemon.ready.addresses[0]!)
    assert.match(await told(stranger.peer), /version 0 of blocks, this node 1: .*; .* speaks version 0 of kad, this node 1/)
    assert.ok((await (await control()).peers()).peers.every(({ peer }) => peer !== stranger.peer))
  })
})
