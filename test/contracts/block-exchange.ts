// What a block exchange must do, whatever carries its streams. Run over an in-memory network and over real nodes.
import assert from 'node:assert/strict'
import type { HolderFailure } from '../../protocols/blocks/fetch.ts'
import { BlockExchange, type BlockExchangeOptions, MAX_STREAMS_PER_PEER } from '../../protocols/blocks/index.ts'
import { serveBlocks } from '../../protocols/blocks/serving.ts'
import { cidOf, RAW } from '../../protocols/cids.ts'
import type { FrameNode } from '../../protocols/frame-stream.ts'
import { checkHash } from '../../storage/index.ts'

export interface ExchangeNetwork {
  /** A connected node of its own. */
  node(): Promise<FrameNode & { peer: string }>
  /** Ends everything. */
  close(): Promise<void>
}

const NETWORK = 'contract'
const PROTOCOL = `/shoal/${NETWORK}/blocks/1`

/** A store in memory. */
export class MemoryStore {
  readonly blocks = new Map<string, Uint8Array>()
  puts = 0
  async has(cid: string) {
    return this.blocks.has(cid)
  }
  async get(cid: string) {
    return this.blocks.get(cid)
  }
  async put(cid: string, bytes: Uint8Array) {
    checkHash(cid, bytes)
    this.puts += 1
    this.blocks.set(cid, bytes)
  }
}

/** Blocks of the given sizes with bytes that differ. */
export function madeBlocks(sizes: number[], seed = 1): Map<string, Uint8Array> {
  const blocks = new Map<string, Uint8Array>()
  sizes.forEach((size, index) => {
    const bytes = Buffer.alloc(size, `${seed}-${index};`)
    blocks.set(cidOf(bytes, RAW), bytes)
  })
  return blocks
}

