import assert from 'node:assert/strict'
import { CHECKS_AT_ONCE, CheckTurns, STRANGERS_CHECKED_AT_ONCE } from '../../../../daemon/run/check-turns.ts'
import { advance, type Contribution, createRounds, type RoundEvent, type RoundsState } from '../../../../protocols/rounds/index.ts'

const AUTHORS = Array.from({ length: CHECKS_AT_ONCE }, (_, i) => `author ${i}`)
const RULES = {
  ...{ run: 'run', genesisAnchor: 'anchor 0', genesisPeers: AUTHORS, admission: 'open' as const, quorum: 1, maxTokensPerRound: 1_000 },
  ...{ deadlineMs: 20_000, graceMs: 3_000, fetchTimeoutMs: 10_000 }
}
const DUE = 60_000

describe('CheckTurns', () => {
  let rounds: RoundsState
  let turns: CheckTurns
  let stopping: AbortController
  let begun: string[]
  let strangers: string[]
  let ends: Map<string, () => void>
  beforeEach(() => {
    rounds = createRounds(RULES, null, { now: 0 })
    stopping = new AbortController()
    turns = new CheckTurns(() => rounds, stopping.signal)
    begun = []
    strangers = []
    ends = new Map()
  })

  const tell = (event: RoundEvent, now = 0): void => {
    rounds = advance(rounds, event, now).state
  }
  /** Hears a contribution, which has its author's name, and would check it until `end`. */
  function hear(peer: string): Promise<void> {
    const about = { run: 'run', round: 1, parent: 'run', peer, tokens: 100, steps: 10, loss: 2, codec: 'f32', norm: 1, body: 'body' }
    tell({ type: 'contribution', cid: peer, contribution: about satisfies Contribution })
    return turns.run(peer, peer, isStrangers => {
      begun.push(peer)
      if (isStrangers) strangers.push(peer)
      return new Promise(resolve => ends.set(peer, resolve))
    })
  }
  /** Ends a check, and gives those that it made room for. */
  async function end(peer: string): Promise<string[]> {
    const before = begun.length
    ends.get(peer)!()
    await new Promise(setImmediate)
    return begun.slice(before)
  }
  const crowd = Array.from({ length: 10 }, (_, i) => `stranger ${i}`)

  it('begins few of many strangers’ at a time, in the order in which they came', async () => {
    for (const peer of crowd) void hear(peer)
    assert.deepEqual(begun, crowd.slice(0, STRANGERS_CHECKED_AT_ONCE))
    for (const [i, peer] of crowd.entries())
      assert.deepEqual(await end(peer), crowd.slice(i).slice(STRANGERS_CHECKED_AT_ONCE, STRANGERS_CHECKED_AT_ONCE + 1))
    assert.deepEqual(strangers, crowd)
  })

  it('has a place for an author beside any number of strangers, and lets those in before these', async () => {
    for (const peer of [...crowd, ...AUTHORS]) void hear(peer)
    const free = CHECKS_AT_ONCE - STRANGERS_CHECKED_AT_ONCE
    assert.deepEqual(begun.slice(STRANGERS_CHECKED_AT_ONCE), AUTHORS.slice(0, free))
    for (const [i, peer] of crowd.slice(0, STRANGERS_CHECKED_AT_ONCE).entries()) assert.deepEqual(await end(peer), [AUTHORS[free + i]])
    assert.deepEqual(await end(AUTHORS[0]!), [])
    for (const peer of AUTHORS.slice(1)) await end(peer)
    assert.equal(begun.length, CHECKS_AT_ONCE + 2 * STRANGERS_CHECKED_AT_ONCE)
    assert.deepEqual(strangers, crowd.slice(0, 2 * STRANGERS_CHECKED_AT_ONCE))
  })

  it('lets in first what a record on the way to the next head lists', async () => {
    for (const peer of crowd) void hear(peer)
    const record = { run: 'run', round: 1, parent: 'run', contributions: [crowd[8]!], anchor: 'anchor 1', closer: AUTHORS[0]! }
    tell({ type: 'record', cid: 'record', record }, DUE)
    assert.deepEqual(await end(crowd[0]!), [crowd[8]])
    assert.ok(!strangers.includes(crowd[8]!))
  })

  it('checks nothing that the rules have forgotten when its turn comes', async () => {
    const runs = crowd.map(hear)
    tell({ type: 'contributionRefused', cid: crowd[5]!, reason: 'non_finite' })
    assert.deepEqual(await end(crowd[0]!), [crowd[4]])
    await runs[5]
    assert.deepEqual(await end(crowd[1]!), [crowd[6]])
  })

  it('sends all away that wait when the run is left, and whoever comes later', async () => {
    const runs = [...crowd, ...AUTHORS].map(hear)
    const checked = begun.length
    stopping.abort()
    void hear('late')
    for (const peer of [...begun]) assert.deepEqual(await end(peer), [])
    await Promise.all(runs)
    assert.equal(begun.length, checked)
  })

  it('gives the place of a check that fails to the next', async () => {
    const failing = crowd.slice(0, STRANGERS_CHECKED_AT_ONCE).map(peer => turns.run(peer, peer, () => Promise.reject(new Error('gone'))))
    void hear(crowd[5]!)
    for (const run of failing) await assert.rejects(run, /gone/)
    assert.deepEqual(begun, [crowd[5]])
  })
})
