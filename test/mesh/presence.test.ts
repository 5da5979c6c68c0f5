import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode, type NodeOptions, type ShoalNode } from '../../daemon/node.ts'
import { cidOf, DAG_CBOR } from '../../protocols/cids.ts'
import { SILENCE_MS } from '../../protocols/presence/constants.ts'
import { PRESENCE_INTERVAL_MS, PRESENCE_TIMEOUT_MS, PresenceService } from '../../protocols/presence/index.ts'
import { until } from './until.ts'

const RUN = cidOf(new Uint8Array([9]), DAG_CBOR)

interface Member {
  node: ShoalNode
  presence: PresenceService
}

describe('presence over real nodes', () => {
  let members: Member[]
  let processes: ChildProcess[]

  beforeEach(() => {
    members = []
    processes = []
  })
  afterEach(async () => {
    for (const child of processes) child.kill('SIGKILL')
    await Promise.all(
      members.map(async ({ node, presence }) => {
        await presence.stop()
        await node.stop()
      })
    )
  })

  async function member(options: Partial<NodeOptions> = {}, clockOffsetMs = 0): Promise<Member> {
    const network = options.network ?? 'presence'
    const node = await createNode({
      privateKey: await generateKeyPair('Ed25519'),
      network,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      profile: 'test',
      ...options
    })
    const presence = new PresenceService({ node }, { network, version: '1', clockOffsetMs })
    presence.start()
    const joined = { node, presence }
    members.push(joined)
    return joined
  }

  const sees = (who: Member, whom: Member) => until(() => who.presence.isPresent(whom.node.peer))

  it('hears of peers and of what they do, without being asked', async () => {
    const a = await member()
    const b = await member({ bootstrap: [a.node.addresses()[0]!] })
    await Promise.all([sees(a, b), sees(b, a)])
    const atRound = async (round: number): Promise<void> => {
      a.presence.setRun({ run: RUN, head: null, round, state: 'training', step: 5, holding: () => [] })
      await until(() => b.presence.membersOf(RUN)[0]?.run.round === round)
    }
    await atRound(3)
    // It has just spoken: had the next change to wait for its time, that would be a whole interval away.
    const startedMs = performance.now()
    await atRound(4)
    assert.ok(performance.now() - startedMs < PRESENCE_INTERVAL_MS - 100, 'a change is told at once')
  })

  it('finds peers that share only a bootstrap node', async () => {
    const hub = await member()
    const hubAddress = hub.node.addresses()[0]!
    const a = await member({ bootstrap: [hubAddress] })
    const b = await member({ bootstrap: [hubAddress] })
    await until(() => a.node.isConnected(b.node.peer) && b.node.isConnected(a.node.peer))
    const [found] = a.node.peers().filter(({ peer }) => peer === b.node.peer)
    assert.ok(['dht', 'inbound'].includes(found!.foundBy))
    assert.equal(a.node.peers().find(({ peer }) => peer === hub.node.peer)!.foundBy, 'bootstrap')
    await Promise.all([sees(a, b), sees(b, a), sees(hub, a)])
  })

  it('drops a peer at once when it says goodbye', async () => {
    const a = await member()
    const b = await member({ bootstrap: [a.node.addresses()[0]!] })
    await sees(a, b)
    const gone = new Promise<string>(resolve => a.presence.onChange(change => change.type === 'gone' && resolve(change.reason)))
    await b.presence.stop()
    assert.equal(await gone, 'left')
  })

  it('drops a peer that dies without a word within the bound', async () => {
    const a = await member()
    const b = await member({ bootstrap: [a.node.addresses()[0]!] })
    await Promise.all([sees(a, b), sees(b, a)])
    const startedMs = performance.now()
    members.pop()
    await b.node.stop()
    await until(() => !a.presence.isPresent(b.node.peer) && !a.node.isConnected(b.node.peer), PRESENCE_TIMEOUT_MS)
    assert.ok(performance.now() - startedMs < PRESENCE_TIMEOUT_MS)
    b.presence.stop().catch(() => {})
  })

  async function memberProcess(bootstrap: string): Promise<{ child: ChildProcess; peer: string }> {
    const entry = new URL('./presence-process.js', import.meta.url)
    const child = spawn(process.execPath, [entry.pathname, 'presence', bootstrap], { stdio: ['ignore', 'pipe', 'inherit'] })
    processes.push(child)
    const lines = createInterface({ input: child.stdout! })
    const [peer] = (await once(lines, 'line')) as [string]
    return { child, peer }
  }

  it('drops a process that is killed, at once and everywhere', async () => {
    const a = await member()
    const b = await member({ bootstrap: [a.node.addresses()[0]!] })
    const { child, peer } = await memberProcess(a.node.addresses()[0]!)
    await until(() => [a, b].every(({ node, presence }) => presence.isPresent(peer) && node.isConnected(peer)))
    child.kill('SIGKILL')
    const tookMs = await until(
      () => [a, b].every(({ node, presence }) => !presence.isPresent(peer) && !node.isConnected(peer)),
      PRESENCE_TIMEOUT_MS
    )
    // Silence alone would take longer.
    assert.ok(tookMs < SILENCE_MS - PRESENCE_INTERVAL_MS, `took ${tookMs} ms`)
  })

  it('drops a process that is stopped within the bound, and sees it again when it goes on', async function () {
    this.timeout(60_000)
    const a = await member()
    const { child, peer } = await memberProcess(a.node.addresses()[0]!)
    await until(() => a.presence.isPresent(peer))
    child.kill('SIGSTOP')
    await until(() => !a.presence.isPresent(peer) && !a.node.isConnected(peer), PRESENCE_TIMEOUT_MS + 500)
    child.kill('SIGCONT')
    await until(() => a.presence.isPresent(peer) && a.node.isConnected(peer), 20_000)
  })

  it('warns of a clock that is off by a day', async () => {
    const a = await member()
    const bootstrap = [a.node.addresses()[0]!]
    const b = await member({ bootstrap })
    const off = await member({ bootstrap }, 86_400_000)
    await until(() => off.presence.peers().length === 2 && a.presence.peers().length === 2 && b.presence.peers().length === 2)
    assert.equal(off.presence.clocks().ownWrong, true)
    assert.deepEqual(
      a.presence.clocks().wrongPeers.map(({ peer }) => peer),
      [off.node.peer]
    )
    assert.equal(a.presence.clocks().ownWrong, false)
  })
})
