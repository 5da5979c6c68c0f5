import assert from 'node:assert/strict'
import { AUTHOR_MESSAGES, DEAF_MS, GossipRates, type GossipSource, SOURCE_MESSAGES } from '../../../protocols/gossip-rates.ts'
import { Purses, StrangersPurses } from '../../../protocols/purses.ts'

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
  const BYTES = 300
  const accepted = (peer: string): GossipSource => ({ peer, strangerAt: null })
  /** Of the machine that its first letter names. */
  const stranger = (peer: string): GossipSource => ({ peer, strangerAt: peer })
  let rates: GossipRates
  beforeEach(() => {
    rates = new GossipRates(address => address[0]!)
  })

  it('let a mesh of a thousand speak through one neighbour, a stranger as well', () => {
    for (const source of [accepted('neighbour'), stranger('stranger')]) {
      for (let second = 0; second < 60; second++) {
        for (let n = 0; n < 450; n++) {
          const author = `${source.peer}-${(second * 450 + n) % 1_000}`
          assert.equal(rates.bring(source, BYTES, second * 1_000), null)
          assert.ok(rates.mayBeSaid(author, BYTES, second * 1_000))
          rates.wasNews(author, BYTES, second * 1_000)
        }
      }
    }
  })

  it('drop what a neighbour says beyond its own measure, and soon do not listen to it at all', () => {
    let looked = 0
    for (let n = 0; n < 10_000; n++) {
      const nowMs = n / 10
      if (rates.bring(accepted('flooder'), BYTES, nowMs) !== null) continue
      if (rates.mayBeSaid('flooder', BYTES, nowMs)) {
        looked += 1
        rates.wasNews('flooder', BYTES, nowMs)
      } else rates.saidTooMuch(accepted('flooder'), nowMs)
    }
    assert.ok(looked <= AUTHOR_MESSAGES.burst + AUTHOR_MESSAGES.perSecond + 1, `${looked}`)
    assert.ok(rates.isDeafTo('flooder', 1_000))
    assert.ok(!rates.isDeafTo('flooder', 1_000 + DEAF_MS))
    assert.equal(rates.bring(accepted('other'), BYTES, 1_000), null)
  })

  const lookedAt = (sources: GossipSource[]) => sources.filter(source => rates.bring(source, BYTES, 0) === null).length

  it('hold a source to its measure, and all strangers of one machine together to that of one', () => {
    assert.equal(lookedAt(Array(20_000).fill(accepted('source'))), SOURCE_MESSAGES.burst)
    assert.equal(lookedAt(Array.from({ length: 20_000 }, (_, n) => stranger(`m-${n % 64}`))), SOURCE_MESSAGES.burst)
    assert.ok(rates.isDeafTo('m-1', 0))
  })

  it('hold strangers of many machines to a measure that they share, whom they do not blame for it, and leave accepted peers theirs', () => {
    const crowd = Array.from({ length: 60_000 }, (_, n) => stranger(`${String.fromCharCode(0x100 + (n % 60))}`))
    const looked = lookedAt(crowd)
    assert.ok(looked > SOURCE_MESSAGES.burst && looked < 10 * SOURCE_MESSAGES.burst, `${looked}`)
    assert.equal(rates.bring(stranger('newcomer'), BYTES, 0), 'strangers')
    assert.ok(!rates.isDeafTo('newcomer', 0))
    assert.equal(rates.bring(accepted('member'), BYTES, 0), null)
  })

  it('let nobody empty the purse of another by playing its old messages again', () => {
    // Old ones are no news.
    for (let n = 0; n < 1_000; n++) {
      assert.equal(rates.bring(accepted('replayer'), BYTES, n), null)
      assert.ok(rates.mayBeSaid('honest', BYTES, n))
    }
    assert.ok(rates.mayBeSaid('honest', BYTES, 1_000))
  })
})
