import assert from 'node:assert/strict'
import { type KeptRound, Ledger, type OwnContribution } from '../../../../daemon/run/ledger.ts'
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
    await ledger.adopt(headOf(kept(1)), [kept(1)], null)
    await ledger.adopt(headOf(kept(11)), [kept(2), kept(10), kept(11)], null)
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
      null
    )
    const left = await ledger.adopt(headOf(kept(3, 'b')), [kept(2, 'b'), kept(3, 'b')], 1)
    assert.deepEqual(left, ['record-2-a', 'record-3-a', 'record-4-a'])
    assert.deepEqual(await ledger.chain(1, 10), ['record-1-a', 'record-2-b', 'record-3-b'])
    assert.equal(await ledger.round(4), undefined)
  })

  it('keeps runs apart whose ids begin alike', async () => {
    await new Ledger(store, 'run2').adopt(headOf(kept(7)), [kept(7)], null)
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
