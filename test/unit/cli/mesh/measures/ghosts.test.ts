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
      { of: 3, on: 1, seconds: 5.5 },
      { of: 3, on: 2, seconds: 1 }
    ])
  })

  it('takes one that is back for no ghost', () => {
    const ghosts = new Ghosts()
    ghosts.died(3, 'c', 10_000)
    ghosts.returned('c')
    ghosts.saw({ index: 1, lists: ['c'] }, 60_000)
    assert.deepEqual(ghosts.list(), [])
  })
})
