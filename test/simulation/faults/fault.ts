// Harm that comes from outside: a machine, a disk, a line or a clock fails. What a node does wrong on purpose is a conduct, not a fault.
import type { Random } from '../random.ts'
import type { World } from '../world.ts'

export interface Fault {
  readonly name: string
  /** Does it to some of the world, for a time that it draws: `world.lasting` undoes it. False where there is nobody to whom it could be done now. */
  strike(world: World, random: Random): boolean
}
