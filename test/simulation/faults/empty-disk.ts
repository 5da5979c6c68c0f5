// The machine comes back with a new disk: the identity lives on, and nothing else.
import type { Fault } from './fault.ts'

export const emptyDisk: Fault = {
  name: 'empty disk',
  strike(world, random) {
    const node = world.anyUp(random)
    if (node === null) return false
    node.kill()
    node.renewDisk()
    world.lasting(random.between(500, 20_000), () => node.start())
    return true
  }
}
