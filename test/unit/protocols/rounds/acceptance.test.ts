import assert from 'node:assert/strict'
import {
  acceptedBefore,
  advance,
  createRounds,
  electorateOf,
  hasAccepted,
  neededBy,
  type RoundsState,
  remembers
} from '../../../../protocols/rounds/index.ts'

const FOUNDERS = ['A', 'B', 'C']
const CROWD = Array.from({ length: 30 }, (_, n) => `P${String(n).padStart(2, '0')}`)

/** A node that has adopted rounds with these authors, one after the other. */
function adopted(...rounds: string[][]): RoundsState {
  const rules = { run: 'run', genesisAnchor: 'anchor', genesisPeers: FOUNDERS, admission: 'open' as const, quorum: 2 }
  const times = { deadlineMs: 20_000, graceMs: 3_000, fetchTimeoutMs: 10_000, maxTokensPerRound: 1_000 }
  const state = createRounds({ ...rules, ...times }, null, { now: 0 })
  let parent = 'run'
  rounds.forEach((authors, index) => {
    const round = index + 1
    const contributions = authors.map(peer => `${peer} ${round}`)
    for (const peer of authors) {
      const made = { tokens: 100, steps: 10, loss: 2, codec: 'f32', norm: 1, body: `body of ${peer} ${round}` }
      advance(state, { type: 'contribution', cid: `${peer} ${round}`, contribution: { run: 'run', round, parent, peer, ...made } }, 0)
      advance(state, { type: 'contributionHeld', cid: `${peer} ${round}` }, 0)
    }
    const record = { run: 'run', round, parent, contributions, anchor: `anchor ${round}`, closer: authors[0]! }
    advance(state, { type: 'record', cid: `r${round}`, record }, 0)
    advance(state, { type: 'recordComputed', cid: `r${round}`, anchor: record.anchor }, 0)
    parent = `r${round}`
  })
  assert.equal(state.head.cid, parent)
  return state
}

describe('acceptedBefore()', () => {
  it('tells of a round that is open or closed, and nothing of a later one', () => {
    const state = adopted(FOUNDERS, [...FOUNDERS, ...CROWD])
    assert.deepEqual(acceptedBefore(state, 2, 'P00'), { accepted: false, electorate: 3 })
    assert.deepEqual(acceptedBefore(state, 3, 'P00'), { accepted: true, electorate: 33 })
    assert.equal(acceptedBefore(state, 4, 'P00'), null)
  })
})

describe('hasAccepted()', () => {
  it('tells whose work is in the chain, and nothing of whom the manifest only names', () => {
    const state = adopted(['A', 'B'])
    assert.deepEqual([hasAccepted(state, 'A'), hasAccepted(state, 'C')], [true, false])
    assert.equal(acceptedBefore(state, 2, 'C')!.accepted, true)
  })
})

describe('electorateOf()', () => {
  const state = adopted(FOUNDERS, [...FOUNDERS, ...CROWD])

  it('weighs a word about an early round against those who are here now, so that the few who began a run are not many for ever', () => {
    assert.equal(electorateOf(state, 2, 'A', 128), 33)
    assert.equal(electorateOf(adopted(FOUNDERS, FOUNDERS), 2, 'A', 128), 3)
  })

  it('weighs it against those who were there, where fewer are now', () => {
    const rounds = [FOUNDERS, [...FOUNDERS, ...CROWD], ...Array.from({ length: 20 }, () => FOUNDERS)]
    const shrunk = adopted(...rounds)
    assert.equal(acceptedBefore(shrunk, rounds.length + 1, 'A')!.electorate, 3)
    assert.equal(electorateOf(shrunk, 3, 'A', 128), 33)
  })

  it('gives no voice to who was not accepted then, about a round that is not open yet, or one of long ago', () => {
    assert.equal(electorateOf(state, 2, 'P00', 128), null)
    assert.equal(electorateOf(state, 4, 'A', 128), null)
    assert.equal(electorateOf(state, 1, 'A', 0), null)
  })
})

describe('neededBy()', () => {
  it('names what a remembered record lists, though the contribution itself is forgotten, and nothing else', () => {
    const state = adopted(...Array.from({ length: 12 }, () => FOUNDERS))
    assert.equal(remembers(state, 'A 1'), false)
    assert.deepEqual(['A 1', 'r1', 'A 12', 'noise'].map(neededBy(state)), [true, true, true, false])
  })
})
