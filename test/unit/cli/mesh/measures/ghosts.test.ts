import assert from 'node:assert/strict'
import { Ghosts } from '../../../../../cli/mesh/measures/ghosts.ts'

describe('Ghosts', () => {
  it('keeps for each pair how long after its death one was listed', () => {
    const ghosts = new Ghosts()
    ghosts.died(3, 'c', 10_000)
    ghosts.saw({ index: 1, lists: ['b', 'c'] }, 9_000)
    ghosts.saw({ index: 1, lists: ['b', 'c'] }, 12_000)
    ghosts.saw({ index: 1, lists: ['b', 'c'] }, 15_500)
    ghosts.saw({ index: 2, lists: ['c', 'c'] }, 11_000)
    assert.deepEqual(ghosts.list(), [
      { of: 3, on: 1, seconds: 5.5, isListed: true },
      { of: 3, on: 2, seconds: 1, isListed: true }
    ])
  })

  it('says of which one the end was not seen', () => {
    const ghosts = new Ghosts()
    const listed = (): number[] => ghosts.list().flatMap(({ on, isListed }) => (isListed ? [on] : []))
    ghosts.died(3, 'c', 10_000)
    for (const index of [1, 2, 4]) ghosts.saw({ index, lists: ['c'] }, 10_000 + index)
    assert.deepEqual(listed(), [4, 2, 1])
    ghosts.saw({ index: 1, lists: ['b'] }, 12_000)
    assert.deepEqual(listed(), [4, 2])
    ghosts.died(2, 'b', 13_000)
    assert.deepEqual(listed(), [4])
    ghosts.returned('c')
    assert.deepEqual(listed(), [])
  })

  it('takes one that is back for no ghost', () => {
    const ghosts = new Ghosts()
    ghosts.died(3, 'c', 10_000)
    ghosts.returned('c')
    ghosts.saw({ index: 1, lists: ['c'] }, 60_000)
    assert.deepEqual(ghosts.list(), [])
  })
})
