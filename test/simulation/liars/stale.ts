// Gives work for a round that is long over, or the same thing that it gave long ago.
import type { Contribution } from '../../../protocols/rounds/index.ts'
import type { Conduct } from '../conduct.ts'

/** For the round two before the open one. */
export const givingStale: Conduct = {
  forges: true,
  contribution({ disk }, honest) {
    const before = disk.records.get(honest.parent)?.record
    const long = before === undefined ? undefined : disk.records.get(before.parent)?.record
    return long === undefined ? honest : { ...honest, parent: long.parent, round: long.round }
  }
}

/** Its first, again and again. */
export const replaying: Conduct = {
  forges: true,
  contribution({ disk, peer }, honest): Contribution {
    for (const own of disk.contributions.values()) if (own.peer === peer) return own
    return honest
  }
}
