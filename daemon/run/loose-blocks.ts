// Signed blocks from others that are of no adopted history: records and contributions, which the rules forget when they are settled, or take for nothing at all.
// What nobody needs any more goes from the disk, too, or whoever signs noise fills it.
import type { BlockStore } from '../../storage/index.ts'

export interface LooseBlocksComponents {
  blocks: Pick<BlockStore, 'has' | 'put' | 'delete'>
  /** Says of a block whether it is needed as things stand now; null while nothing may go, because more is adopted than is written down. */
  needed(): ((cid: string) => boolean) | null
}

/** Loose blocks after which it is time to look which are needed: 48 MiB of the largest. */
const LOOSE_MAX = 1_024
/** Blocks deleted at once. */
const DELETED_AT_ONCE = 64

/** The loose blocks of one run, of this process: what an earlier one left is not known to be loose. */
export class LooseBlocks {
  readonly #blocks: LooseBlocksComponents['blocks']
  readonly #needed: LooseBlocksComponents['needed']
  readonly #loose = new Set<string>()
  /** How many hold each. */
  readonly #held = new Map<string, number>()
  /** Found to be needed by nobody, and about to be deleted. */
  readonly #doomed = new Set<string>()
  /** What is being written or deleted: one thing at a time with each block. */
  readonly #busy = new Map<string, Promise<void>>()
  #sweeping: Promise<void> | null = null
  #dueAt = LOOSE_MAX

  constructor({ blocks, needed }: LooseBlocksComponents) {
    this.#blocks = blocks
    this.#needed = needed
  }

  /** Whether there are so many that it is time to sweep. */
  get isDue(): boolean {
    return this.#loose.size >= this.#dueAt
  }

  /** What is put under it stays until it is released. */
  hold(): Hold {
    const cids = new Set<string>()
    return {
      put: async (cid, bytes) => {
        if (!cids.has(cid)) this.#held.set(cid, (this.#held.get(cid) ?? 0) + 1)
        cids.add(cid)
        await this.#inTurn(cid, () => this.#put(cid, bytes))
      },
      release: () => {
        for (const cid of cids) {
          const others = this.#held.get(cid)! - 1
          if (others === 0) this.#held.delete(cid)
          else this.#held.set(cid, others)
        }
        cids.clear()
      }
    }
  }

  /** They are of the adopted history: never loose again, whoever brought them. */
  async adopted(cids: Iterable<string>): Promise<void> {
    for (const cid of cids) {
      await this.#busy.get(cid)?.catch(() => {})
      this.#loose.delete(cid)
    }
  }

  /** They were of a history that is not ours after all. */
  loosen(cids: Iterable<string>): void {
    for (const cid of cids) this.#loose.add(cid)
  }

  /** Deletes what is neither held nor needed. */
  async sweep(): Promise<void> {
    const needed = this.#needed()
    if (needed === null) return
    for (const cid of this.#loose) if (!this.#held.has(cid) && !needed(cid)) this.#doomed.add(cid)
    for (const cid of this.#doomed) this.#loose.delete(cid)
    this.#dueAt = Math.max(LOOSE_MAX, 2 * this.#loose.size)
    this.#sweeping ??= this.#deleteDoomed().finally(() => {
      this.#sweeping = null
    })
    await this.#sweeping
  }

  async #deleteDoomed(): Promise<void> {
    while (this.#doomed.size > 0) {
      const some = [...this.#doomed].slice(0, DELETED_AT_ONCE)
      // Whoever puts one of them before its turn has come finds it doomed no more.
      const deleting = some.map(cid =>
        this.#inTurn(cid, async () => {
          if (this.#doomed.delete(cid)) await this.#blocks.delete(cid)
        })
      )
      const failed = (await Promise.allSettled(deleting)).find(result => result.status === 'rejected')
      if (failed !== undefined) throw failed.reason
    }
  }

  async #put(cid: string, bytes: Uint8Array): Promise<void> {
    if (this.#doomed.delete(cid)) this.#loose.add(cid)
    if (await this.#blocks.has(cid)) return
    await this.#blocks.put(cid, bytes)
    this.#loose.add(cid)
  }

  #inTurn(cid: string, task: () => Promise<void>): Promise<void> {
    const before = this.#busy.get(cid)
    const turn = before === undefined ? task() : before.then(task, task)
    this.#busy.set(cid, turn)
    const end = (): void => {
      if (this.#busy.get(cid) === turn) this.#busy.delete(cid)
    }
    turn.then(end, end)
    return turn
  }
}

export interface Hold {
  /** On disk when this resolves, whoever brought it first. @throws StorageError as the store does */
  put(cid: string, bytes: Uint8Array): Promise<void>
  release(): void
}
