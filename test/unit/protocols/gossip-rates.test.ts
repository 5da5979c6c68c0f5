import assert from 'node:assert/strict'
import { AUTHOR_MESSAGES, DEAF_MS, GossipRates, SOURCE_MESSAGES } from '../../../protocols/gossip-rates.ts'
import { Purses, StrangersPurses } from '../../../protocols/purses.ts'

const message = (source: string, author = source, bytes = 300) => ({ source, author, bytes })

describe('Purses', () => {
  it('hold a burst, and refill by the second', () => {
    const purses = new Purses({ perSecond: 10, burst: 5 })
    for (let i = 0; i < 5; i++) purses.pay('a', 1, 0)
    assert.deepEqual([purses.has('a', 1, 0), purses.has('b', 5, 0), purses.has('b', 6, 0)], [false, true, false])
    assert.deepEqual(
      [purses.has('a', 1, 90), purses.has('a', 1, 110), purses.has('a', 5, 60_000), purses.has('a', 6, 60_000)],
      [false, true, true, false]
    )
  })

  it('say how long a debt lasts', () => {
    const purses = new Purses({ perSecond: 10, burst: 5 })
    purses.pay('a', 8, 0)
    assert.deepEqual([purses.debtMs('a', 0), purses.debtMs('a', 100), purses.debtMs('a', 300), purses.debtMs('b', 0)], [300, 200, 0, 0])
  })

  it('lose nothing to a clock that goes back', () => {
    const purses = new Purses({ perSecond: 1, burst: 2 })
    purses.pay('a', 1, 1_000)
    assert.ok(purses.has('a', 1, 0))
  })
})

describe('StrangersPurses', () => {
  it('bound what one machine draws, with however many addresses of it, and what all draw together', () => {
    const strangers = new StrangersPurses({ all: { perSecond: 10, burst: 10 }, origin: { perSecond: 4, burst: 4 } }, address => address[0]!)
    const paid: string[] = []
    for (const address of ['a1', 'a2', 'a3', 'b1', 'c1', 'd1']) {
      const purses = strangers.of(address)
      if (!purses.every(purse => purse.has(3, 0))) continue
      for (const purse of purses) purse.pay(3, 0)
      paid.push(address)
    }
    assert.deepEqual(paid, ['a1', 'b1', 'c1'])
    const debts = (address: string) => strangers.of(address).map(purse => purse.debtMs(0))
    const [origin] = strangers.of('a1')
    origin!.pay(5, 0)
    assert.deepEqual(
      [debts('a2'), debts('b1')],
      [
        [1_000, 0],
        [0, 0]
      ]
    )
  })
})

describe('the rates of gossip', () => {
  it('let a mesh of a thousand speak through one neighbour', () => {
    const rates = new GossipRates()
    for (let second = 0; second < 60; second++) {
      for (let n = 0; n < 450; n++) {
        const said = message('neighbour', `author-${(second * 450 + n) % 1_000}`)
        assert.equal(rates.take(said, second * 1_000), null)
        rates.wasNews(said, second * 1_000)
      }
    }
  })

  it('drop what a neighbour says beyond its own measure, and soon do not listen to it at all', () => {
    const rates = new GossipRates()
    let looked = 0
    for (let n = 0; n < 10_000; n++) {
      const said = message('flooder')
      if (rates.take(said, n / 10) === null) {
        looked += 1
        rates.wasNews(said, n / 10)
      }
    }
    assert.ok(looked <= AUTHOR_MESSAGES.burst + AUTHOR_MESSAGES.perSecond + 1, `${looked}`)
    assert.ok(rates.isDeafTo('flooder', 1_000))
    assert.ok(!rates.isDeafTo('flooder', 1_000 + DEAF_MS))
    assert.equal(rates.take(message('other'), 1_000), null)
  })

  it('hold a source to its measure under however many names it signs', () => {
    const rates = new GossipRates()
    let looked = 0
    for (let n = 0; n < 20_000; n++) if (rates.take(message('source', `name-${n}`), 0) === null) looked += 1
    assert.equal(looked, SOURCE_MESSAGES.burst)
  })

  it('let nobody empty the purse of another by playing its old messages again', () => {
    const rates = new GossipRates()
    // Old ones are no news.
    for (let n = 0; n < 1_000; n++) rates.take(message('replayer', 'honest'), n)
    assert.equal(rates.take(message('honest'), 1_000), null)
  })
})
