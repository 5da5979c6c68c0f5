import assert from 'node:assert/strict'
import { RecentMap } from '../../../protocols/recent-map.ts'

describe('RecentMap', () => {
  it('holds so many at most, and forgets what was set longest ago', () => {
    const map = new RecentMap<string, number>(2)
    map.set('a', 1).set('b', 2).set('a', 3).set('c', 4)
    assert.deepEqual(
      [...map],
      [
        ['a', 3],
        ['c', 4]
      ]
    )
  })
})