export function describeBlockExchange(name: string, connect: () => Promise<ExchangeNetwork>): void {
  describe(`block exchange over ${name}`, () => {
    let network: ExchangeNetwork
    let exchanges: BlockExchange[]

    beforeEach(async () => {
      network = await connect()
      exchanges = []
    })
    afterEach(async () => {
      await Promise.all(exchanges.map(exchange => exchange.stop()))
      await network.close()
    })

    async function member(blocks: Map<string, Uint8Array> = new Map(), options: Partial<BlockExchangeOptions> = {}) {
      const node = await network.node()
      const store = new MemoryStore()
      for (const [cid, bytes] of blocks) store.blocks.set(cid, bytes)
      const failures: HolderFailure[] = []
      const exchange = new BlockExchange(
        { node, store },
        { network: NETWORK, onHolderFailure: failure => failures.push(failure), ...options }
      )
      await exchange.start()
      exchanges.push(exchange)
      return { node, store, exchange, failures, peer: node.peer }
    }

    it('fetches blocks of all sizes, checked, and counts their bytes', async () => {
      const blocks = madeBlocks([0, 1, 100, 256 * 1024, 256 * 1024 + 1, 1024 * 1024, 1024 * 1024, 700_000])
      const total = [...blocks.values()].reduce((sum, bytes) => sum + bytes.length, 0)
      const holder = await member(blocks)
      const asker = await member()
      const progress: number[] = []
      const { missing } = await asker.exchange.fetch([...blocks.keys()], () => [holder.peer], { onProgress: p => progress.push(p.blocks) })
      assert.deepEqual(missing, [])
      for (const [cid, bytes] of blocks) assert.ok(Buffer.from(bytes).equals(asker.store.blocks.get(cid)!))
      assert.equal(asker.exchange.traffic.received, total)
      assert.equal(holder.exchange.traffic.sent, total)
      assert.deepEqual(progress, [1, 2, 3, 4, 5, 6, 7, 8])
    })

    it('fetches more than a window from one holder', async () => {
      const blocks = madeBlocks(Array.from({ length: 12 }, () => 1024 * 1024))
      const holder = await member(blocks)
      const asker = await member()
      assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], () => [holder.peer]), { missing: [] })
    })

    it('fetches thousands of tiny blocks', async () => {
      const blocks = madeBlocks(Array.from({ length: 3000 }, (_, index) => 20 + (index % 7)))
      const holder = await member(blocks)
      const asker = await member()
      assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], () => [holder.peer]), { missing: [] })
      assert.equal(asker.store.blocks.size, blocks.size)
    })

    it('draws on several holders at once', async () => {
      const blocks = madeBlocks(Array.from({ length: 24 }, () => 200_000))
      const holders = [await member(blocks), await member(blocks), await member(blocks)]
      const asker = await member()
      await asker.exchange.fetch([...blocks.keys()], () => holders.map(holder => holder.peer))
      for (const holder of holders)
        assert.ok(holder.exchange.traffic.sent >= 200_000, `one holder sent ${holder.exchange.traffic.sent} bytes`)
    })

    it('puts a body together from holders of parts', async () => {
      const blocks = [...madeBlocks(Array.from({ length: 10 }, () => 5000))]
      const first = await member(new Map(blocks.slice(0, 6)))
      const second = await member(new Map(blocks.slice(4)))
      const asker = await member()
      assert.deepEqual(
        await asker.exchange.fetch(
          blocks.map(([cid]) => cid),
          () => [first.peer, second.peer]
        ),
        { missing: [] }
      )
    })

    it('says at once what nobody has', async () => {
      const blocks = madeBlocks([10, 20])
      const unknown = [...madeBlocks([30], 2).keys()][0]!
      const holder = await member(blocks)
      const asker = await member()
      assert.deepEqual(await asker.exchange.fetch([...blocks.keys(), unknown], () => [holder.peer]), { missing: [unknown] })
      assert.deepEqual(await asker.exchange.fetch([unknown], () => []), { missing: [unknown] })
    })

    it('refuses wrong bytes, names the liar and asks another', async () => {
      const blocks = madeBlocks([1000, 2000, 3000])
      const lies = new Map([...blocks].map(([cid, bytes]) => [cid, Buffer.from(bytes).fill(0)]))
      const liar = await member(lies)
      const honest = await member(blocks)
      const asker = await member()
      assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], () => [liar.peer, honest.peer]), { missing: [] })
      assert.deepEqual(
        asker.failures.map(({ peer, code }) => [peer, code]),
        [[liar.peer, 'wrong_bytes']]
      )
      assert.ok(blocks.has(asker.failures[0]!.cid!))
      for (const [cid, bytes] of blocks) assert.ok(Buffer.from(bytes).equals(asker.store.blocks.get(cid)!))
    })

    it('never stores wrong bytes when only a liar answers', async () => {
      const blocks = madeBlocks([1000])
      const liar = await member(new Map([...blocks].map(([cid, bytes]) => [cid, Buffer.from(bytes).fill(0)])))
      const asker = await member()
      assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], () => [liar.peer]), { missing: [...blocks.keys()] })
      assert.equal(asker.store.puts, 0)
    })

    it('gives a stalled holder one timeout and its blocks to others', async () => {
      const blocks = madeBlocks([1000, 2000, 3000, 4000])
      const stalled = await network.node()
      await stalled.handle(PROTOCOL, async stream => {
        while ((await stream.read()) !== null) {}
      })
      const honest = await member(blocks)
      const asker = await member(new Map(), { stallMs: 400 })
      const startedMs = performance.now()
      assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], () => [stalled.peer, honest.peer]), { missing: [] })
      const alone = performance.now()
      assert.ok(alone - startedMs < 4_500, `took ${alone - startedMs} ms`)
      assert.deepEqual(
        asker.failures.map(({ peer, code }) => [peer, code]),
        [[stalled.peer, 'peer_stalled']]
      )
    })

    it('asks the only holder again when it stalled once', async () => {
      const blocks = madeBlocks([1000])
      const busy = await network.node()
      const store = new MemoryStore()
      for (const [cid, bytes] of blocks) store.blocks.set(cid, bytes)
      let streams = 0
      await busy.handle(PROTOCOL, async (stream, peer) => {
        if (++streams > 1) return await serveBlocks({ stream, payer: () => peer, store, onSent: () => {} })
        while ((await stream.read()) !== null) {}
      })
      const asker = await member(new Map(), { stallMs: 300 })
      assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], () => [busy.peer]), { missing: [] })
      assert.deepEqual(
        asker.failures.map(({ code }) => code),
        ['peer_stalled']
      )
    })

    it('waits for a stream, where many fetches ask one peer, and fails none', async () => {
      const blocks = madeBlocks(Array.from({ length: 80 }, () => 20_000))
      let open = 0
      let most = 0
      const holder = await network.node()
      const store = new MemoryStore()
      for (const [cid, bytes] of blocks) store.blocks.set(cid, bytes)
      await holder.handle(PROTOCOL, async (stream, peer) => {
        most = Math.max(most, ++open)
        await serveBlocks({ stream, payer: () => peer, store, onSent: () => {} }).finally(() => open--)
      })
      const asker = await member()
      const results = await Promise.all([...blocks.keys()].map(cid => asker.exchange.fetch([cid], () => [holder.peer])))
      assert.ok(results.every(({ missing }) => missing.length === 0))
      assert.deepEqual(asker.failures, [])
      assert.equal(most, MAX_STREAMS_PER_PEER)
    })

    it('goes on where a broken fetch stood', async () => {
      const blocks = madeBlocks(Array.from({ length: 8 }, () => 500_000))
      const total = 8 * 500_000
      const holder = await member(blocks)
      const asker = await member()
      const breaking = new AbortController()
      const broken = asker.exchange.fetch([...blocks.keys()], () => [holder.peer], {
        signal: breaking.signal,
        onProgress: ({ blocks: count }) => {
          if (count === 3) breaking.abort(new Error('pulled the plug'))
        }
      })
      await assert.rejects(broken, /pulled the plug/)
      assert.ok(asker.store.blocks.size >= 3)
      assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], () => [holder.peer]), { missing: [] })
      assert.equal(asker.exchange.traffic.received, total)
    })

    it('ends at its time limit with what is missing', async () => {
      const [cid] = [...madeBlocks([10]).keys()]
      const stalled = await network.node()
      await stalled.handle(PROTOCOL, async stream => {
        while ((await stream.read()) !== null) {}
      })
      const asker = await member()
      assert.deepEqual(await asker.exchange.fetch([cid!], () => [stalled.peer], { timeoutMs: 200 }), { missing: [cid] })
    })

    it('asks holders that turn up later', async () => {
      const blocks = madeBlocks([1000])
      const stalled = await network.node()
      await stalled.handle(PROTOCOL, async stream => {
        while ((await stream.read()) !== null) {}
      })
      const honest = await member(blocks)
      const asker = await member()
      const holders = [stalled.peer]
      setTimeout(() => holders.push(honest.peer), 100)
      assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], () => holders, { timeoutMs: 4000 }), { missing: [] })
    })

    it('fails with the store when the store cannot take a block', async () => {
      const blocks = madeBlocks([1000])
      const holder = await member(blocks)
      const asker = await member()
      asker.store.put = () => Promise.reject(Object.assign(new Error('no room'), { code: 'disk_full' }))
      await assert.rejects(
        asker.exchange.fetch([...blocks.keys()], () => [holder.peer]),
        { code: 'disk_full' }
      )
      assert.deepEqual(asker.failures, [])
    })

    it('serves while it fetches, both ways', async () => {
      const mine = madeBlocks(
        Array.from({ length: 6 }, () => 400_000),
        1
      )
      const yours = madeBlocks(
        Array.from({ length: 6 }, () => 400_000),
        2
      )
      const a = await member(mine)
      const b = await member(yours)
      const results = await Promise.all([
        a.exchange.fetch([...yours.keys()], () => [b.peer]),
        b.exchange.fetch([...mine.keys()], () => [a.peer])
      ])
      assert.deepEqual(results, [{ missing: [] }, { missing: [] }])
    })

    it('cuts off a peer that breaks the rules and goes on serving', async () => {
      const blocks = madeBlocks([1000])
      const holder = await member(blocks)
      const rude = await network.node()
      const stream = await rude.openStream(holder.peer, PROTOCOL)
      await stream.write([new Uint8Array([9, 9, 9])])
      await assert.rejects(async () => {
        if ((await stream.read({ signal: AbortSignal.timeout(3000) })) === null) throw new Error('ended')
      })
      const asker = await member()
      assert.deepEqual(await asker.exchange.fetch([...blocks.keys()], () => [holder.peer]), { missing: [] })
    })
  })
}
