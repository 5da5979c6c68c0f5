// Fetches with more holders than there are places, over an in-memory network.
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { MAX_HOLDERS } from '../../../../protocols/blocks/constants.ts'
import { BlockExchange, blocksProtocol, type HolderFailure } from '../../../../protocols/blocks/index.ts'
import { AnswerEncoder, decodeRequest } from '../../../../protocols/blocks/messages.ts'
import { MemoryStore, madeBlocks } from '../../../contracts/block-exchange.ts'
import { MemoryNetwork } from '../../../contracts/memory-network.ts'

const NETWORK = 'crowd'
const PROTOCOL = blocksProtocol(NETWORK)

describe('a fetch from a crowd', () => {
  let network: MemoryNetwork
  let count: number
  let exchanges: BlockExchange[]

  beforeEach(() => {
    network = new MemoryNetwork()
    count = 0
    exchanges = []
  })
  afterEach(async () => {
    await Promise.all(exchanges.map(exchange => exchange.stop()))
  })

  async function member(blocks: Map<string, Uint8Array> = new Map(), onHolderFailure: (failure: HolderFailure) => void = () => {}) {
    const node = network.node(`peer-${++count}`)
    const store = new MemoryStore()
    for (const [cid, bytes] of blocks) store.blocks.set(cid, bytes)
    const exchange = new BlockExchange({ node, store }, { network: NETWORK, onHolderFailure })
    await exchange.start()
    exchanges.push(exchange)
    return { store, exchange, peer: node.peer }
  }

  /** A node that answers with what it has, a little at a time; without blocks, with a megabyte that never comes to its end. */
  async function trickling(pace: { frameBytes: number; everyMs: number; blocks?: Map<string, Uint8Array> }) {
    const node = network.node(`peer-${++count}`)
    await node.handle(PROTOCOL, async stream => {
      for (let frame = await stream.read(); frame !== null; frame = await stream.read()) {
        const request = decodeRequest(frame)
        for (const cid of request.kind === 'want' ? request.cids : []) {
          const encoder = new AnswerEncoder()
          const answer = Buffer.concat([...encoder.add(pace.blocks?.get(cid) ?? new Uint8Array(1024 * 1024)), ...encoder.flush()])
          for (let at = 0; at < answer.length; at += pace.frameBytes) {
            await delay(pace.everyMs, undefined, { ref: false })
            await stream.write([answer.subarray(at, at + pace.frameBytes)])
          }
        }
      }
    })
    return node
  }

  it('gets to the honest holder past eight that hold their places with a byte now and then', async () => {
    const blocks = madeBlocks([1000, 2000, 3000])
    const slow = await Promise.all(Array.from({ length: 8 }, () => trickling({ frameBytes: 1, everyMs: 300 })))
    const honest = await member(blocks)
    const asker = await member()
    const startedMs = performance.now()
    const from = () => [...slow.map(({ peer }) => peer), honest.peer]
    assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], from), { missing: [] })
    const firstMs = performance.now() - startedMs
    // A busy machine takes longer than the seconds in which the slow are found out; a holder that is not left would keep its place for hours.
    assert.ok(firstMs < 30_000, `took ${firstMs} ms`)
    const next = madeBlocks([4000], 2)
    for (const [cid, bytes] of next) honest.store.blocks.set(cid, bytes)
    const againMs = performance.now()
    assert.deepEqual(await asker.exchange.fetch([...next.keys()], from), { missing: [] })
    assert.ok(performance.now() - againMs < firstMs, `took ${performance.now() - againMs} ms although it is known who is slow`)
  })

  it('tells of a holder that is silent for as long as a fetch lasts, and asks the honest one meanwhile', async () => {
    const blocks = madeBlocks([1000])
    const silent = await trickling({ frameBytes: 1, everyMs: 60_000 })
    const failures: HolderFailure[] = []
    const asker = await member(new Map(), failure => failures.push(failure))
    const { missing } = await asker.exchange.fetch([...blocks.keys()], () => [silent.peer], { timeoutMs: 2_400 })
    assert.deepEqual(missing, [...blocks.keys()])
    assert.deepEqual(
      failures.map(({ peer, code }) => ({ peer, code })),
      [{ peer: silent.peer, code: 'peer_stalled' }]
    )
    const honest = await member(blocks)
    const from = () => [silent.peer, honest.peer]
    assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], from, { timeoutMs: 2_400 }), { missing: [] })
  })

  it('blames nobody where a fetch had hardly any time', async () => {
    const blocks = madeBlocks([1000])
    const slow = await trickling({ frameBytes: 1, everyMs: 60_000 })
    const failures: HolderFailure[] = []
    const asker = await member(new Map(), failure => failures.push(failure))
    await asker.exchange.fetch([...blocks.keys()], () => [slow.peer], { timeoutMs: 300 })
    assert.deepEqual(failures, [])
  })

  it('wakes one of those that wait for a stream, not all', async () => {
    const peers = [await member(), await member()].map(({ peer }) => peer)
    const asker = await member()
    let looks = 0
    const from = () => {
      looks += 1
      return peers
    }
    const cids = [...madeBlocks(Array.from({ length: 400 }, () => 10)).keys()]
    await Promise.all(cids.map(cid => asker.exchange.fetch([cid], from, { timeoutMs: 8_000 })))
    assert.ok(looks < 20 * cids.length, `${looks} looks for ${cids.length} fetches`)
  })

  it('asks who said that it has a block before others, however good they were', async () => {
    const asker = await member()
    const asked = new Set<string>()
    const others: string[] = []
    for (let n = 0; n < 16; n++) {
      const blocks = madeBlocks([100], 10 + n)
      const other = await member(blocks)
      assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], () => [other.peer]), { missing: [] })
      const get = other.store.get.bind(other.store)
      other.store.get = async cid => {
        asked.add(other.peer)
        return get(cid)
      }
      others.push(other.peer)
    }
    const fresh = madeBlocks([100], 99)
    const author = await member(fresh)
    const from = () => [...others, author.peer]
    assert.deepEqual(await asker.exchange.fetch([...fresh.keys()], from, { holders: [author.peer] }), { missing: [] })
    assert.ok(asked.size < MAX_HOLDERS, `${asked.size} others were asked, too`)
  })

  it('looks at whom to ask once for all that a frame says is absent', async () => {
    const peers = await Promise.all(Array.from({ length: 20 }, () => member()))
    const asker = await member()
    let looks = 0
    const from = () => {
      looks += 1
      return peers.map(({ peer }) => peer)
    }
    const cids = [...madeBlocks(Array.from({ length: 80 }, () => 10)).keys()]
    assert.equal((await asker.exchange.fetch(cids, from)).missing.length, 80)
    assert.ok(looks < (cids.length * peers.length) / 2, `${looks} looks`)
  })

  it('gets on where all of more holders than there are places are slow', async () => {
    const blocks = madeBlocks(Array.from({ length: 12 }, () => 60_000))
    const slow = await Promise.all(Array.from({ length: 10 }, () => trickling({ frameBytes: 15_000, everyMs: 400, blocks })))
    const asker = await member()
    const limit = { timeoutMs: 12_000 }
    assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], () => slow.map(({ peer }) => peer), limit), { missing: [] })
  }).timeout(20_000)
})
