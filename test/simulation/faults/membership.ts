// People come and go.
import type { Fault } from './fault.ts'

export const join: Fault = {
  name: 'join',
  strike(world) {
    if (world.nodes.length >= 1.25 * world.options.nodes) return false
    world.add()
    return true
  }
}

/** For good. */
export const leave: Fault = {
  name: 'leave',
  strike(world, random) {
    const staying = world.nodes.filter(node => !node.left)
    if (staying.length <= 0.8 * world.options.nodes) return false
    random.pick(staying).leave()
    return true
  }
}
