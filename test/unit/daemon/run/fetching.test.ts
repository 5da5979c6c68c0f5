// Fetching whole bodies with the real exchange into a real store: from an honest holder, past one that lies, and again after damage on disk.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Fetcher } from '../../../../daemon/run/fetching.ts'
import type { HolderFailure } from '../../../../protocols/blocks/fetch.ts'
import { BlockExchange } from '../../../../protocols/blocks/index.ts'
import { encodeBody, encodeBodyRoot, encodeStageIndex } from '../../../../protocols/bodies/index.ts'
import { openStore } from '../../../../storage/index.ts'
import { MemoryStore, madeBlocks } from '../../../contracts/block-exchange.ts'
import { MemoryNetwork } from '../../../contracts/memory-network.ts'
import { countBlocks } from '../../storage/stored-blocks.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

/** Takes 100 ms for each block. */
class SlowStore extends MemoryStore {
  override async get(cid: string) {
    await delay(100)
    return super.get(cid)
  }
}

describe('Fetcher', () => {
  const home = temporaryHome()
  const tensor = { name: 'wte', shape: [400_000], bytes: new Uint8Array(1_600_000).map((_, i) => i % 251) }
  const { root, blocks } = encodeBody([{ name: 'embedding', tensors: [tensor] }])
  const chunk = blocks.find(({ bytes }) => bytes.length > 500_000)!
  let network: MemoryNetwork
  let stops: (() => Promise<void>)[]
  beforeEach(() => {
    network = new MemoryNetwork()
    stops = []
  })
  afterEach(async () => {
    for (const stop of stops.reverse()) await stop()
  })

  /** A peer that serves the body, with other bytes under the chunk's name where it lies. */
  async function holder(peer: string, lies = false): Promise<void> {
    const store = new MemoryStore()
    for (const { cid, bytes } of blocks) store.blocks.set(cid, lies && cid === chunk.cid ? bytes.map(byte => byte ^ 1) : bytes)
    const exchange = new BlockExchange({ node: network.node(peer), store }, { network: 'test' })
    await exchange.start()
    stops.push(() => exchange.stop())
  }

  async function asker() {
    const failures: HolderFailure[] = []
    const store = await openStore(home())
    stops.push(() => store.close())
    const exchange = new BlockExchange(
      { node: network.node('asker'), store: store.blocks },
      { network: 'test', onHolderFailure: failure => failures.push(failure) }
    )
    await exchange.start()
    stops.push(() => exchange.stop())
    return { store, failures, fetcher: new Fetcher(exchange, store.blocks) }
  }

  const options = (...peers: string[]) => ({ from: () => peers, signal: new AbortController().signal, timeoutMs: 2000 })

  it('fetches index and chunks within one time limit', async () => {
    await holder('honest')
    const { store, fetcher } = await asker()
    await fetcher.body(root, options('honest'))
    for (const { cid, bytes } of blocks) assert.deepEqual(await store.blocks.get(cid), new Uint8Array(bytes))
  })

  it('goes on with a large body as long as some of it comes in each time limit', async () => {
    const store = await openStore(home())
    stops.push(() => store.close())
    let turnsLeft = 3
    const fetcher = new Fetcher(
      {
        fetch: async cids => {
          const absent: string[] = []
          for (const cid of cids) if (!(await store.blocks.has(cid))) absent.push(cid)
          const next = absent[0]
          if (next === undefined || turnsLeft === 0) return { missing: absent }
          turnsLeft--
          await store.blocks.put(next, blocks.find(({ cid }) => cid === next)!.bytes)
          return { missing: absent.slice(1) }
        }
      },
      store.blocks
    )
    // A root, an index and two chunks.
    assert.equal(blocks.length, 4)
    await assert.rejects(fetcher.largeBody(root, options()), { code: 'block_unavailable' })
    assert.deepEqual([turnsLeft, await fetcher.isWhole(root)], [0, false])
    turnsLeft = 1
    await fetcher.largeBody(root, options())
    assert.equal(await fetcher.isWhole(root), true)
  })

  it('goes on with a list of blocks as long as some of them come', async () => {
    const store = new SlowStore()
    for (const [cid, bytes] of madeBlocks(Array.from({ length: 12 }, () => 1_000))) store.blocks.set(cid, bytes)
    const exchange = new BlockExchange({ node: network.node('busy'), store }, { network: 'test' })
    await exchange.start()
    stops.push(() => exchange.stop())
    const asking = await asker()
    await asking.fetcher.blocks([...store.blocks.keys()], { ...options('busy'), timeoutMs: 700 })
    for (const cid of store.blocks.keys()) assert.ok(await asking.store.blocks.has(cid))
  })

  it('takes wrong bytes for a CID from nobody, names the peer and asks another', async () => {
    await holder('liar', true)
    const { store, failures, fetcher } = await asker()
    await assert.rejects(fetcher.body(root, options('liar')), { code: 'block_unavailable' })
    assert.equal(await store.blocks.has(chunk.cid), false)
    assert.deepEqual([failures[0]?.peer, failures[0]?.code], ['liar', 'wrong_bytes'])
    await holder('honest')
    await fetcher.body(root, options('liar', 'honest'))
    assert.deepEqual(await store.blocks.get(chunk.cid), new Uint8Array(chunk.bytes))
  })

  it('stores no chunk that is longer than its body says, and blames nobody who has it', async () => {
    const index = encodeStageIndex({ tensors: [{ name: 'tiny', shape: [1], size: 1, chunks: [chunk.cid] }] })
    const lying = encodeBodyRoot({ stages: [{ name: 'stage', index: index.cid }] })
    blocks.push(index, lying)
    await holder('honest')
    blocks.splice(-2)
    const { store, failures, fetcher } = await asker()
    await assert.rejects(fetcher.body(lying.cid, { ...options('honest'), totalBytesMax: 10 }), { code: 'bad_message' })
    assert.equal(await store.blocks.has(chunk.cid), false)
    assert.deepEqual(failures, [])
    await fetcher.body(root, options('honest'))
    assert.equal(await fetcher.isWhole(root), true)
  })

  it('gives signed blocks without storing them, and refuses one that is larger than what is signed may be', async () => {
    const store = new MemoryStore()
    const [small, large] = [...madeBlocks([2_000, 65_537])]
    for (const [cid, bytes] of [small!, large!]) store.blocks.set(cid, bytes)
    store.blocks.set(chunk.cid, new Uint8Array(100))
    const exchange = new BlockExchange({ node: network.node('holder'), store }, { network: 'test' })
    await exchange.start()
    stops.push(() => exchange.stop())
    const asking = await asker()
    assert.deepEqual(await asking.fetcher.signed(small![0], options('holder')), new Uint8Array(small![1]))
    await assert.rejects(asking.fetcher.signed(large![0], options('holder')), { code: 'message_too_large' })
    assert.equal(asking.failures.length, 0, 'who has what another named has done nothing')
    await assert.rejects(asking.fetcher.signed(chunk.cid, options('holder')), { code: 'block_unavailable' })
    assert.equal(asking.failures[0]?.code, 'wrong_bytes')
    assert.equal(await countBlocks(asking.store.blocks), 0)
    await asking.store.blocks.put(large![0], new Uint8Array(large![1]))
    await assert.rejects(asking.fetcher.signedBlocks([small![0], large![0]], options('holder')), { code: 'message_too_large' })
    const many = [...madeBlocks(Array.from({ length: 65 }, () => 65_536))]
    for (const [cid, bytes] of many) await asking.store.blocks.put(cid, new Uint8Array(bytes))
    const cids = many.map(([cid]) => cid)
    assert.equal((await asking.fetcher.signedBlocks(cids.slice(1), options('holder'))).size, 64)
    await assert.rejects(asking.fetcher.signedBlocks(cids, options('holder')), { code: 'message_too_large' })
  })

  it('keeps no body of which a block is gone', async () => {
    await holder('honest')
    const { store, fetcher } = await asker()
    await fetcher.body(root, options('honest'))
    await fetcher.keep(root)
    await store.blocks.delete(chunk.cid)
    await assert.rejects(fetcher.keep(root), { code: 'block_unavailable' })
  })

  it('looks for no block before it has told which it looks for', async () => {
    await holder('honest')
    const { store, fetcher } = await asker()
    await fetcher.body(root, options('honest'))
    const named: string[] = []
    const onNamed = async (cids: readonly string[]) => {
      named.push(...cids)
      // Whoever forgets was about to.
      if (cids.includes(chunk.cid)) await store.blocks.delete(chunk.cid)
    }
    await fetcher.body(root, { ...options('honest'), onNamed })
    assert.deepEqual(new Set(named), new Set(blocks.map(({ cid }) => cid)))
    assert.equal(await fetcher.isWhole(root), true)
  })

  it('fetches again what was damaged on disk, and only that', async () => {
    await holder('honest')
    const { store, fetcher } = await asker()
    await fetcher.body(root, options('honest'))
    const path = join(home(), 'blocks', chunk.cid.slice(-3, -1), chunk.cid)
    const damaged = await readFile(path)
    damaged[1000]! ^= 1
    await writeFile(path, damaged)
    const heard: string[] = []
    store.blocks.onCorrupt(cid => heard.push(cid))
    assert.equal(await store.blocks.get(chunk.cid), undefined)
    assert.deepEqual(heard, [chunk.cid])
    assert.equal(await fetcher.isWhole(root), false)
    await fetcher.body(root, options('honest'))
    assert.equal(await fetcher.isWhole(root), true)
    assert.deepEqual(await store.blocks.get(chunk.cid), new Uint8Array(chunk.bytes))
  })
})
