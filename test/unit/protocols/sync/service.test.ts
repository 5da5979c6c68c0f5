import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { cidOf, DAG_CBOR, parseCid } from '../../../../protocols/cids.ts'
import { type ChainSource, MAX_CHAIN, type SyncComponents, type SyncPace, SyncService } from '../../../../protocols/sync/index.ts'
import {
  decodeChainAnswer,
  decodeHeadAnswer,
  decodeSyncRequest,
  encodeHeadAnswer,
  encodeSyncRequest
} from '../../../../protocols/sync/messages.ts'
import { MemoryNetwork } from '../../../contracts/memory-network.ts'

const cid = (n: number) => cidOf(new Uint8Array([n]), DAG_CBOR)
const RUN = cid(0)
const records = [1, 2, 3, 4, 5].map(cid)
const source: ChainSource = {
  head: async run => (run === RUN ? { head: records[4]!, round: 5 } : null),
  chain: async (run, fromRound, limit) => (run === RUN ? records.slice(Math.max(0, fromRound - 1)).slice(0, limit) : null),
  isAccepted: () => true
}

describe('sync', () => {
  async function pair(theirs: ChainSource = source, { pace, originOf }: Pick<SyncComponents, 'pace' | 'originOf'> = {}) {
    const network = new MemoryNetwork()
    const [a, b] = [network.node('a'), network.node('b')]
    const ours = new SyncService(
      { node: a, source: { ...source, head: async () => null, chain: async () => null } },
      { network: 'n', timeoutMs: 300 }
    )
    const other = new SyncService({ node: b, source: theirs, pace, ...(originOf && { originOf }) }, { network: 'n', timeoutMs: 300 })
    await ours.start()
    await other.start()
    return { network, ours, b }
  }

  it('tells head and chain, and null for a run it is not in', async () => {
    const { ours } = await pair()
    assert.deepEqual(await ours.head('b', RUN), { head: records[4], round: 5 })
    assert.deepEqual(await ours.chain('b', RUN, 2, 3), records.slice(1, 4))
    assert.equal(await ours.head('b', cid(9)), null)
    assert.equal(await ours.chain('b', cid(9), 1, 10), null)
  })

  it('asks many, and takes what comes', async () => {
    const { ours, network } = await pair()
    const silent = network.node('silent')
    await silent.handle('/shoal/n/sync/1', async stream => {
      while ((await stream.read()) !== null) {}
    })
    const startedMs = performance.now()
    assert.deepEqual(await ours.heads(RUN, ['b', 'silent', 'nobody']), [{ peer: 'b', head: records[4], round: 5 }])
    assert.ok(performance.now() - startedMs < 4_000)
  })

  it('lets nobody choose who is asked by being heard first: authors are, then others by lot', async () => {
    const network = new MemoryNetwork()
    const crowd = Array.from({ length: 40 }, (_, n) => `crowd ${n}`)
    const others = ['author', 'late']
    for (const peer of [...crowd, ...others]) {
      const head = async () => (others.includes(peer) ? { head: records[4]!, round: 5 } : { head: RUN, round: 0 })
      await new SyncService({ node: network.node(peer), source: { ...source, head } }, { network: 'n' }).start()
    }
    let lot = 0
    const ours = new SyncService(
      { node: network.node('us'), source: { ...source, isAccepted: peer => peer === 'author' }, lot: () => lot++ / 100 },
      { network: 'n' }
    )
    const heads = await ours.heads(RUN, ['author', ...crowd, 'late'])
    assert.equal(heads.length, 16)
    assert.deepEqual(heads.flatMap(({ peer, round }) => (round > 0 ? [peer] : [])).sort(), others)
    const all = await ours.heads(RUN, [...crowd, ...others], { most: 100 })
    assert.deepEqual(all.map(({ peer }) => peer).sort(), [...crowd, ...others].sort())
  })

  it('says who stalled, who cannot be reached, who talks nonsense', async () => {
    const { ours, network } = await pair()
    const silent = network.node('silent')
    await silent.handle('/shoal/n/sync/1', async stream => {
      while ((await stream.read()) !== null) {}
    })
    const mad = network.node('mad')
    await mad.handle('/shoal/n/sync/1', stream => stream.write([new Uint8Array([1, 2, 3])]))
    await assert.rejects(ours.head('silent', RUN), { code: 'peer_stalled' })
    await assert.rejects(ours.head('nobody', RUN), { code: 'peer_unreachable' })
    await assert.rejects(ours.head('mad', RUN), { code: 'bad_message' })
    await assert.rejects(ours.head('b', RUN, { signal: AbortSignal.abort(new Error('enough')) }), /enough/)
  })

  it('refuses more records than it asked for, and never sends more', async () => {
    const greedy: ChainSource = { ...source, chain: async () => Array.from({ length: MAX_CHAIN + 5 }, (_, n) => cid(n % 200)) }
    const { ours } = await pair(greedy)
    assert.equal((await ours.chain('b', RUN, 1, 3))!.length, 3)
    assert.equal((await ours.chain('b', RUN, 1, 1e9))!.length, MAX_CHAIN)
  })

  it('tells all strangers together of chains for a part of what it may send, and members by its pace', async () => {
    const page = Array.from({ length: MAX_CHAIN }, (_, n) => cid(n % 200))
    const taken: number[] = []
    const payers: string[] = []
    let isTaken = true
    const pace: SyncPace = {
      bytesPerSecond: 16_000,
      take: async (bytes, { payer, signal }) => {
        taken.push(bytes)
        payers.push(payer)
        if (!isTaken) await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      }
    }
    const { network, ours } = await pair({ ...source, chain: async () => page, isAccepted: peer => peer === 'a' }, { pace })
    const ask = (peer: string) => new SyncService({ node: network.node(peer), source }, { network: 'n' }).chain('b', RUN, 1, MAX_CHAIN)
    // Sixteen seconds of a quarter of its rate are a page and a half.
    const asked = await Promise.allSettled(['first', 'second', 'third'].map(ask))
    assert.deepEqual(
      asked.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected']
    )
    assert.deepEqual(await ours.chain('b', RUN, 1, MAX_CHAIN), page)
    assert.equal(taken.length, 2)
    assert.deepEqual(payers, ['/memory/first', 'a'])
    assert.ok(taken.every(bytes => bytes > 40 * MAX_CHAIN))
    isTaken = false
    assert.deepEqual(await ours.head('b', RUN), { head: records[4], round: 5 })
    await assert.rejects(ours.chain('b', RUN, 1, MAX_CHAIN))
  })

  it('leaves a newcomer the longest chain, with however many ids one machine asks for chains', async () => {
    const page = Array.from({ length: MAX_CHAIN }, (_, n) => cid(n % 200))
    const stranger = { ...source, chain: async () => page, isAccepted: () => false }
    const { network } = await pair(stranger, { originOf: address => (address.startsWith('/memory/crowd') ? 'crowd' : address) })
    const askAs = (peer: string) => new SyncService({ node: network.node(peer), source }, { network: 'n' })
    const crowd = await Promise.allSettled(Array.from({ length: 100 }, (_, n) => askAs(`crowd${n}`).chain('b', RUN, 1, MAX_CHAIN)))
    const answered = crowd.filter(({ status }) => status === 'fulfilled')
    assert.ok(answered.length >= 16, 'one machine may have several newcomers')
    const newcomer = askAs('newcomer')
    for (let n = 0; n < 16; n++) assert.equal((await newcomer.chain('b', RUN, 1, MAX_CHAIN))!.length, MAX_CHAIN)
  })

  it('keeps its bytes', () => {
    const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
    const link = `d82a582500${hex(parseCid(RUN).bytes)}`
    assert.equal(hex(encodeSyncRequest({ ask: 'head', run: RUN })), `a3617601${'6361736b'}${'6468656164'}${'6372756e'}${link}`)
    assert.equal(hex(encodeHeadAnswer(null)), 'a2617601656b6e6f776ef4')
  })

  it('refuses what is not a sync message', () => {
    const bad = [{}, { v: '1', ask: 'head', run: parseCid(RUN) }, { v: 1, ask: 'all', run: parseCid(RUN) }, { v: 1, ask: 'head', run: RUN }]
    for (const value of bad) assert.throws(() => decodeSyncRequest(dagCbor.encode(value)), { code: 'bad_message' })
    const chain = { v: 1, ask: 'chain', run: parseCid(RUN), fromRound: 1, limit: MAX_CHAIN + 1 }
    assert.throws(() => decodeSyncRequest(dagCbor.encode(chain)), { code: 'bad_message' })
    assert.throws(() => decodeHeadAnswer(dagCbor.encode({ v: 1, known: true, head: null, round: 1 })), { code: 'bad_message' })
    assert.throws(() => decodeChainAnswer(dagCbor.encode({ v: 1, known: true, records: [1] })), { code: 'bad_message' })
    assert.throws(() => decodeSyncRequest(new Uint8Array(100_000)), { code: 'message_too_large' })
  })
})
