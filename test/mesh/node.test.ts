import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { createNode, DIAL_TIMEOUT_MS, type NodeOptions, type ShoalNode } from '../../daemon/node.ts'
import { GOSSIP_UNSENT_BYTES } from '../../daemon/node-gossip.ts'
import { MAX_ADDRESSES } from '../../daemon/node-peer-store.ts'
import { cidOf, DAG_CBOR, parseCid } from '../../protocols/cids.ts'
import { ProtocolError } from '../../protocols/errors.ts'
import { MAX_GOSSIP_BYTES } from '../../protocols/frame-stream.ts'
import { SOURCE_BYTES } from '../../protocols/gossip-rates.ts'
import { decodeAnswer, encodeQuestion } from '../../protocols/identity/index.ts'
import { addProvider, addressCounts, getProviders } from './dht-words.ts'
import { lastingAddress } from './lasting-address.ts'
import { openStranger, type Stranger, type StrangerOptions } from './stranger.ts'
import { until } from './until.ts'

/** More than the wrong messages for which gossipsub leaves a peer unheard. */
const PAIRS = 60
const NONSENSE = 255
const RUN = cidOf(new Uint8Array([42]), DAG_CBOR)

describe('a node', () => {
  let nodes: ShoalNode[]
  let servers: Server[]
  let strangers: Stranger[]

  beforeEach(() => {
    nodes = []
    servers = []
    strangers = []
  })
  afterEach(async () => {
    await Promise.all([...nodes, ...strangers].map(node => node.stop()))
    for (const server of servers) server.close()
  })

  async function start(options: Partial<NodeOptions> = {}): Promise<ShoalNode> {
    const privateKey = options.privateKey ?? (await generateKeyPair('Ed25519'))
    const node = await createNode({ network: 'nodes', listen: ['/ip4/127.0.0.1/tcp/0'], profile: 'test', ...options, privateKey })
    nodes.push(node)
    return node
  }

  async function stop(node: ShoalNode): Promise<void> {
    nodes = nodes.filter(other => other !== node)
    await node.stop()
  }

  /** A node that keeps none of our rules, connected with `node` and known to it. */
  async function meetStranger(node: ShoalNode, options: Partial<StrangerOptions> = {}): Promise<Stranger> {
    const stranger = await openStranger({ network: 'nodes', ...options })
    strangers.push(stranger)
    await stranger.dial(node.addresses()[0]!)
    await until(() => node.isConnected(stranger.peer))
    return stranger
  }

  /** Says it to the DHT of `node`, and waits until it was read. */
  async function saidAll(stranger: Stranger, node: ShoalNode, message: Uint8Array): Promise<void> {
    const stream = await stranger.open(node.peer, 'kad/1.0.0')
    const closed = once(stream, 'close')
    await lpStream(stream).write(message)
    await stream.close()
    await closed
  }

  /** Asks the DHT of `node`: how many addresses it names of each provider. */
  async function providersOf(key: Uint8Array, stranger: Stranger, node: ShoalNode): Promise<number[]> {
    const asked = lpStream(await stranger.open(node.peer, 'kad/1.0.0'))
    await asked.write(getProviders(key))
    return addressCounts((await asked.read()).subarray())
  }

  /** A port where somebody listens and never says a word. */
  async function silentPort(): Promise<number> {
    const server = createServer(socket => socket.on('error', () => {}).resume())
    servers.push(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  it('takes a free port when the wished one is taken, and says so', async () => {
    const first = await start()
    const wanted = first.addresses()[0]!.replace(/\/p2p\/.*/, '')
    const told: string[][] = []
    const second = await start({ listen: [wanted], onPortTaken: (...what) => told.push(...what) })
    assert.deepEqual(told, [[wanted], second.addresses()])
    assert.notEqual(second.addresses()[0]!.replace(/\/p2p\/.*/, ''), wanted)
    assert.equal(await second.connect(first.addresses()[0]!), first.peer)
  })

  it('refuses bad names and addresses with their codes', async () => {
    const node = await start()
    for (const network of ['', 'Upper', 'a b', '-a', 'x'.repeat(33)]) await assert.rejects(start({ network }), { code: 'bad_network_name' })
    await assert.rejects(start({ listen: ['nonsense'] }), { code: 'bad_address' })
    await assert.rejects(start({ listen: ['/dns4/example.org/tcp/1'] }), { code: 'bad_address' })
    for (const port of [4101, 0])
      await assert.rejects(start({ listen: [`/ip4/203.0.113.7/tcp/${port}`] }), { code: 'address_not_available' })
    await assert.rejects(node.connect('nonsense'), { code: 'bad_address' })
    await assert.rejects(node.connect('/ip4/127.0.0.1/tcp/1'), { code: 'peer_unreachable' })
  })

  it('never mixes with a mesh of another name', async () => {
    const ours = await start()
    const theirs = await start({ network: 'others', bootstrap: [ours.addresses()[0]!] })
    await assert.rejects(theirs.connect(ours.addresses()[0]!), { code: 'other_network' })
    await assert.rejects(ours.connect(theirs.addresses()[0]!), { code: 'other_network' })
    await new Promise(resolve => setTimeout(resolve, 1000))
    assert.deepEqual([ours.peers(), theirs.peers()], [[], []])
  })

  it('refuse() drops the connections with a peer and takes none, from either side, until the peer is refused no more', async () => {
    const [ours, theirs] = [await start(), await start()]
    const [here, there] = [ours.addresses()[0]!, theirs.addresses()[0]!]
    await theirs.connect(here)
    ours.refuse([theirs.peer])
    await until(() => !ours.isConnected(theirs.peer) && !theirs.isConnected(ours.peer))
    const banned = { code: 'peer_unreachable', message: /this node has banned that peer/, hint: `shoal unban ${theirs.peer}` }
    await assert.rejects(ours.connect(there), banned)
    // The far side may see its connection for a moment before it is dropped.
    await theirs.connect(here).catch(() => {})
    await assert.rejects(theirs.ping(ours.peer))
    assert.equal(ours.isConnected(theirs.peer), false)
    ours.refuse([])
    await until(() => ours.isConnected(theirs.peer) || theirs.isConnected(ours.peer), 500).catch(() => ours.connect(there))
    await ours.ping(theirs.peer)
  })

  it('calls its bootstrap node until it is there, and again when it comes back', async () => {
    const there: Partial<NodeOptions> = {
      privateKey: await generateKeyPair('Ed25519'),
      listen: [await lastingAddress()],
      takenPorts: 'refused'
    }
    const first = await start(there)
    await stop(first)
    const node = await start({ bootstrap: [`${there.listen![0]}/p2p/${first.peer}`] })
    const second = await start(there)
    await until(() => node.isConnected(second.peer))
    assert.equal(node.peers()[0]!.foundBy, 'bootstrap')
    await stop(second)
    await until(() => !node.isConnected(second.peer))
    const third = await start(there)
    await until(() => node.isConnected(third.peer))
  })

  it('calls a bootstrap address that names no peer', async () => {
    const hub = await start()
    const node = await start({ bootstrap: [hub.addresses()[0]!.replace(/\/p2p\/.*/, '')] })
    await until(() => node.isConnected(hub.peer))
  })

  it("finds a run's members knowing only a bootstrap node", async () => {
    const hub = await start()
    const bootstrap = [hub.addresses()[0]!]
    const members = [await start({ bootstrap }), await start({ bootstrap })]
    for (const member of members) member.provide(RUN)
    await until(() => members.every(member => member.isConnected(hub.peer)))
    const newcomer = await start({ bootstrap })
    const found = new Set<string>()
    const looking = performance.now()
    while (found.size < 2 && performance.now() - looking < 10_000) {
      for await (const peer of newcomer.findProviders(RUN, { signal: AbortSignal.timeout(3000) })) found.add(peer)
    }
    assert.deepEqual(found, new Set(members.map(({ peer }) => peer)))
    for (const peer of found) assert.ok((await newcomer.ping(peer)) >= 0)
  })

  it('loses one dial timeout to a stale provider record', async () => {
    assert.equal(DIAL_TIMEOUT_MS, 5_000)
    const dialTimeoutMs = 800
    // All of them: what is announced stays silent from the start, so whoever looks for providers may lose a dial to it.
    const hub = await start({ dialTimeoutMs })
    const others = { bootstrap: [hub.addresses()[0]!], dialTimeoutMs }
    const dead = await start({ ...others, announce: [`/ip4/127.0.0.1/tcp/${await silentPort()}`] })
    const alive = await start(others)
    dead.provide(RUN)
    alive.provide(RUN)
    const witness = await start(others)
    // Or the only record might be its provider's own, which goes with it.
    witness.refuse([dead.peer])
    await until(() => witness.peers().length > 0)
    const provided = new Set<string>()
    await eventually(async () => {
      for await (const peer of witness.findProviders(RUN, { signal: AbortSignal.timeout(3000) })) provided.add(peer)
      return provided.size === 2
    })
    await stop(dead)

    const newcomer = await start(others)
    await until(() => newcomer.isConnected(hub.peer))
    const found = new Set<string>()
    await eventually(async () => {
      for await (const peer of newcomer.findProviders(RUN, { signal: AbortSignal.timeout(3000) })) found.add(peer)
      return found.size === 2
    })
    assert.ok(found.has(dead.peer), 'the record outlives its provider')
    const startedMs = performance.now()
    await assert.rejects(newcomer.ping(dead.peer))
    const tookMs = performance.now() - startedMs
    assert.ok(tookMs < DIAL_TIMEOUT_MS, `took ${tookMs} ms`)
    await newcomer.ping(alive.peer)
  })

  it('stops with many streams open, and warns of no leak', async () => {
    const [a, b] = [await start(), await start()]
    const warnings: string[] = []
    const onWarning = ({ name, message }: Error) => warnings.push(`${name}: ${message}`)
    process.on('warning', onWarning)
    try {
      await b.handle('/wait/1', async stream => void (await stream.read()))
      await a.connect(b.addresses()[0]!)
      await Promise.all(Array.from({ length: 24 }, () => a.openStream(b.peer, '/wait/1')))
      await stop(a)
      await stop(b)
      // Node tells of them a turn later.
      await new Promise(resolve => setTimeout(resolve, 50))
      assert.deepEqual(warnings, [])
    } finally {
      process.off('warning', onWarning)
    }
  })

  it('tells a newcomer at once what it listens to, though others leave its streams without an answer', async () => {
    const node = await start()
    const topic = '/shoal/nodes/presence/1'
    node.subscribe(topic, () => 'accept')
    // The first stream asks who it is.
    for (let n = 0; n < 2; n++) await meetStranger(node, { gossips: true, answersStreams: 1 })
    const newcomer = await meetStranger(node, { gossips: true })
    const startedMs = performance.now()
    await newcomer.hears(topic, node.peer)
    assert.ok(performance.now() - startedMs < 5_000, `it took ${Math.round(performance.now() - startedMs)} ms`)
  })

  it('drops a peer that never says what it is, and tells of it', async () => {
    const node = await start({ identifyTimeoutMs: 500 })
    const told: string[] = []
    node.onEvent(event => event.type === 'refused' && told.push(`${event.peer} ${event.code}`))
    const known = await meetStranger(node)
    const silent = await openStranger({ network: 'nodes', answersStreams: 0 })
    strangers.push(silent)
    const connection = await silent.dial(node.addresses()[0]!)
    await until(() => connection.status !== 'open' && told.length > 0)
    assert.deepEqual(told, [`${silent.peer} peer_stalled`])
    assert.ok(node.isConnected(known.peer))
  })

  it('ends a stream that it has answered, though the other side goes on to send', async () => {
    const node = await start()
    await node.handle('/shoal/nodes/ask/1', async stream => {
      await stream.write([(await stream.read())!])
      await stream.close()
    })
    const stranger = await meetStranger(node)
    const stream = await stranger.open(node.peer, 'ask/1')
    const frames = lpStream(stream)
    await frames.write(new Uint8Array(10))
    assert.equal((await frames.read()).byteLength, 10)
    const closed = once(stream, 'close')
    await frames.write(new Uint8Array(100_000))
    await closed
    assert.equal(stream.status, 'reset')
  })

  it('counts gossip to which nobody listens, and hands none of it on', async () => {
    const node = await start()
    const topic = '/shoal/nodes/nobody/1'
    const told: string[] = []
    node.onEvent(event => event.type === 'refused' && told.push(`${event.peer} ${event.code}`))
    const heard: string[] = []
    const listeners = [await meetStranger(node, { gossips: 'floodsub' }), await meetStranger(node, { gossips: true })]
    for (const { gossip } of listeners) {
      gossip.addEventListener('message', ({ detail }) => heard.push(detail.topic))
      gossip.subscribe(topic)
    }
    const talker = await meetStranger(node, { gossips: true })
    for (let n = 0; n <= 40; n++) await talker.tell(node.peer, topic, new Uint8Array(SOURCE_BYTES.burst / 32))
    await until(() => told.length > 0)
    assert.equal(told[0], `${talker.peer} rate_limited`)
    assert.deepEqual(heard, [])
  })

  it('hears from its neighbours what somebody sends beside nonsense of the same number, and blames them for nothing', async () => {
    const [a, b] = [await start(), await start()]
    await a.connect(b.addresses()[0]!)
    const topic = '/shoal/nodes/presence/1'
    const [heard, refused] = [new Set<number>(), new Set<string>()]
    a.onEvent(event => event.type === 'refused' && refused.add(event.peer))
    const receive = (bytes: Uint8Array) => {
      if (bytes[0] === NONSENSE) throw new ProtocolError('bad_message', 'nonsense')
      return 'accept' as const
    }
    b.subscribe(topic, receive)
    a.subscribe(topic, bytes => {
      const verdict = receive(bytes)
      heard.add(bytes[0]!)
      return verdict
    })
    const isHeard = async (byte: number) => {
      await b.publish(topic, Uint8Array.of(byte))
      return heard.has(byte)
    }
    await eventually(() => isHeard(PAIRS))
    const liar = await meetStranger(a, { gossips: true })
    await liar.dial(b.addresses()[0]!)
    const numbered = (byte: (n: number) => number) =>
      Array.from({ length: PAIRS }, (_, n) => ({
        ...{ topic, author: liar.privateKey, seqno: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, n) },
        data: Uint8Array.of(byte(n))
      }))
    await liar.hand(
      a.peer,
      numbered(() => NONSENSE)
    )
    await until(() => refused.has(liar.peer))
    await liar.hand(
      b.peer,
      numbered(n => n)
    )
    await until(() => heard.size > PAIRS)
    await eventually(() => isHeard(PAIRS + 1))
    assert.deepEqual([...refused], [liar.peer])
  })

  it('does not look at gossip of keys that are dear to check, and has no connection with them', async () => {
    const node = await start()
    const topic = '/shoal/nodes/presence/1'
    const heard: string[] = []
    node.subscribe(topic, (_, author) => {
      heard.push(author)
      return 'accept'
    })
    const told: string[] = []
    node.onEvent(event => event.type === 'refused' && told.push(`${event.peer} ${event.code}`))
    const talker = await meetStranger(node, { gossips: true })
    const others = [await generateKeyPair('secp256k1'), await generateKeyPair('RSA')]
    const said = { topic, data: Uint8Array.of(1), seqno: new Uint8Array(8) }
    await talker.hand(
      node.peer,
      [...others, talker.privateKey].map(author => ({ ...said, author }))
    )
    await until(() => heard.length > 0)
    assert.deepEqual([heard, told], [[talker.peer], Array(2).fill(`${talker.peer} bad_message`)])
    const other = await openStranger({ network: 'nodes', privateKey: others[0]! })
    strangers.push(other)
    const connection = await other.dial(node.addresses()[0]!).catch(() => null)
    await until(() => connection?.status !== 'open')
    assert.ok(!node.isConnected(other.peer))
  })

  it('drops a peer that leaves unread what it is told by gossip, and tells of it', async () => {
    const node = await start()
    const topic = '/shoal/nodes/presence/1'
    node.subscribe(topic, () => 'accept')
    const told: string[] = []
    node.onEvent(event => event.type === 'refused' && told.push(`${event.peer} ${event.code}`))
    const deaf = await meetStranger(node, { gossips: true })
    await deaf.hears(topic, node.peer)
    await eventually(async () => {
      await node.publish(topic, new Uint8Array(1))
      return node.traffic().sent > 0
    })
    await deaf.ignores(node.peer)
    const bytesMost = 2 * GOSSIP_UNSENT_BYTES
    for (let bytes = 0; node.isConnected(deaf.peer) && bytes < bytesMost; bytes += MAX_GOSSIP_BYTES)
      await node.publish(topic, new Uint8Array(MAX_GOSSIP_BYTES))
    assert.deepEqual(told, [`${deaf.peer} peer_stalled`])
    await until(() => !node.isConnected(deaf.peer))
  })

  it('drops a peer that makes it answer and does not read, and tells of it', async () => {
    const node = await start()
    const told: string[] = []
    node.onEvent(event => event.type === 'refused' && told.push(`${event.peer} ${event.code}`))
    await node.handle('/shoal/nodes/flood/1', async stream => {
      await stream.read()
      for (;;) await stream.write([new Uint8Array(1024 * 1024)])
    })
    const stranger = await openStranger({ network: 'nodes' })
    strangers.push(stranger)
    const connection = await stranger.dial(node.addresses()[0]!)
    await until(() => node.isConnected(stranger.peer))
    const streams = await Promise.all(Array.from({ length: 8 }, () => connection.newStream('/shoal/nodes/flood/1')))
    const { maConn, muxer } = connection as unknown as { maConn: Stream; muxer: { sendPing(id: number): void } }
    maConn.pause()
    // First all that the two sockets hold, then an answer of thirty bytes to each ping.
    for (const stream of streams) stream.send(Uint8Array.from([1, 0]))
    const isTold = () => told.includes(`${stranger.peer} peer_stalled`)
    for (let id = 1; id < 1_000_000 && connection.status === 'open' && !isTold(); id++) {
      muxer.sendPing(id)
      if (id % 1_000 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    await until(isTold)
  })

  it('reads one stream of gossip of a peer, its newest', async () => {
    const node = await start()
    const stranger = await openStranger({ network: 'nodes' })
    strangers.push(stranger)
    const connection = await stranger.dial(node.addresses()[0]!)
    await until(() => node.isConnected(stranger.peer))
    const streams: Stream[] = []
    for (const version of ['1.0.0', '1.1.0', '1.2.0', '1.0.0', '1.1.0', '1.2.0', '1.0.0']) {
      const stream = await connection.newStream(`/meshsub/${version}`)
      streams.push(stream)
      // The beginning of a message of half a mebibyte.
      stream.send(Uint8Array.from([0x80, 0x80, 0x20, 1, 2, 3]))
    }
    await until(() => streams.filter(({ status }) => status === 'open').length === 1)
    assert.equal(streams.at(-1)!.status, 'open')
    assert.ok(node.isConnected(stranger.peer))
  })

  it('drops a peer that announces a longer message of gossip than there may be, and tells of it', async () => {
    const node = await start()
    const told: string[] = []
    node.onEvent(event => event.type === 'refused' && told.push(`${event.peer} ${event.code}`))
    const stranger = await openStranger({ network: 'nodes' })
    strangers.push(stranger)
    const connection = await stranger.dial(node.addresses()[0]!)
    await until(() => node.isConnected(stranger.peer))
    const stream = await connection.newStream('/meshsub/1.2.0')
    stream.send(Uint8Array.from([0x80, 0x80, 0x80, 0x01]))
    await until(() => connection.status !== 'open' && !node.isConnected(stranger.peer))
    assert.deepEqual(told, [`${stranger.peer} message_too_large`])
  })

  it('hears, and is heard, again by gossip when a connection was lost and is there again, however often', async () => {
    const topic = '/shoal/nodes/presence/1'
    const [a, b] = [await start(), await start()]
    const heard = [a, b].map(node => {
      const from = new Set<number>()
      node.subscribe(topic, ([n]) => {
        from.add(n!)
        return 'accept'
      })
      return from
    })
    let connections = 0
    b.onEvent(({ type }) => type === 'connected' && connections++)
    await b.connect(a.addresses()[0]!)
    for (let n = 1; n <= 3; n++) {
      await until(() => connections === n && a.isConnected(b.peer))
      await eventually(async () => {
        for (const node of [a, b]) await node.publish(topic, Uint8Array.of(n))
        return heard.every(from => from.has(n))
      })
      a.disconnect(b.peer)
    }
  })

  it('calls again whose work a run has taken, and nobody else who only called it', async () => {
    const accepted = new Set<string>()
    /** A node that was called by one who listens at a port where each call is counted, and has gone. */
    const left = async (isAccepted: boolean) => {
      const node = await start({ isAccepted: peer => accepted.has(peer) })
      let calls = 0
      const server = createServer(socket => {
        calls += 1
        socket.destroy()
      })
      servers.push(server)
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const stranger = await meetStranger(node, { announce: [`/ip4/127.0.0.1/tcp/${port}`] })
      if (isAccepted) accepted.add(stranger.peer)
      strangers = strangers.filter(other => other !== stranger)
      await stranger.stop()
      await until(() => !node.isConnected(stranger.peer))
      return () => calls
    }
    const [ofAnybody, ofAccepted] = [await left(false), await left(true)]
    // The one that was lost first would be called as often by then; the DHT may have a question for it, once.
    await until(() => ofAccepted() >= 4)
    assert.ok(ofAnybody() <= 1, `${ofAnybody()} calls`)
  })

  it('says of a peer that takes its call and does not say what it is that it cannot be reached', async () => {
    const node = await start({ dialTimeoutMs: 2_000, identifyTimeoutMs: 3_000 })
    const silent = await openStranger({ network: 'nodes', answersStreams: 0 })
    strangers.push(silent)
    await assert.rejects(node.connect(silent.address), { code: 'peer_unreachable', message: /did not say what it is/ })
  })

  it('takes another free port where the wished one is taken between the look and the start, or gives up', async () => {
    const other = createServer()
    servers.push(other)
    const port = await silentPort()
    servers.pop()!.close()
    const listen = [`/ip4/127.0.0.1/tcp/${port}`]
    const stolen = async (takenPorts: 'swapped' | 'refused') => ({
      ...{ network: 'nodes', profile: 'test' as const, listen, takenPorts, privateKey: await generateKeyPair('Ed25519') },
      // Read after the look at the ports.
      get agent() {
        if (!other.listening) other.listen(port, '127.0.0.1')
        return 'shoal'
      }
    })
    const node = await createNode(await stolen('swapped'))
    nodes.push(node)
    assert.equal(node.addresses().length, 1)
    assert.ok(!node.addresses()[0]!.startsWith(`${listen[0]}/`))
    other.close()
    await once(other, 'close')
    await assert.rejects(createNode(await stolen('refused')), { code: 'port_taken' })
  })

  it('listens once on an address that is named twice, and not at all where ports are not to be swapped', async () => {
    const port = await silentPort()
    servers.pop()!.close()
    const listen = new Array(2).fill(`/ip4/127.0.0.1/tcp/${port}`)
    await assert.rejects(start({ listen, takenPorts: 'refused' }), { code: 'port_taken' })
    const node = await start({ listen })
    assert.equal(node.addresses().filter(address => address.includes(`/tcp/${port}/`)).length, 1)
  })

  it('tells nobody the name of its machine', async () => {
    const node = await start()
    const stranger = await meetStranger(node)
    const frames = lpStream(await stranger.open(node.peer, 'who/1'))
    await frames.write(encodeQuestion([]))
    const { host, addresses } = decodeAnswer((await frames.read()).subarray())
    assert.match(host, /^machine [0-9a-f]{4}$/)
    assert.ok(addresses.length > 0)
  })

  it('keeps a few addresses of a peer that names thousands, however often', async () => {
    const node = await start()
    const stranger = await meetStranger(node)
    const key = parseCid(RUN).multihash.bytes
    for (let page = 0; page < 5; page++) {
      const addresses = Array.from({ length: 500 }, (_, n) => `/ip4/10.1.${page}.${n % 250}/tcp/${n + 1}`)
      await saidAll(stranger, node, addProvider(key, stranger.peer, addresses))
    }
    const counts = await providersOf(key, stranger, node)
    assert.equal(counts.length, 1)
    assert.ok(counts[0]! <= MAX_ADDRESSES, `${counts[0]} addresses`)
  })

  it('writes down the newest of what one peer announces, and no more than a node has', async () => {
    const node = await start()
    const stranger = await meetStranger(node)
    const keyOf = (n: number) => parseCid(cidOf(new Uint8Array([n]), DAG_CBOR)).multihash.bytes
    for (let n = 0; n <= 64; n++) await saidAll(stranger, node, addProvider(keyOf(n), stranger.peer, ['/ip4/10.1.2.3/tcp/4']))
    assert.equal((await providersOf(keyOf(0), stranger, node)).length, 0)
    assert.equal((await providersOf(keyOf(1), stranger, node)).length, 1)
  })

  it('reads no question to the DHT that is longer than one is', async () => {
    const node = await start()
    const stranger = await meetStranger(node)
    const key = parseCid(RUN).multihash.bytes
    const long = addProvider(key, stranger.peer, new Array(2_000).fill('/ip4/10.1.2.3/tcp/4'))
    const stream = await stranger.open(node.peer, 'kad/1.0.0')
    const closed = once(stream, 'close')
    await lpStream(stream).write(long)
    await closed
    assert.equal(stream.status, 'reset')
    const found: string[] = []
    for await (const peer of node.findProviders(RUN, { signal: AbortSignal.timeout(500) })) found.push(peer)
    assert.deepEqual(found, [])
  })

  it('says where a stream comes from, also one of a peer that it takes for none of its own', async () => {
    const node = await start()
    const asked = Promise.withResolvers<[peer: string, address: string]>()
    await node.handle('/shoal/other/ask/1', async (_stream, ...from) => asked.resolve(from))
    const stranger = await openStranger({ network: 'other' })
    try {
      const connection = await stranger.dial(node.addresses()[0]!)
      await connection.newStream('/shoal/other/ask/1')
      const [peer, address] = await asked.promise
      assert.equal(peer, stranger.peer)
      assert.match(address, /^\/ip4\/127\.0\.0\.1\/tcp\/\d+/)
      assert.equal(node.isConnected(peer), false)
    } finally {
      await stranger.stop()
    }
  })

  it('counts what it sends and receives', async () => {
    const [a, b] = [await start(), await start()]
    await b.handle('/echo/1', async stream => {
      for (let frame = await stream.read(); frame !== null; frame = await stream.read()) await stream.write([frame])
      await stream.close()
    })
    await a.connect(b.addresses()[0]!)
    const stream = await a.openStream(b.peer, '/echo/1')
    await stream.write([new Uint8Array(1000), new Uint8Array(0), new Uint8Array(1024 * 1024)])
    await stream.close()
    const lengths: number[] = []
    for (let frame = await stream.read(); frame !== null; frame = await stream.read()) lengths.push(frame.length)
    assert.deepEqual(lengths, [1000, 0, 1024 * 1024])
    assert.deepEqual(a.traffic(), { sent: 1000 + 1024 * 1024, received: 1000 + 1024 * 1024 })
    await assert.rejects(a.openStream(b.peer, '/unknown/1'))
  })
})

async function eventually(attempt: () => Promise<boolean>, limitMs = 60_000): Promise<void> {
  const endMs = performance.now() + limitMs
  while (!(await attempt())) {
    if (performance.now() > endMs) throw new Error(`not so within ${limitMs} ms`)
    await new Promise(resolve => setTimeout(resolve, 200))
  }
}
