// Bytes on a disk go bad while a process relies on them: blocks are verified whenever they are read, so those are as good as gone.
import type { Fault } from './fault.ts'

export const damagedDisk: Fault = {
  name: 'damaged disk',
  strike(world, random) {
    const node = world.anyUp(random)
    if (node === null) return false
    node.disk.damage(random.between(0.1, 1), random)
    return true
  }
}
