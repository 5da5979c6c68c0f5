// Anchors that somebody asked to have here, while they are not whole. A fetch that broke off goes on where it stood; what came of one that nobody takes up again goes.
import { isCodedError } from '../errors.ts'
import type { FetchOptions } from './fetching.ts'
import type { Retention } from './retention.ts'

/** How long what broke off waits to be taken up again, in ms: a person may see in an hour that it did, and each is as large as the model. */
const TAKE_UP_MS = 60 * 60_000
/** The round of all of them: they stay until they are let go. */
const NO_ROUND = 0

interface Asked {
  run: string
  /** Fetches of it that are under way. */
  underWay: number
  /** When the last of them broke off. */
  brokeOffMs: number
}

/** What a fetch tells of what it brings. */
export type Telling = Required<Pick<FetchOptions, 'onNamed' | 'onAbsent'>>

export class AskedAnchors {
  readonly #retention: Pick<Retention, 'fetching' | 'came' | 'abandoned' | 'forget'>
  readonly #now: () => number
  readonly #asked = new Map<string, Asked>()

  /** @param retention only for these: it spares what any run keeps */
  constructor(retention: Pick<Retention, 'fetching' | 'came' | 'abandoned' | 'forget'>, now = () => performance.now()) {
    this.#retention = retention
    this.#now = now
  }

  /** Runs of which an anchor is asked for, though no list may know them yet. */
  get runs(): string[] {
    return [...this.#asked.values()].map(({ run }) => run)
  }

  /**
   * What broke off of another anchor of that run is let go: who asks for the newest again asks for another each time.
   *
   * @param get makes it be here and to stay
   */
  async fetch(run: string, anchor: string, signal: AbortSignal, get: (telling: Telling) => Promise<void>): Promise<void> {
    const asked = this.#asked.get(anchor) ?? { run, underWay: 0, brokeOffMs: 0 }
    this.#asked.set(anchor, asked)
    asked.underWay++
    this.#letGo(other => other.run === run && other !== asked)
    let isForGood = false
    try {
      await get(this.#retention.fetching(anchor, NO_ROUND))
      this.#asked.delete(anchor)
      this.#retention.came(anchor, NO_ROUND)
    } catch (error) {
      // Also where the disk is full: what did not fit takes the room of all that is trained here.
      isForGood = !signal.aborted && !(isCodedError(error) && error.code === 'block_unavailable')
      throw error
    } finally {
      asked.underWay--
      asked.brokeOffMs = this.#now()
      if (isForGood) this.#letGo(other => other === asked)
    }
  }

  /** Lets go what nobody has taken up for long. */
  letOldGo(): void {
    this.#letGo(({ brokeOffMs }) => this.#now() - brokeOffMs >= TAKE_UP_MS)
  }

  #letGo(isOver: (asked: Asked) => boolean): void {
    const over = [...this.#asked].filter(([, asked]) => asked.underWay === 0 && isOver(asked))
    if (over.length === 0) return
    for (const [anchor] of over) {
      this.#asked.delete(anchor)
      this.#retention.abandoned(anchor)
    }
    // Where the disk fails, the next goes along with these.
    void this.#retention.forget([], [], []).catch(() => {})
  }
}
