import assert from 'node:assert/strict'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { type KeptRound, keptRoundOf, Ledger } from '../../../../daemon/run/ledger.ts'
import { LongWay } from '../../../../daemon/run/long-way.ts'
import { recentPast } from '../../../../daemon/run/restart.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import {
  type Contribution,
  createRounds,
  FORK_WINDOW_ROUNDS,
  type RoundRecord,
  type RunRules,
  signContribution,
  signRecord,
  viewOf
} from '../../../../protocols/rounds/index.ts'
import { openStore, type Store } from '../../../../storage/index.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

const RUN = cidOf(Buffer.from('run'), DAG_CBOR)
const ANCHOR = cidOf(Buffer.from('anchor'), DAG_CBOR)
/** Rounds of the chain that is to be learned: two legs, a part of a third, and what the rules choose among themselves. */
const LEARNED = 600
const HEAD = LEARNED + FORK_WINDOW_ROUNDS

describe('LongWay', function () {
  this.timeout(60_000)
  const home = temporaryHome()
  const blocks = new Map<string, Uint8Array>()
  let keys: Ed25519PrivateKey[] = []
  let peers: string[] = []
  let rules: RunRules
  let chain: KeptRound[] = []
  let store: Store
  let ledger: Ledger
  let asked: string[] = []
  /** The chains that peers tell. */
  let told: Map<string, KeptRound[]>

  /** Goes on from a chain, a round of one author after the other; `change` makes a record another than the rules want. */
  async function grow(
    from: readonly KeptRound[],
    rounds: number,
    { tokens = 50, change = (record: RoundRecord): RoundRecord => record } = {}
  ): Promise<KeptRound[]> {
    const rows = [...from]
    for (let round = rows.length + 1; rows.length < from.length + rounds; round++) {
      const author = round % 2
      const facts = { run: RUN, round, parent: rows.at(-1)?.record ?? RUN }
      const contribution: Contribution = {
        ...{ ...facts, peer: peers[author]!, tokens, steps: 1, loss: 2, codec: 'f32', norm: 1, body: ANCHOR }
      }
      const offered = await signContribution(contribution, keys[author]!)
      const record = change({ ...facts, anchor: ANCHOR, contributions: [offered.cid], closer: peers[author]! })
      const closed = await signRecord(record, keys[author]!)
      for (const { cid, bytes } of [offered, closed]) blocks.set(cid, bytes)
      rows.push(keptRoundOf({ cid: closed.cid, record }, [contribution], { maxTokensPerRound: 50, bytes: 0, seconds: null }))
    }
    return rows
  }

  before(async () => {
    keys = await Promise.all([1, 2].map(seed => generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(seed))))
    peers = keys.map(key => peerIdFromPrivateKey(key).toString())
    rules = {
      ...{ run: RUN, genesisAnchor: ANCHOR, genesisPeers: [peers[0]!], admission: 'open', quorum: 1 },
      ...{ deadlineMs: 1_000, graceMs: 100, fetchTimeoutMs: 1_000, maxTokensPerRound: 50 }
    }
    chain = await grow([], HEAD)
  })
  beforeEach(async () => {
    store = await openStore(home())
    ledger = new Ledger(store, RUN)
    told = new Map([['honest', chain]])
    asked = []
  })
  afterEach(() => store.close())

  const wayWith = (most?: number) =>
    new LongWay(
      {
        ...{ run: RUN, rules, ledger },
        fetcher: {
          signedBlocks: async cids => new Map(cids.flatMap(cid => (blocks.has(cid) ? [[cid, blocks.get(cid)!] as const] : [])))
        },
        chain: async (peer, fromRound, limit) => {
          asked.push(peer)
          return (
            told
              .get(peer)
              ?.slice(fromRound - 1, fromRound - 1 + limit)
              .map(({ record }) => record) ?? null
          )
        }
      },
      most
    )
  const options = (from = ['honest']) => ({
    ...{ from: () => from, signal: new AbortController().signal, timeoutMs: 1_000, headRound: HEAD, tryAgainMs: 0 }
  })
  /** @returns the rounds of each leg */
  async function learn(way = wayWith(), from?: string[]): Promise<number[]> {
    const legs: number[] = []
    for await (const leg of way.ahead(options(from))) {
      assert.deepEqual(
        new Set(leg.blocks.map(({ cid }) => cid)),
        new Set(leg.rounds.flatMap(row => [row.record, row.contributions[0]!.cid]))
      )
      await ledger.learned(leg.rounds)
      legs.push(leg.rounds.length)
    }
    return legs
  }
  const adopt = (rows: KeptRound[]): Promise<unknown> => ledger.adopt(rows.at(-1)!, rows, 0)

  it('learns in legs what the rules would have come to know, up to where they choose for themselves', async () => {
    assert.deepEqual(await learn(), [256, 256, LEARNED - 512])
    const rows: KeptRound[] = []
    for await (const row of ledger.roundsFrom(1)) rows.push(row)
    const dateless = (row: KeptRound) => ({ ...row, adoptedAt: null })
    assert.deepEqual(rows.map(dateless), chain.slice(0, LEARNED).map(dateless))
    assert.equal(await ledger.head(), undefined)
    const past = { run: RUN, genesisPeers: rules.genesisPeers, ledger, blocks: { get: async (cid: string) => blocks.get(cid) } }
    const { earlier: _, ...start } = await recentPast(past)
    const state = createRounds(rules, null, { now: 0, ...start })
    assert.equal(viewOf(state).head, chain[LEARNED - 1]!.record)
    assert.deepEqual([...state.tree.known].sort(), [...peers].sort())
  })

  it('goes on from what is known, and has nothing to do where that is near enough', async () => {
    await adopt(chain.slice(0, LEARNED - 10))
    assert.deepEqual(await learn(), [10])
    assert.deepEqual(await learn(), [])
  })

  it('takes a leg from another peer where one tells no chain, one that does not go on from ours, or one that the rules do not allow', async () => {
    await adopt(chain.slice(0, 10))
    told.set('knows nothing', [])
    told.set('elsewhere', await grow(chain.slice(0, 8), 20, { tokens: 7 }))
    for (const change of [
      (record: RoundRecord) => ({ ...record, contributions: chain[3]!.contributions.map(({ cid }) => cid) }),
      (record: RoundRecord) => ({ ...record, round: record.round + 1 }),
      (record: RoundRecord) => ({ ...record, contributions: [record.parent] })
    ]) {
      told.set('liar', await grow(chain.slice(0, 10), 5, { change }))
      await assert.rejects(learn(wayWith(), ['liar']), { code: 'bad_chain' })
      assert.equal((await ledger.end())?.round, 10)
    }
    await assert.rejects(learn(wayWith(), ['knows nothing']), { code: 'block_unavailable' })
    await assert.rejects(learn(wayWith(), ['elsewhere']), { code: 'bad_chain' })
    assert.equal(
      (await learn(wayWith(), ['liar', 'elsewhere', 'honest'])).reduce((sum, rounds) => sum + rounds),
      LEARNED - 10
    )
  })

  it('asks again where everybody told too much for now', async () => {
    const calm = told
    told = new Map()
    const way = wayWith()
    const learning = learn(way)
    while (asked.length < 2) await new Promise(setImmediate)
    told = calm
    assert.equal((await learning).length, 3)
  })

  it('stops where a chain is further on than a node can learn', async () => {
    await adopt(chain.slice(0, 10))
    const way = wayWith(300)
    await assert.rejects(learn(way), { code: 'history_too_long' })
    assert.equal((await ledger.end())?.round, 310)
    await assert.rejects(learn(way), { code: 'history_too_long' })
    assert.equal((await ledger.end())?.round, 310)
  })

  it("sharedWith() finds the last round of a peer's chain that is ours", async () => {
    const way = wayWith()
    const { signal } = new AbortController()
    assert.equal(await way.sharedWith('honest', signal), 0)
    await adopt(chain.slice(0, 100))
    assert.equal(await way.sharedWith('honest', signal), 100)
    for (const shared of [0, 1, 37, 99]) {
      told.set('other', await grow(chain.slice(0, shared), 3, { tokens: 7 }))
      assert.equal(await way.sharedWith('other', signal), shared)
    }
    await assert.rejects(way.sharedWith('nobody', signal), { code: 'block_unavailable' })
  })

  it('outweighs() counts what authors whom both know have done since, and takes nothing of it', async () => {
    const way = wayWith()
    const heavier = (peer: string, shared: number) => way.outweighs(peer, shared, options())
    await adopt(await grow(chain.slice(0, 20), 30, { tokens: 40 }))
    assert.equal(await heavier('honest', 20), true)
    await assert.rejects(heavier('honest', 19), { code: 'bad_chain' }, 'round 20 is ours, and so would those after it be')
    told.set('short', chain.slice(0, 44))
    await assert.rejects(heavier('short', 20), { code: 'block_unavailable' })
    assert.equal((await ledger.end())?.round, 50)
    // From the genesis on only the peer that the manifest names counts, which is the author of every second round.
    await adopt(chain.slice(0, LEARNED))
    told.set('other', await grow([], HEAD, { tokens: 49 }))
    assert.equal(await heavier('other', 0), false)
    assert.equal(await ledger.round(LEARNED).then(row => row?.record), chain[LEARNED - 1]!.record)
  })
})
