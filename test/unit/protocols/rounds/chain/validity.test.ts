import assert from 'node:assert/strict'
import { genesisTree, plant, type TreeRecord } from '../../../../../protocols/rounds/chain/record-tree.ts'
import { ageAfter, checkContribution, checkRecord, type LookUp } from '../../../../../protocols/rounds/chain/validity.ts'
import type { Contribution, RoundRecord, RunRules } from '../../../../../protocols/rounds/index.ts'

const RULES: RunRules = {
  run: 'run',
  genesisAnchor: 'anchor0',
  genesisPeers: ['A', 'B'],
  admission: 'open',
  quorum: 2,
  deadlineMs: 1,
  graceMs: 1,
  fetchTimeoutMs: 1,
  maxTokensPerRound: 1_000
}

const made = (peer: string, round: number, parent: string, tokens = 10): Contribution => ({
  run: 'run',
  round,
  parent,
  peer,
  tokens,
  steps: 1,
  loss: 1,
  codec: 'f32',
  norm: 1,
  body: 'b'
})

describe('checkContribution()', () => {
  it('refuses other runs, peers that are not admitted and rounds that do not fit', () => {
    assert.equal(checkContribution(RULES, made('A', 1, 'run')), null)
    assert.equal(checkContribution(RULES, { ...made('A', 1, 'run'), run: 'other' }), 'wrong_run')
    assert.equal(checkContribution({ ...RULES, admission: ['B'] }, made('A', 1, 'run')), 'not_admitted')
    assert.equal(checkContribution({ ...RULES, admission: ['A'] }, made('A', 1, 'run')), null)
    assert.equal(checkContribution(RULES, made('A', 2, 'run')), 'wrong_round')
    assert.equal(checkContribution(RULES, made('A', 1, 'r1')), 'wrong_round')
  })
})

describe('admission by invitation', () => {
  const rules: RunRules = { ...RULES, admission: { inviters: ['I', 'J'], grantRounds: 16 } }
  const grant = { run: 'run', peer: 'X', inviter: 'J', untilRound: 20, bytes: new Uint8Array() }
  const by = (round: number, more: Partial<typeof grant> = {}) =>
    checkContribution(rules, { ...made('X', round, `r${round - 1}`), grant: { ...grant, ...more } })

  it("admits the manifest's own peers without a word, and others by a grant that reaches their round", () => {
    for (const peer of ['A', 'B', 'I', 'J']) assert.equal(checkContribution(rules, made(peer, 1, 'run')), null)
    assert.equal(checkContribution(rules, made('X', 5, 'r4')), 'not_admitted')
    assert.equal(by(20), null)
    assert.equal(by(4), null)
    assert.equal(by(21), 'not_admitted')
  })

  it('refuses grants of another run, for another peer, by somebody who may not, and those that reach too far', () => {
    assert.equal(by(20, { run: 'other' }), 'not_admitted')
    assert.equal(by(20, { peer: 'Y' }), 'not_admitted')
    assert.equal(by(20, { inviter: 'X' }), 'not_admitted')
    assert.equal(by(3), 'not_admitted')
    assert.equal(checkContribution({ ...RULES, admission: ['A'] }, { ...made('X', 20, 'r19'), grant }), 'not_admitted')
  })
})

describe('what a contribution claims', () => {
  const rules = { ...RULES, tokensPerStep: 64, maxSteps: 50 }
  const claim = (steps: number, tokens: number) => checkContribution(rules, { ...made('A', 1, 'run', tokens), steps })

  it('is refused where its tokens are not those of its steps, or its steps more than the run allows', () => {
    assert.equal(claim(50, 3200), null)
    assert.equal(claim(1, 64), null)
    assert.equal(claim(50, 3201), 'tokens_mismatch')
    assert.equal(claim(1, 3200), 'tokens_mismatch')
    assert.equal(claim(51, 3264), 'too_many_steps')
  })

  it('is not looked at where the rules name no numbers', () => {
    assert.equal(checkContribution(RULES, made('A', 1, 'run', 999_999)), null)
  })
})

