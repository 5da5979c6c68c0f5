// What a node has on disk: it survives a kill, but for what was not synced yet, and nothing survives an empty disk.
import type { Contribution, Fate, RoundRecord, RoundsStart } from '../../protocols/rounds/index.ts'
import type { Random } from './random.ts'

/** Chance that a body of somebody else is lost with the process that just wrote it. */
const UNSYNCED = 0.2

export class Disk {
  /** Virtual ms at which its node got it. */
  readonly since: number
  readonly records = new Map<string, { record: RoundRecord; ready: boolean; shown: boolean }>()
  readonly contributions = new Map<string, Contribution>()
  /** Contributions whose bodies are here whole, with their rounds. */
  readonly bodies = new Map<string, number>()
  /** Contributions of others that it has said it has, and that nothing took from it since: what is too old to be kept was not taken. */
  readonly acknowledged = new Set<string>()
  readonly anchors = new Map<string, number>([['genesis', 0]])
  readonly fates = new Map<string, Fate>()
  /** Rounds of branches that its node left which the rules did not watch any more: nobody told it that its work in them counts no more. */
  readonly untold: { first: number; last: number }[] = []
  /** It has no room: what is not here yet cannot be written. */
  full = false
  /** Bodies and anchors that went from it while a process relied on them. */
  readonly lost = new Set<string>()
  /** Steps of the trainer since its last snapshot. */
  steps = 0

  constructor(since = 0) {
    this.since = since
  }

  /** What others made and was not synced may go with the process. */
  crash(self: string, random: Random): void {
    this.lost.clear()
    for (const [cid, contribution] of this.contributions) {
      if (contribution.peer === self || !random.chance(UNSYNCED)) continue
      this.bodies.delete(cid)
      this.acknowledged.delete(cid)
    }
  }

  /** Bodies and anchors from before this round go. */
  forget(round: number): void {
    for (const shelf of [this.anchors, this.bodies]) for (const [name, of] of shelf) if (of < round) shelf.delete(name)
  }

  /** Some of the bodies and anchors, this share of them, do not match their names any more: whoever reads one finds that it is not here. */
  damage(share: number, random: Random): void {
    for (const shelf of [this.anchors, this.bodies])
      for (const name of shelf.keys()) {
        if (!random.chance(share)) continue
        shelf.delete(name)
        this.lost.add(name)
        this.acknowledged.delete(name)
      }
  }

  /** All that is here, as the rules are told it when they begin. */
  past(self: string, now: number): RoundsStart {
    return {
      now,
      records: [...this.records]
        .filter(([, { record, shown }]) => shown || record.closer !== self)
        .map(([cid, { record, ready }]) => ({ cid, record, ready }))
        .sort((a, b) => a.record.round - b.record.round),
      contributions: [...this.contributions].map(([cid, contribution]) => ({ cid, contribution, held: this.bodies.has(cid) }))
    }
  }
}
