// Which blocks a run may forget: bodies and anchors of rounds older than the manifest keeps. Records and contributions themselves are kept for ever.
import { listBodyBlocks } from '../../protocols/bodies/index.ts'
import { ProtocolError } from '../../protocols/errors.ts'
import type { BlockStore } from '../../storage/index.ts'
import type { KeptRound, OwnContribution } from './ledger.ts'

/** Rounds for which a body that entered no record is kept: this one and the next may still take it. */
const UNUSED_ROUNDS = 2

/** What this needs of the block store. */
export type ForgettingBlocks = Pick<BlockStore, 'get' | 'delete'>

/** Follows what one run has stored, and deletes what no kept round names any more. */
export class Retention {
  readonly #blocks: ForgettingBlocks
  readonly #genesisAnchor: string
  /** Bodies and anchors that are here, by the round they came with. */
  readonly #here = new Map<string, number>()
  #forgetting: Promise<void> = Promise.resolve()

  constructor(blocks: ForgettingBlocks, genesisAnchor: string) {
    this.#blocks = blocks
    this.#genesisAnchor = genesisAnchor
  }

  /** A body or an anchor comes to be here in this round, whole or in part; again, if an older one named it before. */
  came(root: string, round: number): void {
    this.#here.set(root, Math.max(round, this.#here.get(root) ?? 0))
  }

  /** After a restart: what earlier lives of this process stored for these rounds and has not been forgotten yet. */
  resume(rounds: readonly KeptRound[]): void {
    for (const { anchor, contributions, round } of rounds)
      for (const root of [anchor, ...contributions.map(({ body }) => body)]) this.came(root, round)
  }

  /**
   * Forgets what is not in the kept rounds. Runs after the one before it has ended.
   * @param kept the newest rounds, newest first, as many as the manifest says
   * @param own contributions of this node that may still be asked for
   * @param wanted anchors that somebody asked to have here
   */
  forget(kept: readonly KeptRound[], own: readonly OwnContribution[], wanted: readonly string[]): Promise<void> {
    // One that failed is made good by the next.
    this.#forgetting = this.#forgetting.catch(() => {}).then(() => this.#forget(kept, own, wanted))
    return this.#forgetting
  }

  async #forget(kept: readonly KeptRound[], own: readonly OwnContribution[], wanted: readonly string[]): Promise<void> {
    const head = kept[0]?.round ?? 0
    this.resume(kept)
    const keep = new Set([
      this.#genesisAnchor,
      ...wanted,
      ...kept.flatMap(({ anchor, contributions }) => [anchor, ...contributions.map(({ body }) => body)])
    ])
    for (const { body } of own) if (body !== null) keep.add(body)
    const gone = [...this.#here].filter(([root, round]) => !keep.has(root) && round <= head - UNUSED_ROUNDS).map(([root]) => root)
    if (gone.length === 0) return
    // What is young enough to enter the next record is as much in use as what is in one.
    const forgotten = new Set(gone)
    for (const root of this.#here.keys()) if (!forgotten.has(root)) keep.add(root)
    // Equal tensors have equal chunks, so a block of a forgotten anchor may be one of a kept one.
    const stillNamed = new Set<string>()
    for (const root of keep) for (const cid of (await this.#blocksOf(root)) ?? [root]) stillNamed.add(cid)
    for (const root of gone) {
      for (const cid of (await this.#blocksOf(root)) ?? []) if (!stillNamed.has(cid)) await this.#blocks.delete(cid)
      this.#here.delete(root)
    }
  }

  /** Null for what is here and is no body, whatever it is: whoever signs a contribution may name anything as its body. */
  async #blocksOf(root: string): Promise<string[] | null> {
    try {
      return (await listBodyBlocks(root, cid => this.#blocks.get(cid))).blocks
    } catch (error) {
      if (error instanceof ProtocolError) return null
      throw error
    }
  }
}
