// Which peers a home keeps, and that they are there after a crash.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import {
  dialableAddresses,
  KNOWN_ADDRESSES_MAX,
  KNOWN_PEERS_MAX,
  type KnownPeer,
  KnownPeers,
  keepBest,
  NEWEST_PEERS_MAX,
  ORIGIN_PEERS_MAX
} from '../../../daemon/known-peers.ts'
import { createNode, type PeerInfo, type ShoalNode } from '../../../daemon/node.ts'
import { openStore, type Store } from '../../../storage/index.ts'
import { until } from '../../mesh/until.ts'

const PEER = '12D3KooWGRUVh7cgUpGfHGbrJFeJ6h6zqqu8kxp5yhNqDXnPGEPg'
const OTHER = '12D3KooWQYzDJBaUk5Y6c2iEEQL2tYb7ZKzvUcqmqrkVXNVMLYFV'

const DAY_MS = 24 * 60 * 60_000
/** Strangers, each of an origin of its own. */
const rows = (count: number, name: string, facts: Partial<KnownPeer> = {}): Map<string, KnownPeer> =>
  new Map(
    Array.from({ length: count }, (_, i): [string, KnownPeer] => [
      `${name}${i}`,
      {
        ...{ network: 'shoal', addresses: [`/ip4/10.0.0.${i}/tcp/1`], origin: `${name}${i}`, accepted: false, sought: false },
        ...{ firstSeenMs: 100 * DAY_MS, lastSeenMs: 100 * DAY_MS, ...facts }
      }
    ])
  )
const countOf = (kept: Map<string, KnownPeer>, name: string): number => [...kept.keys()].filter(peer => peer.startsWith(name)).length

describe('keepBest()', () => {
  it('takes those who are here over what was known of them, but for what they once were to this node', () => {
    const known = rows(2, 'p', { accepted: true, sought: true, firstSeenMs: 1 })
    const here = rows(1, 'p', { addresses: ['/ip4/10.9.9.9/tcp/9'], lastSeenMs: 101 * DAY_MS })
    const kept = keepBest(known, here)
    assert.deepEqual(kept.get('p0'), { ...here.get('p0'), accepted: true, sought: true, firstSeenMs: 1 })
    assert.deepEqual(kept.get('p1'), known.get('p1'))
  })

  it('gives no place for ever to those whom it saw while its clock was far ahead', () => {
    const known = rows(KNOWN_PEERS_MAX, 'ahead', { accepted: true, firstSeenMs: 9_000 * DAY_MS, lastSeenMs: 9_000 * DAY_MS })
    const kept = keepBest(known, rows(40, 'now', { accepted: true }), 100 * DAY_MS)
    assert.equal(countOf(kept, 'now'), 40)
    const back = rows(1, 'ahead', { firstSeenMs: 100 * DAY_MS })
    assert.equal(keepBest(known, back, 100 * DAY_MS).get('ahead0')?.firstSeenMs, 100 * DAY_MS, 'nor was any of them seen for longest')
  })

  it('gives a crowd that is only connected no places but those of the newest', () => {
    const seenMs = 100 * DAY_MS
    const known = new Map([
      ...rows(8, 'taken', { accepted: true, lastSeenMs: seenMs - 2 * DAY_MS }),
      ...rows(8, 'sought', { sought: true, lastSeenMs: seenMs - 2 * DAY_MS }),
      ...rows(48, 'before', { firstSeenMs: seenMs - DAY_MS, lastSeenMs: seenMs })
    ])
    // Ids are ground for at will: these come first in any order of texts.
    const kept = keepBest(known, rows(200, '!crowd', { firstSeenMs: seenMs, lastSeenMs: seenMs + 60_000 }))
    assert.equal(kept.size, KNOWN_PEERS_MAX)
    assert.deepEqual(
      ['taken', 'sought', 'before', '!crowd'].map(name => countOf(kept, name)),
      [8, 8, 48 - NEWEST_PEERS_MAX, NEWEST_PEERS_MAX]
    )
  })

  it('gives one origin few places while others want them', () => {
    const crowd = rows(200, 'crowd', { origin: '10.0.0.1', accepted: true })
    const kept = keepBest(crowd, rows(100, 'other'))
    assert.deepEqual([countOf(kept, 'crowd'), kept.size], [ORIGIN_PEERS_MAX, KNOWN_PEERS_MAX])
    assert.equal(keepBest(crowd, new Map()).size, KNOWN_PEERS_MAX)
  })

  it('keeps those who came last beside any number of members that are gone', () => {
    const gone = rows(KNOWN_PEERS_MAX, 'gone', { accepted: true, firstSeenMs: 1, lastSeenMs: 50 * DAY_MS })
    assert.equal(countOf(keepBest(gone, rows(NEWEST_PEERS_MAX, 'new')), 'new'), NEWEST_PEERS_MAX)
    const members = rows(KNOWN_PEERS_MAX, 'new', { accepted: true })
    assert.equal(countOf(keepBest(gone, members), 'new'), KNOWN_PEERS_MAX)
  })
})

