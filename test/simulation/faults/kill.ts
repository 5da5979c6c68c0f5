// SIGKILL, and a new process after a while, on the same disk.
import type { Fault } from './fault.ts'

export const kill: Fault = {
  name: 'kill',
  strike(world, random) {
    const node = world.anyUp(random)
    if (node === null) return false
    node.kill()
    world.lasting(random.between(500, 40_000), () => node.start())
    return true
  }
}
