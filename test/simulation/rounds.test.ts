import assert from 'node:assert/strict'
import { World } from './world.ts'

describe('rounds in simulation', () => {
  it('a calm mesh closes round after round', () => {
    for (const nodes of [2, 3, 4, 8]) {
      const world = new World({ seed: 1, nodes })
      world.run(120_000)
      console.log(
        nodes,
        world.lowestRound(),
        world.highestRound(),
        Object.fromEntries(world.reports),
        world.nodes.map(n => n.forks)
      )
      assert.deepEqual(world.settle(30_000, 60_000), [])
    }
  })
})
