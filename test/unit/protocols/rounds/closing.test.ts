import assert from 'node:assert/strict'
import {
  closingOrder,
  compareClosers,
  distinctAuthors,
  holdersNeeded,
  listFor,
  rankHash,
  turnsBefore
} from '../../../../protocols/rounds/closing.ts'
import { MAX_CONTRIBUTIONS_PER_RECORD } from '../../../../protocols/rounds/constants.ts'
import type { Part } from '../../../../protocols/rounds/index.ts'

const part = (peer: string, age: 0 | 1 = 0, cid = `c-${peer}-${age}`): Part => ({ cid, age, peer, tokens: 1 })

describe('rankHash()', () => {
  it('keeps its values: every seed and every mesh rests on them', () => {
    assert.equal(rankHash('run', 1, 'A'), '3ecffde3f3db401b5adde944b1df9ab65f45079602a6227affb06329923c5dc0')
  })
})

describe('closingOrder()', () => {
  it('puts the ranked first and the others behind them, each by hash, each once', () => {
    const ranked = ['A', 'B', 'C', 'D']
    const order = closingOrder('run', 7, new Set(ranked), ['X', 'B', 'Y', 'X'])
    assert.equal(order.length, 6)
    assert.deepEqual(new Set(order.slice(0, 4)), new Set(ranked))
    const hashes = order.map(peer => rankHash('run', 7, peer))
    assert.deepEqual(hashes.slice(0, 4), hashes.slice(0, 4).sort())
    assert.deepEqual(hashes.slice(4), hashes.slice(4).sort())
  })

  it('gives every node its turn as rounds go by', () => {
    const firsts = new Set(Array.from({ length: 60 }, (_, round) => closingOrder('run', round, new Set(['A', 'B', 'C', 'D']), [])[0]))
    assert.equal(firsts.size, 4)
  })
})

describe('compareClosers()', () => {
  it('agrees with the order in which they may close', () => {
    const ranked = ['A', 'B', 'C']
    const order = closingOrder('run', 3, new Set(ranked), ['X', 'Y'])
    assert.deepEqual(
      [...order].reverse().sort((a, b) => compareClosers('run', 3, new Set(ranked), a, b)),
      order
    )
    assert.equal(compareClosers('run', 3, new Set(ranked), 'A', 'A'), 0)
  })
})

describe('turnsBefore()', () => {
  const order = ['A', 'B', 'C', 'D']
  it('counts the live ahead only', () => {
    assert.equal(
      turnsBefore(order, 'D', true, () => true),
      3
    )
    assert.equal(
      turnsBefore(order, 'D', true, peer => (peer === 'B' ? null : true)),
      2
    )
    assert.equal(
      turnsBefore(order, 'A', true, () => true),
      0
    )
    assert.equal(
      turnsBefore(order, 'D', true, () => null),
      0
    )
  })
  it('lets those who train go before those who only look on', () => {
    assert.equal(
      turnsBefore(order, 'A', false, () => true),
      3
    )
    assert.equal(
      turnsBefore(order, 'C', true, peer => peer !== 'A'),
      1
    )
  })
})

describe('holdersNeeded()', () => {
  it('is two, or all if there are fewer', () => {
    assert.deepEqual([0, 1, 2, 3, 100].map(holdersNeeded), [1, 1, 2, 2, 2])
  })
})

describe('listFor()', () => {
  it('orders by author, then the older first', () => {
    const list = listFor([part('B'), part('A', 0), part('C'), part('A', 1)], () => true)
    assert.deepEqual(
      list.map(({ peer, age }) => `${peer}${age}`),
      ['A1', 'A0', 'B0', 'C0']
    )
    assert.equal(distinctAuthors(list), 3)
  })
  it('takes one contribution for an author and round, the lower CID', () => {
    const list = listFor([part('A', 0, 'c2'), part('A', 0, 'c1'), part('A', 0, 'c3')], () => true)
    assert.deepEqual(
      list.map(({ cid }) => cid),
      ['c1']
    )
  })
  it('is bounded, and leaves out strangers first', () => {
    const many = Array.from({ length: MAX_CONTRIBUTIONS_PER_RECORD + 100 }, (_, n) => part(`P${String(n).padStart(5, '0')}`))
    const known = new Set(many.slice(-200).map(({ peer }) => peer))
    const list = listFor(many, peer => known.has(peer))
    assert.equal(list.length, MAX_CONTRIBUTIONS_PER_RECORD)
    assert.equal(list.filter(({ peer }) => known.has(peer)).length, 200)
    assert.deepEqual(
      list.map(({ peer }) => peer),
      list.map(({ peer }) => peer).sort()
    )
  })
})
