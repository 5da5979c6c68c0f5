import assert from 'node:assert/strict'
import { createStorm, nextVictims } from '../../../../../cli/mesh/faults/storm.ts'
import type { Storm } from '../../../../../cli/mesh/steps.ts'

const STORM: Storm = {
  ...{ everyMs: 1, forMs: 1, restartAfterMs: 1, back: 'either', seed: 7, spare: [1, 2] },
  kills: { least: 1, most: 3 }
}

describe('a storm', () => {
  const blows = (storm: Storm, alive: number[], times: number) => {
    let state = createStorm(storm)
    return Array.from({ length: times }, () => {
      const next = nextVictims(storm, state, alive)
      state = next.state
      return next.victims
    })
  }

  it('is the same for the same seed and another for another', () => {
    const alive = [1, 2, 3, 4, 5, 6, 7, 8]
    assert.deepEqual(blows(STORM, alive, 20), blows(STORM, alive.toReversed(), 20))
    assert.notDeepEqual(blows(STORM, alive, 20), blows({ ...STORM, seed: 8 }, alive, 20))
  })

  it('kills as many as it may, none twice, and spares whom it is to spare', () => {
    const all = blows(STORM, [1, 2, 3, 4, 5, 6, 7, 8], 200)
    assert.deepEqual([...new Set(all.map(victims => victims.length))].sort(), [1, 2, 3])
    for (const victims of all) assert.equal(new Set(victims.map(({ node }) => node)).size, victims.length)
    assert.deepEqual([...new Set(all.flat().map(({ node }) => node))].sort(), [3, 4, 5, 6, 7, 8])
    assert.deepEqual(new Set(all.flat().map(({ replaced }) => replaced)).size, 2)
  })

  it('leaves one node alive', () => {
    assert.deepEqual(blows({ ...STORM, spare: [] }, [5], 5).flat(), [])
    assert.equal(blows({ ...STORM, spare: [], kills: { least: 3, most: 3 } }, [5, 6], 1)[0]!.length, 1)
  })
})
