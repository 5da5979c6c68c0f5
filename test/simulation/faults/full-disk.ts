// A disk without room: nothing that a node gets or makes can be written until somebody frees some.
import type { Fault } from './fault.ts'

export const fullDisk: Fault = {
  name: 'full disk',
  strike(world, random) {
    const node = world.anyUp(random)
    if (node === null || node.disk.full) return false
    const { disk } = node
    node.fill(true)
    world.lasting(random.between(5_000, 60_000), () => {
      // Another disk has room from the start.
      if (node.disk === disk) node.fill(false)
    })
    return true
  }
}
