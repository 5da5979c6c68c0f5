import assert from 'node:assert/strict'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { KeptRound } from '../../../../daemon/run/ledger.ts'
import { continuedPast, outweighs, pastAfter, pastUpTo, recentPast } from '../../../../daemon/run/restart.ts'
import { cidOf, DAG_CBOR } from '../../../../protocols/cids.ts'
import { knownAt } from '../../../../protocols/rounds/chain/record-tree.ts'
import {
  type Contribution,
  createRounds,
  FORK_WINDOW_ROUNDS,
  hasAccepted,
  RECENT_ROUNDS,
  type RoundRecord,
  type RunRules,
  reopenRounds,
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

  /** A row may be read until the next is asked for: whoever keeps it fails. */
  const ledgerOf = (rows: KeptRound[]) => ({
    head: async () => rows.at(-1),
    end: async () => rows.at(-1),
    names: async (upTo: number) => rows.filter(({ round }) => round <= upTo).map(({ record }) => record),
    accepted: async () => ({ authors: new Set<string>(), to: 0 }),
    async *roundsFrom(fromRound: number) {
      for (const row of rows.filter(({ round }) => round >= fromRound)) {
        const { proxy, revoke } = Proxy.revocable(row, {})
        yield proxy
        revoke()
      }
    }
  })
  const past = () => ({
    run: RUN,
    genesisPeers: rules.genesisPeers,
    ledger: ledgerOf(rounds),
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
    const { earlier: none, ...whole } = await pastAfter(past())
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

  it('reads no row of the stretches that are summed up, and leaves the rules where the whole history would', async () => {
    const read: number[] = []
    const ledger = ledgerOf(rounds)
    const summed = {
      ...past(),
      ledger: {
        ...ledger,
        accepted: async () => ({ authors: new Set([peers[0]!, peers[1]!]), to: 15 }),
        async *roundsFrom(fromRound: number) {
          for await (const row of ledger.roundsFrom(fromRound)) {
            read.push(row.round)
            yield row
          }
        }
      }
    }
    assert.deepEqual(await recentPast(summed), await recentPast(past()))
    assert.equal(read[0], 20 - RECENT_ROUNDS + 1)
  })

  it('goes on from the last round that was learned, where those are beyond the head', async () => {
    const learned = { ...past(), ledger: { ...ledgerOf(rounds), head: async () => rounds[4] } }
    const { earlier, trunk, records } = await recentPast(learned)
    assert.deepEqual([trunk?.cid, earlier.at(-1), records], [rounds.at(-1)!.record, rounds.at(-1)!.record, []])
    const state = createRounds(rules, peers[0]!, { now: 0, ...(trunk === undefined ? {} : { trunk }) })
    const whole = createRounds(rules, peers[0]!, { now: 0, ...(await pastAfter(past())) })
    assert.equal(viewOf(state).head, viewOf(whole).head)
    assert.deepEqual(viewOf(state).ranks, viewOf(whole).ranks)
    assert.deepEqual([...state.tree.known].sort(), peers.slice(0, 2).sort())
  })

  it('reads back to where a branch parted, and leaves the rules where the whole history would', async () => {
    const whole = await pastAfter(past())
    for (const fork of [0, 3, 20]) {
      reads.length = 0
      const { earlier, ...since } = await pastAfter(past(), await pastUpTo(past(), fork))
      assert.equal(reads.length, 2 * (ROUNDS - fork))
      assert.equal(earlier.length, fork)
      const states = [since, whole].map(each => createRounds(rules, peers[0]!, { now: 0, ...each }))
      assert.deepEqual(viewOf(states[0]!), viewOf(states[1]!))
      assert.deepEqual([...states[0]!.tree.known].sort(), [...states[1]!.tree.known].sort())
    }
    await assert.rejects(pastUpTo(past(), ROUNDS + 1), { code: 'block_unavailable' })
  })

  it('takes the rules from where a branch parted to its head if that weighs more, as the whole history would', async () => {
    const fork = await pastUpTo(past(), 4)
    const theirs: { cid: string; record: RoundRecord; ready: boolean }[] = []
    const contributions: { cid: string; contribution: Contribution; held: boolean }[] = []
    for (let round = 5; round < 150; round++) {
      const parent = theirs.at(-1)?.cid ?? fork.trunk!.cid
      const parts = [peers[0]!, peers[1]!].sort().map(peer => ({ cid: `${round} of ${peer}`, peer }))
      const facts = { run: RUN, round, parent }
      for (const { cid, peer } of parts) {
        const contribution = { ...facts, peer, tokens: 64, steps: 1, loss: 2, codec: 'f32', norm: 1, body: ANCHOR }
        contributions.push({ cid, contribution, held: false })
      }
      const record = { ...facts, anchor: ANCHOR, contributions: parts.map(({ cid }) => cid), closer: peers[0]! }
      theirs.push({ cid: `theirs ${round}`, record, ready: false })
    }
    const { earlier: _, ...recent } = await recentPast(past())
    const movesTo = async (before: typeof fork, count: number) => {
      const ours = await pastAfter(past(), before)
      const next = reopenRounds(createRounds(rules, peers[2]!, { now: 0, ...recent }), {
        now: 0,
        ...(before.trunk === undefined ? {} : { trunk: before.trunk }),
        records: [...ours.records, ...theirs.slice(0, count)],
        contributions: [...ours.contributions, ...contributions.slice(0, 2 * count)]
      })
      return viewOf(next).moving?.cid ?? null
    }
    // 272 rounds of 50 tokens are ours after the fork, and a round of theirs has 100.
    for (const before of [{ earlier: [] }, fork]) {
      assert.equal(await movesTo(before, 135), null)
      assert.equal(await movesTo(before, 137), 'theirs 141')
    }
    const shown = (count: number) => ({
      contributions: contributions.slice(0, 2 * count).map(({ contribution }) => contribution),
      unseen: 0
    })
    assert.equal(await outweighs(past(), fork, shown(135), rules.maxTokensPerRound), true)
    assert.equal(await outweighs(past(), fork, shown(137), rules.maxTokensPerRound), false)
  })

  it('reads on where it stopped, and anew where its branch was left meanwhile', async () => {
    const upTo = (end: number) => ({ ...past(), ledger: ledgerOf(rounds.slice(0, end)) })
    for (const before of [undefined, await pastUpTo(past(), 2)]) {
      const [early, late] = [await pastAfter(upTo(5), before), await pastAfter(upTo(9), before)]
      reads.length = 0
      assert.deepEqual(await continuedPast(upTo(9), early), late)
      assert.equal(reads.length, 2 * 4)
    }
    const other = { ...past(), ledger: ledgerOf([{ ...rounds[0]!, record: rounds[3]!.record }]) }
    assert.deepEqual(
      (await continuedPast(other, await pastAfter(upTo(5)))).records.map(({ cid }) => cid),
      [rounds[3]!.record]
    )
  })

  it('goes back to the genesis while the run is young', async () => {
    const young = { ...past(), ledger: ledgerOf(rounds.slice(0, 5)) }
    const { trunk, records } = await recentPast(young)
    assert.equal(trunk, undefined)
    assert.equal(records.length, 5)
  })

  it("opens no block of its past for a stranger's branch that weighs nothing, and says of one that may weigh more that it may", async () => {
    const contribution = (peer: string, tokens: number): Contribution => {
      const facts = { run: RUN, round: 1, parent: RUN, steps: 1, loss: 2, codec: 'f32', norm: 1, body: ANCHOR }
      return { ...facts, peer, tokens }
    }
    const fork = await pastUpTo(past(), 4)
    const asks = (before: typeof fork, contributions: Contribution[], unseen = 0) =>
      outweighs(past(), before, { contributions, unseen }, rules.maxTokensPerRound)
    assert.equal(await asks(fork, [contribution('stranger', 1e9)]), true)
    assert.equal(reads.length, 0)
    // 272 rounds of 50 tokens are ours after the fork.
    const accepted = (count: number) => Array.from({ length: count }, () => contribution(peers[0]!, 64))
    assert.equal(await asks(fork, accepted(ROUNDS - 5)), true)
    assert.equal(await asks(fork, accepted(ROUNDS - 4)), false, 'the rules choose')
    assert.equal(await asks(fork, [], ROUNDS - 4), false, 'they may be of anybody')
    // From the genesis only who is named in the manifest counts, and none of our authors is.
    assert.equal(await asks({ earlier: [] }, [contribution(peers[0]!, 64)]), false)
    assert.equal(await asks({ earlier: [] }, [contribution(peers[2]!, 64)]), false)
  })
})
