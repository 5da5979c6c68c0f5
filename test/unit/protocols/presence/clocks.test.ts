import assert from 'node:assert/strict'
import { compareClocks } from '../../../../protocols/presence/index.ts'

const DAY_MS = 86_400_000

describe('compareClocks()', () => {
  it('has nothing to say to a node alone', () => {
    assert.deepEqual(compareClocks([]), { ownAheadMs: null, ownWrong: false, wrongPeers: [] })
  })

  it('finds our own clock wrong when the others agree', () => {
    const report = compareClocks([
      { peer: 'a', offsetMs: -DAY_MS },
      { peer: 'b', offsetMs: -DAY_MS + 20 }
    ])
    assert.equal(report.ownWrong, true)
    assert.ok(Math.abs(report.ownAheadMs! - DAY_MS) < 100)
    assert.deepEqual(report.wrongPeers, [])
  })

  it('finds the one peer whose clock is off', () => {
    const report = compareClocks([
      { peer: 'a', offsetMs: 30 },
      { peer: 'b', offsetMs: DAY_MS },
      { peer: 'c', offsetMs: -40 }
    ])
    assert.equal(report.ownWrong, false)
    assert.deepEqual(
      report.wrongPeers.map(({ peer }) => peer),
      ['b']
    )
  })

  it('finds both of two that differ, and bears seconds', () => {
    assert.equal(compareClocks([{ peer: 'a', offsetMs: DAY_MS }]).ownWrong, true)
    assert.equal(compareClocks([{ peer: 'a', offsetMs: DAY_MS }]).wrongPeers.length, 1)
    assert.equal(compareClocks([{ peer: 'a', offsetMs: 30_000 }]).ownWrong, false)
  })
})