describe('dialableAddresses()', () => {
  const info = (facts: Partial<PeerInfo>): PeerInfo => ({
    ...{ peer: PEER, addresses: [], listening: [], direction: 'inbound', rttMs: null, connectedAtMs: 0, foundBy: 'inbound', agent: null },
    ...facts
  })

  it('leaves out the far end of a connection that the peer opened', () => {
    const addresses = ['/ip4/192.168.1.7/tcp/51234']
    const listening = ['/ip4/127.0.0.1/tcp/4101', '/ip4/192.168.1.7/tcp/4101']
    assert.deepEqual(dialableAddresses(info({ addresses, listening })), [
      `/ip4/192.168.1.7/tcp/4101/p2p/${PEER}`,
      `/ip4/127.0.0.1/tcp/4101/p2p/${PEER}`
    ])
    assert.equal(dialableAddresses(info({ addresses, listening, direction: 'outbound' }))[0], `/ip4/192.168.1.7/tcp/51234/p2p/${PEER}`)
  })

  it('takes no address that names another peer, cannot be read, or is one too many', () => {
    const wrong = [`/ip4/10.0.0.1/tcp/1/p2p/${OTHER}`, '/ip4/999.0.0.1/tcp/1', '/unix/tmp/x', `/dns4/${'x'.repeat(400)}/tcp/1`]
    assert.deepEqual(dialableAddresses(info({ listening: wrong })), [])
    const many = Array.from({ length: 20 }, (_, i) => `/ip4/10.0.0.${i}/tcp/1`)
    assert.equal(dialableAddresses(info({ listening: [...many, ...many] })).length, KNOWN_ADDRESSES_MAX)
  })
})

describe('KnownPeers', () => {
  let home: string
  let store: Store
  let nodes: ShoalNode[]
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'shoal-known-peers-'))
    store = await openStore(home)
    nodes = []
  })
  afterEach(async () => {
    await Promise.all(nodes.map(node => node.stop()))
    await store.close()
    await rm(home, { recursive: true })
  })

  const start = async (): Promise<ShoalNode> => {
    const privateKey = await generateKeyPair('Ed25519')
    nodes.push(await createNode({ network: 'known', listen: ['/ip4/127.0.0.1/tcp/0'], profile: 'test', privateKey }))
    return nodes.at(-1)!
  }

  it('writes a new peer down soon, so that a crash does not lose it, and gives it to its own network only', async () => {
    const [ours, theirs] = [await start(), await start()]
    const known = await KnownPeers.open(store, { network: 'known', isAccepted: peer => peer === theirs.peer })
    assert.deepEqual(known.remembered(), [])
    known.watch(ours)
    await theirs.connect(ours.addresses()[0]!)
    const written = async () => (await KnownPeers.open(store, { network: 'known' })).remembered()
    for (const limit = performance.now() + 10_000; (await written()).length === 0; ) {
      assert.ok(performance.now() < limit, 'nothing was written')
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    assert.deepEqual(await written(), [{ peer: theirs.peer, addresses: theirs.addresses() }])
    const { origin, accepted, sought } = (await store.records.table<KnownPeer>('peers').get(theirs.peer))!
    assert.deepEqual({ origin, accepted, sought }, { origin: '127.0.0.1', accepted: true, sought: false })
    assert.deepEqual((await KnownPeers.open(store, { network: 'other' })).remembered(), [])
    await known.stop()
  })

  it('reads what an older daemon wrote', async () => {
    const addresses = [`/ip4/10.0.0.1/tcp/1/p2p/${PEER}`]
    await store.records.table('peers').put(PEER, { network: 'known', addresses, lastSeenMs: 1 })
    assert.deepEqual((await KnownPeers.open(store, { network: 'known' })).remembered(), [{ peer: PEER, addresses }])
  })

  it('keeps a peer that left before it was written down', async () => {
    const [ours, theirs] = [await start(), await start()]
    const known = await KnownPeers.open(store, { network: 'known' })
    const gone = new Promise<void>(resolve => ours.onEvent(event => event.type === 'disconnected' && resolve()))
    known.watch(ours)
    await theirs.connect(ours.addresses()[0]!)
    await until(() => ours.isConnected(theirs.peer))
    theirs.disconnect(ours.peer)
    await gone
    await known.stop()
    assert.deepEqual(
      (await KnownPeers.open(store, { network: 'known' })).remembered().map(({ peer }) => peer),
      [theirs.peer]
    )
  })
})
