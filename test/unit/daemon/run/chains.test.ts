import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { DaemonError } from '../../../../daemon/errors.ts'
import { type ChainComponents, type ChainRecord, Chains } from '../../../../daemon/run/chains.ts'
import { Fetcher } from '../../../../daemon/run/fetching.ts'
import { LooseBlocks } from '../../../../daemon/run/loose-blocks.ts'
import { BlockExchange } from '../../../../protocols/blocks/index.ts'
import { cidOf, DAG_CBOR, RAW } from '../../../../protocols/cids.ts'
import { type RoundRecord, signContribution, signRecord } from '../../../../protocols/rounds/index.ts'
import { SyncService } from '../../../../protocols/sync/index.ts'
import { type BlockStore, openBlockFiles } from '../../../../storage/index.ts'
import { MemoryNetwork } from '../../../contracts/memory-network.ts'
import { countBlocks } from '../../storage/stored-blocks.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

const RUN = cidOf(Buffer.from('run'), DAG_CBOR)

describe('Chains.fetch()', () => {
  const home = temporaryHome()
  const network = new MemoryNetwork()
  let ours: BlockStore
  let theirs: BlockStore
  let exchanges: BlockExchange[] = []
  let syncs: SyncService[] = []
  let chain: string[] = []
  let asked: { fromRound: number; limit: number }[] = []
  let served: string[] = []
  /** A block that the other node gives only when this is over. */
  let held: { cid: string; until: Promise<void> } | null = null
  /** What the peer `liar` says that its chain is, and how often it was asked. */
  let lies: string[] | null | Error = []
  let liarAsked = 0
  /** Names that the other node gives at once. */
  let pageRecords = Number.POSITIVE_INFINITY
  let chains: Chains
  /** What is needed of what the fetches bring; null: everything. */
  let needed: Set<string> | null = null

  beforeEach(async () => {
    ours = await openBlockFiles(join(home(), 'ours'))
    theirs = await openBlockFiles(join(home(), 'theirs'))
    chain = []
    asked = []
    served = []
    needed = null
    held = null
    pageRecords = Number.POSITIVE_INFINITY
    const source = {
      head: async () => null,
      chain: async (_: string, from: number, limit: number) => chain.slice(from - 1, from - 1 + limit).slice(-pageRecords),
      isAccepted: () => true
    }
    const nodes = [network.node('ours'), network.node('theirs')]
    const watched: BlockStore = {
      ...{ has: cid => theirs.has(cid), put: (cid, bytes) => theirs.put(cid, bytes) },
      get: async cid => {
        served.push(cid)
        if (cid === held?.cid) await held.until
        return theirs.get(cid)
      }
    } as BlockStore
    exchanges = nodes.map((node, i) => new BlockExchange({ node, store: i === 0 ? ours : watched }, { network: 'test' }))
    syncs = nodes.map(node => new SyncService({ node, source }, { network: 'test' }))
    for (const service of [...exchanges, ...syncs]) await service.start()
    chains = new Chains(components())
  })
  const components = (): ChainComponents => ({
    ...{ run: RUN, blocks: ours, fetcher: new Fetcher(exchanges[0]!, ours) },
    loose: new LooseBlocks({ blocks: ours, needed: () => cid => needed?.has(cid) ?? true }),
    chain: (peer, fromRound, limit, signal) => {
      asked.push({ fromRound, limit })
      if (peer === 'liar') {
        liarAsked++
        return lies instanceof Error ? Promise.reject(lies) : Promise.resolve(lies)
      }
      return syncs[0]!.chain(peer, RUN, fromRound, limit, { signal })
    }
  })
  afterEach(async () => {
    for (const service of [...exchanges, ...syncs]) await service.stop()
    await Promise.all([ours.close(), theirs.close()])
  })

  const fetch = (
    tip: string,
    known: string[] = [],
    tell = (found: ChainRecord[]): ChainRecord[] | Promise<ChainRecord[]> => found,
    timeoutMs = 5_000,
    isStrangers = true
  ) => {
    const options = { from: () => ['theirs'], signal: new AbortController().signal, timeoutMs, isStrangers }
    return chains.fetch(tip, cid => known.includes(cid), options, tell)
  }

  /** From two of whom the first is a liar. */
  const fetchPastLiar = (tip: string, known: string[] = []) => {
    const options = { from: () => ['liar', 'theirs'], signal: new AbortController().signal, timeoutMs: 5_000, isStrangers: true }
    return chains.fetch(
      tip,
      cid => known.includes(cid),
      options,
      found => found
    )
  }

  /** Records on the other node's disk, each with one contribution of its own. */
  async function grow(
    rounds: number,
    change: (record: RoundRecord) => RoundRecord | Promise<RoundRecord> = record => record
  ): Promise<void> {
    const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(3))
    const closer = peerIdFromPrivateKey(key).toString()
    const anchor = cidOf(Buffer.from('anchor'), DAG_CBOR)
    for (let round = 1; round <= rounds; round++) {
      const parent = chain.at(-1) ?? RUN
      const facts = { run: RUN, round, parent, peer: closer, tokens: 100, steps: 5, loss: 3, codec: 'f32', norm: 1, body: anchor }
      const contribution = await signContribution(facts, key)
      await theirs.put(contribution.cid, contribution.bytes)
      const record = await change({ run: RUN, round, parent, contributions: [contribution.cid], anchor, closer })
      const block = await signRecord(record, key)
      await theirs.put(block.cid, block.bytes)
      chain.push(block.cid)
    }
  }
  const roundsOf = (found: { record: RoundRecord }[]) => found.map(({ record }) => record.round)

  it('gives what is missing, oldest first, and walks a short way alone', async () => {
    await grow(6)
    assert.deepEqual(roundsOf(await fetch(chain[5]!, [chain[2]!])), [4, 5, 6])
    assert.deepEqual(asked, [])
  })

  it('asks for a long way at once, contributions included', async () => {
    await grow(40)
    assert.deepEqual(
      roundsOf(await fetch(chain[39]!)),
      chain.map((_, i) => i + 1)
    )
    assert.deepEqual(asked, [{ fromRound: 1, limit: 36 }])
    assert.equal(await countBlocks(ours), 80)
  })

  it('gets there one by one where the peer tells another chain than the records do', async () => {
    await grow(12)
    const tip = chain[11]!
    chain = [chain[0]!]
    assert.equal((await fetch(tip)).length, 12)
  })

  it('refuses a chain whose rounds do not go down by one, or that strays into another run', async () => {
    await grow(3, record => (record.round === 2 ? { ...record, round: 7 } : record))
    await assert.rejects(fetch(chain[2]!), { code: 'bad_chain' })
    chain = []
    await grow(3, record => (record.round === 2 ? { ...record, run: cidOf(Buffer.from('other'), DAG_CBOR) } : record))
    await assert.rejects(fetch(chain[2]!), { code: 'bad_chain' })
  })

  it('says of a chain that lists more than the rules can take that it is too long, not that it is wrong', async () => {
    await grow(12)
    needed = new Set()
    chains = new Chains(components(), undefined, 11)
    const rejection = await fetch(chain[11]!).catch((error: unknown) => error)
    assert.ok(rejection instanceof DaemonError)
    assert.deepEqual([rejection.code, rejection.details], ['history_too_long', { records: 12, contributions: 12, headRound: 12 }])
    assert.equal(await countBlocks(ours), 0)
    assert.equal((await fetch(chain[11]!, [chain[0]!])).length, 11)
  })

  it('stores nothing of what a peer only names, and all that its records list', async () => {
    await grow(8)
    const [tip, truth] = [chain[7]!, chain]
    const noise = Buffer.from('noise')
    const named = cidOf(noise, DAG_CBOR)
    await theirs.put(named, noise)
    chain = [named]
    const found = await fetch(tip)
    assert.equal(await ours.has(named), false)
    assert.deepEqual(
      found.map(({ cid, record }) => [cid, record.contributions.length]),
      truth.map(cid => [cid, 1])
    )
    assert.equal(await countBlocks(ours), 16)
    await assert.rejects(fetch(named), { code: 'bad_message' })
    assert.equal(await ours.has(named), false)
  })

  it('says which record nobody had', async () => {
    await grow(2)
    await theirs.delete(chain[0]!)
    await assert.rejects(fetch(chain[1]!), { code: 'block_unavailable' })
  })

  it('gets a chain once, whoever names it or its next records meanwhile', async () => {
    await grow(40)
    const known: string[] = []
    const tell = (found: ChainRecord[]): ChainRecord[] => {
      known.push(...found.map(({ cid }) => cid))
      return found
    }
    const found = await Promise.all([38, 38, 40, 39, 38].map(round => fetch(chain[round - 1]!, known, tell)))
    assert.deepEqual(found.map(roundsOf), [chain.slice(0, 38).map((_, i) => i + 1), [], [40], [39], []])
    assert.deepEqual([served.length, new Set(served).size], [78, 78], 'every record, and every contribution but those of two short ways')
  })

  it('goes on alone where another fetch that was under way has failed', async () => {
    await grow(12)
    const failing = fetch(chain[11]!, [], () => {
      throw new Error('not taken')
    })
    const second = fetch(chain[11]!)
    await assert.rejects(failing, { message: 'not taken' })
    assert.equal((await second).length, 12)
  })

  it('waits one fetch timeout for another fetch, and no longer', async () => {
    await grow(12)
    const dragged = Promise.withResolvers<ChainRecord[]>()
    const first = fetch(chain[7]!, [], () => dragged.promise)
    assert.equal((await fetch(chain[11]!, [], found => found, 300)).length, 12)
    dragged.resolve([])
    assert.deepEqual(await first, [])
  })

  it('waits one fetch timeout for all other fetches together', async () => {
    await grow(12)
    const dragged = Array.from({ length: 12 }, () => Promise.withResolvers<ChainRecord[]>())
    for (const { promise } of dragged) promise.catch(() => {})
    const others = dragged.map(({ promise }) => fetch(chain[7]!, [], () => promise, 60_000).catch(() => 'failed'))
    const last = fetch(chain[11]!, [], found => found, 400)
    let hasEnded = false
    void last.then(() => {
      hasEnded = true
    })
    // Each gives way to the next before that time is over.
    let failed = 0
    for (; failed < dragged.length && !hasEnded; failed++) {
      await delay(300)
      dragged[failed]!.reject(new Error('not taken'))
    }
    assert.equal((await last).length, 12)
    assert.ok(failed < dragged.length, `${failed} were waited for`)
    for (const { reject } of dragged) reject(new Error('not taken'))
    await Promise.all(others)
  })

  const given = (tip: string, isStrangers: boolean): Promise<string> =>
    fetch(tip, [], found => found, 5_000, isStrangers).then(
      () => 'came',
      error => error.code
    )

  /** Two chains of twelve where there is room for one page on its way: the second is asked for while the first waits for its own. Leaves the second as the other node's. */
  async function askedTogether({ slowIsStrangers, fastIsStrangers }: { slowIsStrangers: boolean; fastIsStrangers: boolean }) {
    chains = new Chains(components(), 40_000)
    await grow(12)
    const first = chain
    chain = []
    await grow(12, record => ({ ...record, anchor: cidOf(Buffer.from('other'), DAG_CBOR) }))
    const second = chain
    const waiting = Promise.withResolvers<void>()
    held = { cid: first[0]!, until: waiting.promise }
    chain = first
    const slow = given(first[11]!, slowIsStrangers)
    while (!served.includes(first[0]!)) await delay(5)
    chain = second
    const fast = await given(second[11]!, fastIsStrangers)
    waiting.resolve()
    return [await slow, fast]
  }

  for (const slowIsStrangers of [true, false]) {
    it(`lets a stranger's give way where all together are too much, be it the ${slowIsStrangers ? 'first' : 'second'}`, async () => {
      const came = await askedTogether({ slowIsStrangers, fastIsStrangers: !slowIsStrangers })
      assert.deepEqual(came, slowIsStrangers ? ['block_unavailable', 'came'] : ['came', 'block_unavailable'])
      assert.equal(await countBlocks(ours), 24)
    })
  }

  it('lets one of the authors’ give way where theirs alone are too much', async () => {
    const came = await askedTogether({ slowIsStrangers: false, fastIsStrangers: false })
    assert.deepEqual(came.sort(), ['block_unavailable', 'came'])
    // Whoever is alone and too much by itself.
    chains = new Chains(components(), 30_000)
    for (const cid of chain) await ours.delete(cid)
    assert.equal(await given(chain[11]!, false), 'block_unavailable')
  })

  it('asks the next peer where one names what is no record, or none of this chain', async () => {
    await grow(40)
    const noise = Buffer.alloc(100 * 1024, 7)
    const large = cidOf(noise, DAG_CBOR)
    await theirs.put(large, noise)
    for (const lie of [[large], [chain[0]!]]) {
      lies = lie
      asked = []
      const found = await fetchPastLiar(chain[39]!)
      assert.deepEqual([found.length, asked.length], [40, 2])
      for (const { cid, record } of found) for (const block of [cid, ...record.contributions]) await ours.delete(block)
    }
  })

  it('asks nobody for a second page whose first brought nothing', async () => {
    await grow(20)
    const known = chain.slice(0, 2)
    pageRecords = 5
    for (const lie of [[], null, known, new Error('timed out')]) {
      lies = lie
      liarAsked = 0
      asked = []
      const found = await fetchPastLiar(chain[19]!, known)
      assert.deepEqual([found.length, liarAsked], [18, 1])
      assert.ok(asked.length > 2, 'there were more pages')
      for (const { cid, record } of found) for (const block of [cid, ...record.contributions]) await ours.delete(block)
    }
  })

  it('asks for no page of records that it knows, and no second one of a peer whose page was not all of this chain', async () => {
    await grow(40)
    const known = chain.slice(0, 32)
    assert.equal((await fetch(chain[39]!, known)).length, 8)
    assert.deepEqual(
      known.filter(cid => served.includes(cid)),
      []
    )
    for (const cid of chain) await ours.delete(cid)
    // The next record and nothing else.
    lies = [chain[35]!, cidOf(Buffer.from('nothing'), DAG_CBOR)]
    asked = []
    const found = await fetchPastLiar(chain[39]!)
    assert.deepEqual([found.length, asked.map(({ limit }) => limit)], [40, [36, 35]])
  })

  it('refuses a record that lists what is of another run', async () => {
    const other = cidOf(Buffer.from('other'), DAG_CBOR)
    const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(3))
    const facts = { run: other, round: 3, parent: other, peer: peerIdFromPrivateKey(key).toString(), tokens: 100, steps: 5, loss: 3 }
    const { cid, bytes } = await signContribution({ ...facts, codec: 'f32', norm: 1, body: other }, key)
    await theirs.put(cid, bytes)
    needed = new Set()
    await grow(8, record => (record.round === 3 ? { ...record, contributions: [...record.contributions, cid].sort() } : record))
    await assert.rejects(fetch(chain[7]!), { code: 'bad_chain' })
    assert.equal(await countBlocks(ours), 0)
  })

  it('keeps what is needed of a chain that failed, and what another one that was told lists, too', async () => {
    await grow(12)
    needed = new Set()
    const contributionsOf = (found: ChainRecord[]) => found.flatMap(({ record }) => record.contributions)
    const dragged = Promise.withResolvers<ChainRecord[]>()
    let first: ChainRecord[] = []
    const failing = fetch(chain[11]!, [], found => {
      first = found
      return dragged.promise
    })
    while (first.length === 0) await delay(5)
    // Another that lists what that one has brought, and is taken.
    chain = []
    await grow(12, record => ({ ...record, anchor: cidOf(Buffer.from('other'), DAG_CBOR) }))
    const second = await fetch(chain[11]!, [], found => {
      needed = new Set([...found.map(({ cid }) => cid), ...contributionsOf(found)])
      return found
    })
    dragged.reject(new Error('not taken'))
    await assert.rejects(failing, { message: 'not taken' })
    assert.equal(contributionsOf(second)[0], contributionsOf(first)[0])
    assert.equal(await countBlocks(ours), 24)
    for (const cid of needed) assert.ok(await ours.has(cid))
  })

  it('keeps nothing of a chain that fails, and no block of anything else that a record names', async () => {
    const noise = Buffer.from("an anchor's index")
    const index = cidOf(noise, RAW)
    await theirs.put(index, noise)
    await grow(12, record => (record.round === 9 ? { ...record, contributions: [...record.contributions, index].sort() } : record))
    needed = new Set()
    await assert.rejects(fetch(chain[11]!), { code: 'bad_chain' })
    assert.equal(await countBlocks(ours), 0)
    needed = new Set([chain[2]!])
    await assert.rejects(fetch(chain[11]!), { code: 'bad_chain' })
    assert.deepEqual([await countBlocks(ours), await ours.has(chain[2]!)], [1, true])
  })
})
