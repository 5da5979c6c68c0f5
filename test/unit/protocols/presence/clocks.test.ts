import assert from 'node:assert/strict'
import { compareClocks } from '../../../../protocols/presence/index.ts'

const DAY_MS = 86_400_000
const nobody = () => false

describe('compareClocks()', () => {
  it('has nothing to say to a node alone', () => {
    assert.deepEqual(compareClocks([], nobody), { ownAheadMs: null, ownWrong: false, wrongPeers: [] })
  })

  it('finds our own clock wrong when the others agree', () => {
    const report = compareClocks(
      [
        { peer: 'a', offsetMs: -DAY_MS },
        { peer: 'b', offsetMs: -DAY_MS + 20 }
      ],
      nobody
    )
    assert.equal(report.ownWrong, true)
    assert.ok(Math.abs(report.ownAheadMs! - DAY_MS) < 100)
    assert.deepEqual(report.wrongPeers, [])
  })

  it('finds the one peer whose clock is off', () => {
    const report = compareClocks(
      [
        { peer: 'a', offsetMs: 30 },
        { peer: 'b', offsetMs: DAY_MS },
        { peer: 'c', offsetMs: -40 }
      ],
      nobody
    )
    assert.equal(report.ownWrong, false)
    assert.deepEqual(
      report.wrongPeers.map(({ peer }) => peer),
      ['b']
    )
  })

  it('finds both of two that differ, and bears seconds', () => {
    assert.equal(compareClocks([{ peer: 'a', offsetMs: DAY_MS }], nobody).ownWrong, true)
    assert.equal(compareClocks([{ peer: 'a', offsetMs: DAY_MS }], nobody).wrongPeers.length, 1)
    assert.equal(compareClocks([{ peer: 'a', offsetMs: 30_000 }], nobody).ownWrong, false)
  })
  it('lets a crowd of strangers neither say what the time is nor fill the report, where somebody is accepted', () => {
    const crowd = Array.from({ length: 100 }, (_, n) => ({ peer: `stranger${n}`, offsetMs: DAY_MS }))
    const heard = [...crowd, { peer: 'member', offsetMs: 20 }]
    assert.deepEqual(
      compareClocks(heard, peer => peer === 'member'),
      { ownAheadMs: -10, ownWrong: false, wrongPeers: [] }
    )
    assert.equal(compareClocks(crowd, nobody).ownWrong, true, 'where nobody is, all count')
  })
})
