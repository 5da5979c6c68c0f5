import assert from 'node:assert/strict'
import { contributionsOf, fateOf, type ToldContributions } from '../../../../../cli/mesh/measures/fates.ts'

const row = (round: number, ...contributors: [string, number][]) => ({
  ...{ round, record: `r${round}`, anchor: `a${round}`, closer: 'a', seconds: 1, bytes: 1, adoptedAt: null, loss: 1 },
  contributors: contributors.map(([peer, age]) => ({ peer, tokens: 1, loss: 1, age }))
})
const rows = [row(1, ['a', 0]), row(2, ['a', 0], ['b', 1]), row(3, ['a', 0])]

describe('contributionsOf()', () => {
  type Fate = NonNullable<ReturnType<typeof fateOf>>
  /** @param told CIDs such as b2 or b2', which are contributions to round 2. */
  const node = (told: Record<string, Fate>): ToldContributions => ({
    ...{ index: 2, peer: 'b' },
    contributions: new Map(Object.entries(told).map(([cid, fate]) => [cid, { round: Number(cid[1]), fate }]))
  })
  const lost = (told: Record<string, Fate>): string[] => contributionsOf([node(told)], rows).lost.map(({ cid }) => cid)

  it('finds in its own round and late in the next what was told', () => {
    assert.deepEqual(contributionsOf([node({ b1: 'open' })], rows), { offered: 1, lost: [] })
  })

  it('names what is in neither, unless its author has the work again', () => {
    assert.deepEqual(contributionsOf([node({ b1: 'open', b2: 'open' })], rows), {
      offered: 2,
      lost: [{ node: 2, round: 2, cid: 'b2', told: 'open' }]
    })
    assert.deepEqual(lost({ b2: 'kept' }), [])
  })

  it('takes neither one that was never put back nor one whose bytes are gone for explained, not even at the end', () => {
    assert.deepEqual(lost({ b2: 'lost', b4: 'lost', b3: 'gone' }), ['b2', 'b4', 'b3'])
  })

  it('lets two contributions to one round not cover each other', () => {
    assert.deepEqual(lost({ b2: 'kept', "b2'": 'open' }), ["b2'"])
    assert.deepEqual(lost({ b1: 'open', "b1'": 'open' }), ["b1'"], 'a record takes one')
    assert.deepEqual(lost({ b1: 'kept', "b1'": 'open' }), [])
  })

  it('leaves open what the next record may still take', () => {
    assert.deepEqual(lost({ b3: 'open', b4: 'open' }), [])
  })
})

describe('fateOf()', () => {
  it('tells work that is in the local model from work that is gone', () => {
    const event = (code: string, data: Record<string, unknown> = {}) => ({ id: 1, ts: '', type: 'run' as const, message: '', code, data })
    assert.deepEqual(
      [
        ...['offered', 'included', 'late', 'lost', 'restored', 'dropped'].map(fate => fateOf(event(`contribution_${fate}`))),
        fateOf(event('contribution_dropped', { isGone: true })),
        fateOf(event('contribution_dropped', { isGone: false })),
        fateOf(event('round_slow'))
      ],
      ['open', 'open', 'open', 'lost', 'kept', 'gone', 'gone', 'kept', undefined]
    )
  })
})
