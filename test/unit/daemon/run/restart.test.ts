import assert from 'node:assert/strict'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { KeptRound } from '../../../../daemon/run/ledger.ts'
import { continuedPast, recentPast, wholePast } from '../../../../daemon/run/restart.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import { knownAt } from '../../../../protocols/rounds/chain/record-tree.ts'
import {
  type Contribution,
  createRounds,
  FORK_WINDOW_ROUNDS,
  hasAccepted,
  type RoundRecord,
  type RunRules,
  signContribution,
  signRecord,
  viewOf
} from '../../../../protocols/rounds/index.ts'

const RUN = cidOf(Buffer.from('run'), DAG_CBOR)
const ANCHOR = cidOf(Buffer.from('anchor'), DAG_CBOR)
const ROUNDS = FORK_WINDOW_ROUNDS + 20

describe('a restart', function () {
  this.timeout(60_000)
  const blocks = new Map<string, Uint8Array>()
  const rounds: KeptRound[] = []
  const reads: string[] = []
  let peers: string[] = []
  let rules: RunRules

  const past = () => ({
    run: RUN,
    genesisPeers: rules.genesisPeers,
    ledger: { rounds: async () => [...rounds].reverse() },
    blocks: {
      get: async (cid: string) => {
        reads.push(cid)
        return blocks.get(cid)
      }
    }
  })

  before(async () => {
    const keys = await Promise.all([1, 2, 3].map(seed => generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(seed))))
    peers = keys.map(key => peerIdFromPrivateKey(key).toString())
    rules = {
      ...{ run: RUN, genesisAnchor: ANCHOR, genesisPeers: [peers[2]!], admission: 'open', quorum: 1 },
      ...{ deadlineMs: 1_000, graceMs: 100, fetchTimeoutMs: 1_000, maxTokensPerRound: 50 }
    }
    for (let round = 1; round <= ROUNDS; round++) {
      const author = round % 2
      const peer = peers[author]!
      const parent = rounds.at(-1)?.record ?? RUN
      const facts = { run: RUN, round, parent, anchor: ANCHOR }
      const contribution: Contribution = { ...facts, peer, tokens: 64, steps: 1, loss: 2, codec: 'f32', norm: 1, body: ANCHOR }
      const offered = await signContribution(contribution, keys[author]!)
      const record: RoundRecord = { ...facts, contributions: [offered.cid], closer: peer }
      const closed = await signRecord(record, keys[author]!)
      for (const { cid, bytes } of [offered, closed]) blocks.set(cid, bytes)
      rounds.push({
        ...{ round, parent, record: closed.cid, anchor: ANCHOR, closer: peer, contributors: [], seconds: 1, bytes: 1, adoptedAt: null },
        contributions: [{ cid: offered.cid, body: ANCHOR, peer, round, tokens: 50, age: 0 }],
        loss: 2
      })
    }
  })
  beforeEach(() => {
    reads.length = 0
  })

  it('opens the blocks of the rounds that the rules remember, and no more', async () => {
    const { earlier, trunk, records } = await recentPast(past())
    assert.equal(reads.length, 2 * FORK_WINDOW_ROUNDS)
    assert.equal(records.length, FORK_WINDOW_ROUNDS)
    assert.equal(trunk?.cid, rounds[ROUNDS - FORK_WINDOW_ROUNDS - 1]!.record)
    assert.equal(earlier.at(-1), trunk.cid)
    assert.equal(earlier.length, ROUNDS - FORK_WINDOW_ROUNDS)
  })

  it('leaves the rules where the whole history would', async () => {
    const { earlier: _, ...recent } = await recentPast(past())
    const { earlier: none, ...whole } = await wholePast(past())
    assert.deepEqual(none, [])
    const states = [recent, whole].map(each => createRounds(rules, peers[0]!, { now: 0, ...each }))
    assert.deepEqual(viewOf(states[0]!), viewOf(states[1]!))
    assert.deepEqual([...states[0]!.tree.known].sort(), [...states[1]!.tree.known].sort())
    assert.equal(states[0]!.tree.root.cid, states[1]!.tree.root.cid)
    for (const state of states) {
      assert.deepEqual(
        peers.map(peer => hasAccepted(state, peer)),
        [true, true, false]
      )
      assert.ok(knownAt(state.tree, state.head, peers[2]!), 'the manifest names it')
    }
  })

  it('reads on where it stopped, and anew where its branch was left meanwhile', async () => {
    const upTo = (end: number) => ({ ...past(), ledger: { rounds: async () => rounds.slice(0, end).reverse() } })
    const [early, late] = [await wholePast(upTo(5)), await wholePast(upTo(9))]
    reads.length = 0
    assert.deepEqual(await continuedPast(upTo(9), early), late)
    assert.equal(reads.length, 2 * 4)
    const other = { ...past(), ledger: { rounds: async () => [{ ...rounds[0]!, record: rounds[3]!.record }] } }
    assert.deepEqual(
      (await continuedPast(other, early)).records.map(({ cid }) => cid),
      [rounds[3]!.record]
    )
  })

  it('goes back to the genesis while the run is young', async () => {
    const young = { ...past(), ledger: { rounds: async () => rounds.slice(0, 5).reverse() } }
    const { trunk, records } = await recentPast(young)
    assert.equal(trunk, undefined)
    assert.equal(records.length, 5)
  })
})
