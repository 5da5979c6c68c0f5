// SIGSTOP, or a machine that sleeps: nothing runs, and what arrives waits.
import type { Fault } from './fault.ts'

export const pause: Fault = {
  name: 'pause',
  strike(world, random) {
    const node = world.anyUp(random)
    if (node === null) return false
    node.stop()
    world.lasting(random.between(1_000, 60_000), () => node.resume())
    return true
  }
}
