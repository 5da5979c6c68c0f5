import assert from 'node:assert/strict'
import { MAX_STANDINGS } from '../../../../protocols/blocks/constants.ts'
import { Standings } from '../../../../protocols/blocks/standings.ts'

describe('Standings', () => {
  it('puts who gave blocks first, who held a place up after those we do not know, and liars last', () => {
    const standings = new Standings()
    standings.note('slow', 'slow')
    standings.note('liar', 'liar')
    standings.note('good', 'good')
    assert.deepEqual(standings.sorted(['liar', 'slow', 'new', 'good']), ['good', 'new', 'slow', 'liar'])
  })

  it('puts who said that they have it before all that behaved as well, and none that did not', () => {
    const standings = new Standings()
    standings.note('slow', 'slow')
    standings.note('good', 'good')
    assert.deepEqual(standings.sorted(['slow', 'new', 'good', 'named'], ['named', 'slow']), ['named', 'good', 'new', 'slow'])
  })

  it('lets one block not make good for a lie or a place held up', () => {
    const standings = new Standings()
    standings.note('good', 'good')
    standings.note('good', 'slow')
    standings.note('good', 'good')
    assert.equal(standings.of('good'), 'slow')
    standings.note('good', 'liar')
    assert.equal(standings.of('good'), 'liar')
  })

  it('draws lots among equals, so that nobody gains by having announced first', () => {
    const standings = new Standings()
    const firsts = new Set(Array.from({ length: 200 }, () => standings.sorted(['a', 'b', 'c'])[0]))
    assert.equal(firsts.size, 3)
  })

  it('forgets the oldest where ids without number behave badly', () => {
    const standings = new Standings()
    for (let n = 0; n <= MAX_STANDINGS; n++) standings.note(`liar ${n}`, 'liar')
    assert.equal(standings.of('liar 0'), 'unknown')
    assert.equal(standings.of('liar 1'), 'liar')
  })
})
