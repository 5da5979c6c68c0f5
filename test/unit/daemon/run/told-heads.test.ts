import assert from 'node:assert/strict'
import { join } from 'node:path'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { Fetcher } from '../../../../daemon/run/fetching.ts'
import { chooseTold, fetchAnchorLike } from '../../../../daemon/run/told-heads.ts'
import { BlockExchange } from '../../../../protocols/blocks/index.ts'
import { encodeBodyRoot, encodeStageIndex } from '../../../../protocols/bodies/index.ts'
import { cidOf, DAG_CBOR, RAW } from '../../../../protocols/cids.ts'
import { type RunRules, signContribution, signRecord } from '../../../../protocols/rounds/index.ts'
import { SyncService } from '../../../../protocols/sync/index.ts'
import { type BlockStore, openBlockFiles } from '../../../../storage/index.ts'
import { MemoryNetwork } from '../../../contracts/memory-network.ts'
import { countBlocks } from '../../storage/stored-blocks.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

const named = (text: string) => cidOf(Buffer.from(text), DAG_CBOR)
const RUN = named('run')

describe('a node that is in no run', () => {
  const home = temporaryHome()
  const network = new MemoryNetwork()
  let ours: BlockStore
  let theirs: BlockStore
  let services: { start(): Promise<void>; stop(): Promise<void> }[] = []
  let fetcher: Fetcher
  let sync: SyncService
  let rules: RunRules
  let refused: string[] = []
  const options = { from: () => ['theirs'], signal: new AbortController().signal, timeoutMs: 5_000 }

  beforeEach(async () => {
    ours = await openBlockFiles(join(home(), 'ours'))
    theirs = await openBlockFiles(join(home(), 'theirs'))
    const source = { head: async () => null, chain: async () => null, isAccepted: () => true }
    const exchange = new BlockExchange({ node: network.node('ours'), store: ours }, { network: 'test' })
    sync = new SyncService({ node: network.node('ours'), source }, { network: 'test' })
    services = [exchange, sync, new BlockExchange({ node: network.node('theirs'), store: theirs }, { network: 'test' })]
    for (const service of services) await service.start()
    fetcher = new Fetcher(exchange, ours)
    refused = []
    rules = {
      ...{ run: RUN, genesisAnchor: named('genesis'), genesisPeers: [(await author(1)).peer], admission: 'open', quorum: 2 },
      ...{ deadlineMs: 1000, graceMs: 100, fetchTimeoutMs: 1000, maxTokensPerRound: 1000 }
    }
  })
  afterEach(async () => {
    for (const service of services) await service.stop()
    await Promise.all([ours.close(), theirs.close()])
  })

  async function author(seed: number) {
    const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(seed))
    return { key, peer: peerIdFromPrivateKey(key).toString() }
  }

  /** Rounds on the other node's disk, each with a contribution of every author, closed by the first. @returns the records, oldest first */
  async function grow(authors: number[], rounds: number, { parent = RUN, round: first = 1 } = {}): Promise<string[]> {
    const records: string[] = []
    for (let round = first; round < first + rounds; round++) {
      const before = records.at(-1) ?? parent
      const people = (await Promise.all(authors.map(author))).sort((a, b) => (a.peer < b.peer ? -1 : 1))
      const contributions: string[] = []
      for (const { key, peer } of people) {
        const facts = { run: RUN, round, parent: before, peer, tokens: 100, steps: 5, loss: 3, codec: 'f32', norm: 1, body: named('body') }
        const block = await signContribution(facts, key)
        await theirs.put(block.cid, block.bytes)
        contributions.push(block.cid)
      }
      const { key, peer: closer } = await author(authors[0]!)
      const anchor = named(`anchor ${round} of ${authors}`)
      const block = await signRecord({ run: RUN, round, parent: before, contributions, anchor, closer }, key)
      await theirs.put(block.cid, block.bytes)
      records.push(block.cid)
    }
    return records
  }

  const choose = (heads: string[], most?: number) =>
    chooseTold(
      heads.map((head, i) => ({ peer: `peer ${i}`, head })),
      rules,
      {
        ...{ run: RUN, blocks: ours, fetcher },
        chain: (peer, from, limit, signal) => sync.chain(peer, RUN, from, limit, { signal })
      },
      { ...options, most, onRefused: (peer, code) => refused.push(`${peer}: ${code}`) }
    )

  it('takes no record on a peer’s word: one that the rules do not allow loses to a chain that they do', async () => {
    const honest = await grow([1, 2], 3)
    // Alone, below the quorum; and a round that no chain leads to.
    const [lonely] = await grow([9], 1, { parent: honest[2]!, round: 4 })
    const [unfounded] = await grow([8, 9], 1, { parent: named('nothing'), round: 1_000_000 })
    const chosen = await choose([unfounded!, lonely!, honest[2]!])
    assert.deepEqual(
      chosen.map(({ record }) => record),
      honest
    )
    assert.deepEqual(refused, ['peer 0: block_unavailable'])
  })

  it('chooses by what authors known before the fork did, not by length', async () => {
    const honest = await grow([1, 2], 6)
    const minted = await grow([8, 9], 12)
    assert.equal((await choose([minted[11]!, honest[5]!])).at(-1)?.record, honest[5])
  })

  it('chooses among the others where one head’s record lists what is no signed block, and leaves nothing of it', async () => {
    const honest = await grow([1, 2], 6)
    const noise = new Uint8Array(100_000).fill(7)
    const large = cidOf(noise, RAW)
    await theirs.put(large, noise)
    const { key, peer: closer } = await author(9)
    const record = { run: RUN, round: 1, parent: RUN, contributions: [large], anchor: named('anchor'), closer }
    const block = await signRecord(record, key)
    await theirs.put(block.cid, block.bytes)
    const chosen = await choose([block.cid, honest[5]!])
    assert.equal(chosen.at(-1)?.record, honest[5])
    assert.deepEqual(refused, ['peer 0: message_too_large'])
    assert.equal(await countBlocks(ours), 6 + 12)
  })

  it('holds no more of all chains together than it may: one gives way by lot, and nothing of it stays', async () => {
    const chains = [await grow([1, 2], 3), await grow([8, 9], 3)]
    const chosen = await choose([chains[0]![2]!, chains[1]![2]!, RUN], 17)
    assert.equal(refused.length, 1)
    const loser = ['peer 0: block_unavailable', 'peer 1: block_unavailable'].indexOf(refused[0]!)
    assert.deepEqual(
      chosen.map(({ record }) => record),
      chains[1 - loser]
    )
    assert.equal(await countBlocks(ours), 3, 'the chosen one’s records')
  })

  it('lets what one peer tells give way sooner than what many tell', async () => {
    const [honest, other] = [(await grow([1, 2], 3))[2]!, (await grow([8, 9], 3))[2]!]
    const told = [other, ...Array<string>(100).fill(honest)]
    let kept = 0
    for (let lots = 0; lots < 20; lots++) {
      const chosen = await choose(lots % 2 === 0 ? told : [...told].reverse(), 17)
      if (chosen.at(-1)?.record === honest) kept++
    }
    // Each lot is lost once in 101 times.
    assert.ok(kept >= 16, `kept ${kept} times of 20`)
  })

  it('reads a chain once, however many tell of it', async () => {
    const honest = await grow([1, 2], 3)
    const chosen = await choose([honest[2]!, honest[2]!, honest[2]!], 9)
    assert.deepEqual(
      chosen.map(({ record }) => record),
      honest
    )
    assert.deepEqual(refused, [])
    const [lonely] = await grow([9], 1, { parent: named('nothing'), round: 4 })
    await choose([lonely!, lonely!, RUN])
    assert.deepEqual(refused, ['peer 0: block_unavailable', 'peer 1: block_unavailable'])
  })

  it('says so where nobody’s head stands on the run, and is content with the genesis', async () => {
    const [lonely] = await grow([9], 1)
    await assert.rejects(choose([lonely!]), { code: 'bad_chain' })
    assert.deepEqual(await choose([lonely!, RUN]), [])
  })

  it('asks for no chunk of an anchor that has other tensors than the run’s first', async () => {
    const put = async (stages: string[], size: number) => {
      const chunk = new Uint8Array(size).fill(7)
      const chunks = [cidOf(chunk, RAW)]
      await theirs.put(chunks[0]!, chunk)
      const index = encodeStageIndex({ tensors: [{ name: 'w', shape: [size / 4], size, chunks }] })
      const root = encodeBodyRoot({ stages: stages.map(name => ({ name, index: index.cid })) })
      for (const block of [index, root]) await theirs.put(block.cid, block.bytes)
      return { root: root.cid, chunk: chunks[0]! }
    }
    const genesis = await put(['head'], 400)
    for (const wrong of [await put(['head'], 4000), await put(['head', 'more'], 400)]) {
      await assert.rejects(fetchAnchorLike(genesis.root, wrong.root, fetcher, options), { code: 'bad_anchor' })
      assert.equal(await ours.has(wrong.chunk), false)
    }
    await fetchAnchorLike(genesis.root, genesis.root, fetcher, options)
    assert.equal(await ours.has(genesis.chunk), true)
  })

  it('asks for no more indexes of the run’s first anchor than what it may weigh can have', async () => {
    const chunks = Array<string>(16_000).fill(named('nothing'))
    const index = encodeStageIndex({ tensors: [{ name: 'w', shape: [chunks.length * 2 ** 18], size: chunks.length * 2 ** 20, chunks }] })
    assert.ok(index.bytes.length > 2 ** 19)
    const other = encodeStageIndex({ tensors: [{ name: 'last', shape: [0], size: 0, chunks: [] }] })
    const stages = Array.from({ length: 50 }, (_, i) => ({ name: `stage ${i}`, index: i < 49 ? index.cid : other.cid }))
    const root = encodeBodyRoot({ stages })
    for (const block of [index, other, root]) await theirs.put(block.cid, block.bytes)
    const refusal = { code: 'message_too_large' }
    await assert.rejects(fetchAnchorLike(root.cid, root.cid, fetcher, { ...options, totalBytesMax: 400 }), refusal)
    assert.deepEqual([await ours.has(index.cid), await ours.has(other.cid)], [true, false])
  })
})
