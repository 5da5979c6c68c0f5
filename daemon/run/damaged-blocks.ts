// Blocks that were damaged on disk and moved aside: fetched again from whoever has them, now and for as long as nobody gave them.
import { reasonOf } from '../errors.ts'
import type { EventLog } from '../events.ts'

/** Damaged blocks remembered at once; a disk that damages more is beyond repair by fetching. */
const DAMAGED_MAX = 1024
/** Asked for at once: each may take the whole time of a fetch. */
const AT_ONCE = 4
/** What nobody gave for so long, in ms, nobody has. */
const GIVE_UP_MS = 24 * 60 * 60_000

export interface DamagedBlocksComponents {
  /** Gets a block into the store; rejects where nobody gave it. */
  fetch(cid: string): Promise<unknown>
  events: Pick<EventLog, 'emit'>
  /** Monotonic ms. */
  now?: () => number
}

interface Damaged {
  sinceMs: number
  /** It was said that nobody gives it. */
  said: boolean
}

/** Whoever needs such a block meanwhile tries again by its own rule, and finds it here. */
export class DamagedBlocks {
  readonly #fetch: DamagedBlocksComponents['fetch']
  readonly #events: DamagedBlocksComponents['events']
  readonly #now: () => number
  /** By CID, in the order in which they were found. */
  readonly #wanted = new Map<string, Damaged>()
  /** To be asked for in this turn, the newest last. */
  #turn: string[] = []
  #asking = 0
  #turnEnds = Promise.withResolvers<void>()
  #crowdedOut = false

  constructor({ fetch, events, now = () => performance.now() }: DamagedBlocksComponents) {
    this.#fetch = fetch
    this.#events = events
    this.#now = now
  }

  /** Notes a damaged block and asks for it before all others. */
  found(cid: string): void {
    if (this.#wanted.has(cid)) return
    if (this.#wanted.size >= DAMAGED_MAX) this.#dropOldest()
    this.#wanted.set(cid, { sinceMs: this.#now(), said: false })
    this.#turn.push(cid)
    this.#ask()
  }

  /** It is needed no more. */
  forget(cid: string): void {
    this.#wanted.delete(cid)
  }

  /** Asks for what is still missing, the newest first; for when somebody came who may have it. Never rejects. */
  repair(): Promise<void> {
    if (this.#asking === 0) {
      if (this.#wanted.size === 0) return Promise.resolve()
      this.#turn = [...this.#wanted.keys()]
      this.#ask()
    }
    return this.#turnEnds.promise
  }

  #ask(): void {
    while (this.#asking < AT_ONCE) {
      const cid = this.#turn.pop()
      if (cid === undefined) break
      const damaged = this.#wanted.get(cid)
      if (damaged === undefined) continue
      this.#asking++
      void this.#repair(cid, damaged).finally(() => {
        this.#asking--
        this.#ask()
      })
    }
    if (this.#asking > 0) return
    this.#turnEnds.resolve()
    this.#turnEnds = Promise.withResolvers()
  }

  async #repair(cid: string, damaged: Damaged): Promise<void> {
    try {
      await this.#fetch(cid)
      this.#drop(cid)
      const message = `block ${cid} was fetched again and is whole`
      this.#events.emit({ type: 'health', code: 'block_repaired', message, data: { level: 'ok', cid } })
    } catch (error) {
      if (this.#now() - damaged.sinceMs >= GIVE_UP_MS) {
        this.#drop(cid)
        this.#tell(cid, `block ${cid} is given up: nobody gave it for a day`)
      } else if (!damaged.said) {
        damaged.said = true
        this.#tell(cid, `block ${cid} could not be fetched again yet: ${reasonOf(error)}`)
      }
    }
  }

  #drop(cid: string): void {
    this.#wanted.delete(cid)
    this.#crowdedOut = false
  }

  #dropOldest(): void {
    const oldest = this.#wanted.keys().next().value!
    this.#wanted.delete(oldest)
    if (!this.#crowdedOut)
      this.#tell(oldest, `block ${oldest} is given up, and the oldest of those that follow: more than ${DAMAGED_MAX} are damaged`)
    this.#crowdedOut = true
  }

  #tell(cid: string, message: string): void {
    this.#events.emit({ type: 'health', code: 'block_not_repaired', message, data: { level: 'warn', cid } })
  }
}
