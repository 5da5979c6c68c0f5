import assert from 'node:assert/strict'
import { lostContributions } from '../../../../../cli/mesh/measures/fates.ts'

describe('lostContributions()', () => {
  const row = (round: number, ...contributors: [string, number][]) => ({
    ...{ round, record: `r${round}`, anchor: `a${round}`, closer: 'a', seconds: 1, bytes: 1, adoptedAt: null, loss: 1 },
    contributors: contributors.map(([peer, age]) => ({ peer, tokens: 1, loss: 1, age }))
  })
  const rows = [row(1, ['a', 0]), row(2, ['a', 0], ['b', 1]), row(3, ['a', 0])]
  const node = (announced: number[], explained: number[] = []) => ({
    ...{ index: 2, peer: 'b' },
    announced: new Set(announced),
    explained: new Set(explained)
  })

  it('finds in its own round and late in the next what was told', () => {
    assert.deepEqual(lostContributions([node([1])], rows), [])
  })

  it('names what is in neither, unless its author said why', () => {
    assert.deepEqual(lostContributions([node([1, 2])], rows), [{ node: 2, round: 2 }])
    assert.deepEqual(lostContributions([node([1, 2], [2])], rows), [])
  })

  it('leaves open what the next record may still take', () => {
    assert.deepEqual(lostContributions([node([3, 4])], rows), [])
  })
})
