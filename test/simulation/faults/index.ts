// All faults that a big storm draws from. To add one: a file beside this, and a line here.
import { damagedDisk } from './damaged-disk.ts'
import { emptyDisk } from './empty-disk.ts'
import type { Fault } from './fault.ts'
import { fullDisk } from './full-disk.ts'
import { kill } from './kill.ts'
import { lossyLine, lossyLinks, slowLine, wrongClock } from './line.ts'
import { join, leave } from './membership.ts'
import { deafness, partition } from './partition.ts'
import { pause } from './pause.ts'

export const FAULTS: readonly Fault[] = [
  kill,
  emptyDisk,
  fullDisk,
  damagedDisk,
  pause,
  partition,
  deafness,
  slowLine,
  lossyLine,
  lossyLinks,
  wrongClock,
  join,
  leave
]
