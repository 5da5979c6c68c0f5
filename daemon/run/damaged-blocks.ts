// Blocks that were damaged on disk and moved aside: fetched again from whoever has them, now and for as long as nobody gave them.
import { reasonOf } from '../errors.ts'
import type { EventLog } from '../events.ts'

/** Damaged blocks remembered at once; a disk that damages more is beyond repair by fetching. */
const DAMAGED_MAX = 1024

export interface DamagedBlocksComponents {
  /** Gets a block into the store; rejects where nobody gave it. */
  fetch(cid: string): Promise<unknown>
  events: Pick<EventLog, 'emit'>
}

/** Whoever needs such a block meanwhile tries again by its own rule, and finds it here. */
export class DamagedBlocks {
  readonly #components: DamagedBlocksComponents
  /** By CID, whether it was said that nobody gives it. */
  readonly #wanted = new Map<string, boolean>()
  #repairing: Promise<void> | null = null

  constructor(components: DamagedBlocksComponents) {
    this.#components = components
  }

  /** Notes a damaged block and asks for it at once. */
  found(cid: string): void {
    if (this.#wanted.size < DAMAGED_MAX) this.#wanted.set(cid, false)
    void this.repair()
  }

  /** Asks for what is still missing; for when somebody came who may have it. Never rejects. */
  repair(): Promise<void> {
    this.#repairing ??= this.#repair().finally(() => {
      this.#repairing = null
    })
    return this.#repairing
  }

  async #repair(): Promise<void> {
    const { fetch, events } = this.#components
    // A map that grows while it is walked is walked to its end.
    for (const [cid, said] of this.#wanted) {
      try {
        await fetch(cid)
        this.#wanted.delete(cid)
        const message = `block ${cid} was fetched again and is whole`
        events.emit({ type: 'health', code: 'block_repaired', message, data: { level: 'ok', cid } })
      } catch (error) {
        this.#wanted.set(cid, true)
        if (said) continue
        const message = `block ${cid} could not be fetched again yet: ${reasonOf(error)}`
        events.emit({ type: 'health', code: 'block_not_repaired', message, data: { level: 'warn', cid } })
      }
    }
  }
}