describe('checkRecord()', () => {
  const known: { [cid: string]: Contribution } = {
    a1: made('A', 1, 'run'),
    b1: made('B', 1, 'run', 5_000),
    c1: made('C', 1, 'run'),
    a2: made('A', 2, 'r1'),
    b2: made('B', 2, 'r1'),
    "b2'": made('B', 2, 'r1', 11),
    x2: made('X', 2, 'elsewhere'),
    w2: { ...made('W', 2, 'r1'), run: 'other' }
  }
  const lookUp: LookUp = cid => (cid === 'bad' ? { refused: 'non_finite' } : cid in known ? { contribution: known[cid]! } : undefined)
  let genesis: TreeRecord
  let parent: TreeRecord
  const record = (round: number, parentCid: string, closer: string, ...contributions: string[]): RoundRecord => ({
    run: 'run',
    round,
    parent: parentCid,
    contributions,
    anchor: 'x',
    closer
  })
  beforeEach(() => {
    const tree = genesisTree('run', 'anchor0', RULES.genesisPeers)
    genesis = tree.root
    parent = plant(tree, genesis, 'r1', record(1, 'run', 'A', 'a1', 'b1'), 0)
    parent.status = 'valid'
    parent.parts = [
      { cid: 'a1', age: 0, peer: 'A', tokens: 10 },
      { cid: 'b1', age: 0, peer: 'B', tokens: 1_000 }
    ]
    parent.recent = [
      ['A', 'B'],
      ['A', 'B']
    ]
  })
  const second = (closer: string, ...cids: string[]): ReturnType<typeof checkRecord> =>
    checkRecord(RULES, parent, record(2, 'r1', closer, ...cids), lookUp)

  it('gives the parts with ages and bounded tokens', () => {
    assert.deepEqual(checkRecord(RULES, genesis, record(1, 'run', 'A', 'a1', 'b1'), lookUp), { parts: parent.parts })
  })

  it('takes late contributions with age 1 when the parent left them out', () => {
    assert.deepEqual(second('A', 'a2', 'c1'), {
      parts: [
        { cid: 'a2', age: 0, peer: 'A', tokens: 10 },
        { cid: 'c1', age: 1, peer: 'C', tokens: 10 }
      ]
    })
  })

  it('refuses what the parent has already, or has another one for', () => {
    assert.deepEqual(second('A', 'a1', 'b2'), { reason: 'bad_contribution' })
    known["a1'"] = made('A', 1, 'run', 12)
    assert.deepEqual(second('A', "a1'", 'b2'), { reason: 'bad_contribution' })
  })

  it('names the envelopes that are missing', () => {
    assert.deepEqual(second('A', 'a2', 'nowhere', 'elsewhere'), { missing: ['nowhere', 'elsewhere'] })
  })

  it('refuses each thing that is wrong by content, under its own code', () => {
    assert.deepEqual(checkRecord(RULES, parent, { ...record(2, 'r1', 'A', 'a2', 'b2'), run: 'other' }, lookUp), { reason: 'wrong_run' })
    assert.deepEqual(checkRecord(RULES, parent, record(3, 'r1', 'A', 'a2', 'b2'), lookUp), { reason: 'wrong_round' })
    assert.deepEqual(checkRecord({ ...RULES, admission: ['B', 'C'] }, parent, record(2, 'r1', 'A', 'b2'), lookUp), {
      reason: 'not_admitted'
    })
    assert.deepEqual(second('A', 'b2', 'a2'), { reason: 'wrong_order' })
    assert.deepEqual(second('A', 'a2', 'b2', "b2'"), { reason: 'wrong_order' })
    assert.deepEqual(second('A', 'a2', 'x2'), { reason: 'bad_contribution' })
    assert.deepEqual(second('A', 'a2', 'w2'), { reason: 'bad_contribution' })
    assert.deepEqual(second('A', 'a2', 'bad'), { reason: 'bad_contribution' })
    assert.deepEqual(second('A', 'a2'), { reason: 'below_quorum' })
    assert.deepEqual(second('X', 'a2', 'b2'), { reason: 'closer_unranked' })
  })

  it('lets a stranger close a record that it is part of', () => {
    assert.ok('parts' in second('C', 'a2', 'c1'))
  })

  it('ageAfter() has no place for what was made elsewhere, too early or too late', () => {
    assert.equal(ageAfter(parent, made('X', 3, 'r1')), null)
    assert.equal(ageAfter(parent, made('X', 1, 'r1')), null)
    assert.equal(ageAfter(parent, made('X', 3, 'r2')), null)
    assert.equal(ageAfter(genesis, made('X', 1, 'run')), 0)
    assert.equal(ageAfter(genesis, made('X', 0, '')), null)
  })
})
