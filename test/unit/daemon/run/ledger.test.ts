import assert from 'node:assert/strict'
import { type KeptRound, keptRoundOf, Ledger, type OwnContribution } from '../../../../daemon/run/ledger.ts'
import type { Contribution, RoundRecord } from '../../../../protocols/rounds/index.ts'
import { openStore, type Store } from '../../../../storage/index.ts'
import { temporaryHome } from '../../storage/temporary-home.ts'

const kept = (round: number, branch = 'a'): KeptRound => ({
  round,
  record: `record-${round}-${branch}`,
  parent: `record-${round - 1}-${branch}`,
  anchor: `anchor-${round}-${branch}`,
  closer: 'peer',
  contributors: [],
  contributions: [],
  seconds: 1,
  bytes: 1,
  adoptedAt: null,
  loss: null
})
const withAuthors = (round: number, peers: string[]): KeptRound => ({
  ...kept(round),
  contributions: peers.map(peer => ({ cid: `${round} of ${peer}`, body: 'body', peer, round, tokens: 1, age: 0 }))
})
const headOf = ({ record, round, anchor }: KeptRound) => ({ record, round, anchor })

describe('Ledger', () => {
  const home = temporaryHome()
  let store: Store
  let ledger: Ledger
  beforeEach(async () => {
    store = await openStore(home())
    ledger = new Ledger(store, 'run')
  })
  afterEach(async () => {
    await store.close()
  })

  it('adopt() keeps head and rounds together, newest first when read', async () => {
    await ledger.adopt(headOf(kept(1)), [kept(1)], 0)
    await ledger.adopt(headOf(kept(11)), [kept(2), kept(10), kept(11)], 1)
    assert.deepEqual(await ledger.head(), headOf(kept(11)))
    assert.deepEqual(
      (await ledger.rounds(3)).map(({ round }) => round),
      [11, 10, 2]
    )
    assert.deepEqual(await ledger.chain(2, 2), ['record-2-a', 'record-10-a'])
    const rows: KeptRound[] = []
    for await (const row of ledger.roundsFrom(2)) rows.push(row)
    assert.deepEqual(rows, [kept(2), kept(10), kept(11)])
  })

  it('adopt() forgets the rounds of a branch that was left and names them, also where the new one is shorter', async () => {
    await ledger.adopt(
      headOf(kept(4)),
      [1, 2, 3, 4].map(round => kept(round)),
      0
    )
    const left = await ledger.adopt(headOf(kept(3, 'b')), [kept(2, 'b'), kept(3, 'b')], 1)
    assert.deepEqual(
      [...left],
      [2, 3, 4].map(round => [round, `record-${round}-a`])
    )
    assert.deepEqual(await ledger.chain(1, 10), ['record-1-a', 'record-2-b', 'record-3-b'])
    assert.equal(await ledger.round(4), undefined)
  })

  it('adopt() leaves nothing where the disk had lost what it adopts again', async () => {
    await ledger.adopt(
      headOf(kept(4)),
      [1, 2, 3, 4].map(round => kept(round)),
      0
    )
    assert.deepEqual([...(await ledger.adopt(headOf(kept(3)), [kept(2), kept(3)], 1))], [[4, 'record-4-a']])
    assert.deepEqual(await ledger.chain(1, 10), ['record-1-a', 'record-2-a', 'record-3-a'])
  })

  it('learned() keeps rounds beyond the head that count for a start, and are not told as adopted', async () => {
    await ledger.adopt(headOf(kept(1)), [kept(1)], 0)
    await ledger.learned([kept(2), kept(3)])
    await assert.rejects(ledger.learned([kept(3)]), { code: 'bad_chain' })
    assert.deepEqual(await ledger.head(), headOf(kept(1)))
    assert.equal((await ledger.end())?.round, 3)
    assert.deepEqual([await ledger.chain(1, 10), (await ledger.rounds(10)).map(({ round }) => round)], [['record-1-a'], [1]])
    const known: number[] = []
    for await (const { round } of ledger.roundsFrom(1)) known.push(round)
    assert.deepEqual(known, [1, 2, 3])
    // Another record than what was learned is adopted.
    const left = await ledger.adopt(headOf(kept(2, 'b')), [kept(2, 'b')], 1)
    assert.deepEqual([...left.values()], ['record-2-a', 'record-3-a'])
    assert.deepEqual(await ledger.chain(1, 10), ['record-1-a', 'record-2-b'])
    await assert.rejects(ledger.learned([kept(3)]), { code: 'bad_chain' })
  })

  it('forgetLearned() tells what it forgets, newest first, and leaves what was adopted', async () => {
    const forgotten = async (round: number) => {
      const rounds: number[] = []
      for await (const row of ledger.forgetLearned(round)) rounds.push(row.round)
      return rounds
    }
    await ledger.adopt(headOf(kept(2)), [kept(1), kept(2)], 0)
    await ledger.learned([kept(3), kept(4), kept(5)])
    assert.deepEqual(await forgotten(4), [5])
    assert.deepEqual(await forgotten(1), [4, 3])
    assert.deepEqual([await ledger.head(), (await ledger.end())?.round], [headOf(kept(2)), 2])
  })

  it('sumUp() says who was accepted in stretches of rounds, so that their rows need not be read, until a fork leaves them', async () => {
    const rows = Array.from({ length: 2_100 }, (_, i) => withAuthors(i + 1, [`peer-${Math.floor(i / 100)}`]))
    await ledger.adopt(headOf(rows.at(-1)!), rows, 0)
    assert.deepEqual(await ledger.accepted(2_100), { authors: new Set(), to: 0 })
    await ledger.sumUp(2_048)
    await ledger.sumUp(2_048)
    const authors = (rounds: number) => new Set(Array.from({ length: Math.ceil(rounds / 100) }, (_, i) => `peer-${i}`))
    assert.deepEqual(await ledger.accepted(2_100), { authors: authors(2_048), to: 2_048 })
    assert.deepEqual(await ledger.accepted(2_047), { authors: authors(1_024), to: 1_024 })
    await ledger.adopt(headOf(kept(1_501, 'b')), [kept(1_501, 'b')], 1_500)
    assert.deepEqual(await ledger.accepted(2_100), { authors: authors(1_024), to: 1_024 })
    assert.equal((await ledger.names(2_100)).length, 1_501)
  })

  it('sumUp() ends a stretch early where a crowd was accepted', async () => {
    const crowd = (round: number) =>
      withAuthors(
        round,
        Array.from({ length: 1_024 }, (_, i) => `peer-${round}-${i}`)
      )
    await ledger.adopt(headOf(kept(9)), [1, 2, 3, 4, 5, 6, 7, 8, 9].map(crowd), 0)
    await ledger.sumUp(1_200)
    assert.equal((await ledger.accepted(9)).to, 8)
  })

  it('sumUp() names the records of a home that has no names yet', async () => {
    await ledger.adopt(headOf(kept(3)), [kept(1), kept(2), kept(3)], 0)
    for await (const [key] of store.records.table('names').entries()) await store.records.table('names').delete(key)
    assert.deepEqual(await ledger.chain(1, 10), [])
    await ledger.sumUp(0)
    assert.deepEqual(await ledger.chain(1, 10), ['record-1-a', 'record-2-a', 'record-3-a'])
  })

  it('keeps runs apart whose ids begin alike', async () => {
    await new Ledger(store, 'run2').adopt(headOf(kept(7)), [kept(7)], 6)
    assert.deepEqual(await ledger.rounds(10), [])
  })

  it('own() gives the newest contributions first, as they were last put', async () => {
    const own = (sequence: number): OwnContribution => ({
      sequence,
      round: sequence,
      parent: 'p',
      steps: 1,
      tokens: 1,
      loss: 1,
      cid: null,
      body: null,
      fate: 'made'
    })
    for (const sequence of [1, 9, 10]) await ledger.putOwn(own(sequence))
    await ledger.putOwn({ ...own(9), fate: 'included' })
    assert.deepEqual(
      (await ledger.own(2)).map(({ sequence, fate }) => [sequence, fate]),
      [
        [10, 'made'],
        [9, 'included']
      ]
    )
  })
})

describe('keptRoundOf()', () => {
  it('has the loss of the middle token, which no liar moves past what others say', () => {
    const lossOf = (...said: [loss: number, tokens: number][]) => {
      const contributions = said.map(([loss, tokens]) => ({ loss, tokens, round: 1, norm: 1, peer: '', body: '' }) as Contribution) // all that is read of it
      const record = { round: 1, contributions: said.map(() => '') } as Partial<RoundRecord> as RoundRecord
      return keptRoundOf({ cid: '', record }, contributions, { maxTokensPerRound: 100, bytes: 0, seconds: null }).loss
    }
    assert.equal(lossOf([3, 100]), 3)
    assert.equal(lossOf([4, 50], [3, 50]), 3.5)
    assert.equal(lossOf([4, 60], [3, 50]), 4)
    assert.equal(lossOf([2, 20], [4, 50], [3, 60]), 3)
    for (const lie of [1e308, -1e308]) assert.ok([2, 3].includes(lossOf([3, 90], [lie, 100], [2, 90])!))
    assert.equal(lossOf([1e308, 100_000], [3, 100], [3, 100]), 3, 'nor with tokens that count for no more than a full round')
  })
})
