// Keeps the trainer on the head: moves it onto the newest anchor, and puts back what no record took.
import { openRecord } from '../../protocols/rounds/index.ts'
import type { BlockStore } from '../../storage/index.ts'
import type { AdoptMode } from '../../training/trainer.ts'
import type { TrainerSupervisor } from '../trainer/supervisor.ts'
import { isLost, type OwnContributions, whyNotOffered } from './contributing.ts'
import type { Head, Ledger, OwnContribution } from './ledger.ts'

export interface CatchUpComponents {
  /** Null where nothing is trained. */
  trainer: Pick<TrainerSupervisor, 'ready' | 'adopt' | 'restore'> | null
  own: Pick<OwnContributions, 'unsettled' | 'sentFile' | 'mark' | 'forgetFiles'>
  /** The head as it is now. */
  head(): Head
  /** See {@link wayFrom}. */
  wayFrom(record: string): Promise<AdoptMode>
  /** Resolves when it is known what became of our contributions by the adoptions so far. */
  settled(): Promise<void>
  /** The parameters of its anchor, as a file that the trainer reads. */
  anchorFile(head: Head): Promise<string>
  onAdopting(head: Head): Promise<void>
  onAdopted(mode: AdoptMode): void
  /** @param isGone whether its work is lost: its bytes are gone, or nobody would take them. */
  onEnd(own: OwnContribution, fate: 'restored' | 'dropped', isGone: boolean): void
  failed(what: string, error: unknown): void
}

/** What is done here is done one after the other; what the head does meanwhile shows at the next step. */
export class CatchUp {
  readonly #c: CatchUpComponents
  #at: { record: string; round: number | null } | null = null
  #lost: OwnContribution[] = []
  #diverged: OwnContribution | null = null

  constructor(components: CatchUpComponents) {
    this.#c = components
  }

  /** The record whose anchor the trainer's base is, and its round, null where that is not known; null while there is no ready trainer. */
  get at(): { record: string; round: number | null } | null {
    return this.#at
  }

  trainerReady(record: string): void {
    const head = this.#c.head()
    this.#at = { record, round: record === head.record ? head.round : null }
  }

  trainerGone(): void {
    this.#at = null
  }

  /** One that no record took. */
  lost(own: OwnContribution): void {
    this.#lost.push(own)
  }

  /** One that nobody would take, whose change is in the trainer's parameters: put back, it would be in the next as well. */
  diverged(own: OwnContribution): void {
    this.#diverged = own
  }

  /** Whether the trainer is still where such a one led it: what it would learn there is of no use. */
  get isAstray(): boolean {
    return this.#diverged !== null
  }

  /** A fork led to where it is not lost. */
  found(cid: string): void {
    this.#lost = this.#lost.filter(own => own.cid !== cid)
  }

  async toHead(): Promise<void> {
    const { trainer, head } = this.#c
    while (trainer?.ready && this.#at !== null) {
      const [own] = this.#lost
      if (this.#at.record !== head().record || this.isAstray) await this.#adopt(trainer, this.#at.record)
      else if (own !== undefined) await this.#putBack(trainer, own)
      else return
    }
  }

  /**
   * Onto the newest anchor. A trainer far out on a branch that was left keeps its parameters: what it did there is in them, and in the difference to the new anchor, which is offered as one.
   * That follows from where it stands and nothing else, so that it is as true after a crash. One that is astray leaves all behind, wherever the anchor is.
   */
  async #adopt(trainer: Pick<TrainerSupervisor, 'adopt'>, from: string): Promise<void> {
    const head = this.#c.head()
    const diverged = this.#diverged
    const mode = diverged !== null ? 'leave' : await this.#c.wayFrom(from)
    if (mode === 'keep') await this.#dropKept(from)
    // The head moved on: what was decided was about the one before.
    if (this.#c.head().record !== head.record) return
    const file = await this.#c.anchorFile(head)
    await this.#c.onAdopting(head)
    if (this.#at?.record !== from) return
    await trainer.adopt(file, head.record, mode)
    this.#at = { record: head.record, round: head.round }
    if (diverged !== null) await this.#end(diverged, 'dropped', true)
    this.#c.onAdopted(mode)
  }

  /** What a record of the branch took, and what was made since its last, is in the parameters that are kept: put back some day, it would count twice. */
  async #dropKept(from: string): Promise<void> {
    await this.#c.settled()
    for (const own of await this.#c.own.unsettled()) {
      if (own.parent === from) await this.#end({ ...own, isKept: true }, 'dropped')
      else if (own.isSetAside === true) await this.#end(own, 'dropped')
    }
  }

  /** Gives up where the disk has lost it: nobody else keeps what no record took, and those behind it must not wait for ever. */
  async #putBack(trainer: Pick<TrainerSupervisor, 'restore'>, own: OwnContribution): Promise<void> {
    // Before the trainer has it: offered after a crash in between it would count twice.
    if (own.fate !== 'lost') await this.#c.own.mark(own, 'lost')
    try {
      await trainer.restore(own.sequence, await this.#c.own.sentFile(own))
    } catch (error) {
      const isTooLarge = whyNotOffered(error) === 'diverged'
      if (!isTooLarge && !isLost(error)) throw error
      this.#c.failed(`putting back the contribution to round ${own.round}`, error)
      // Made just before a crash: steps that came after it may be in the parameters still.
      if (isTooLarge) return this.diverged(own)
      return this.#end(own, 'dropped', true)
    }
    await this.#end(own, 'restored')
  }

  async #end(own: OwnContribution, fate: 'restored' | 'dropped', isGone = false): Promise<void> {
    await this.#c.own.mark(own, fate)
    this.#lost = this.#lost.filter(({ sequence }) => sequence !== own.sequence)
    if (this.#diverged?.sequence === own.sequence) this.#diverged = null
    this.#c.onEnd(own, fate, isGone)
    await this.#c.own.forgetFiles()
  }
}

interface Chain {
  run: string
  head: string
  adopted: ReadonlySet<string>
  ledger: Pick<Ledger, 'round'>
  blocks: Pick<BlockStore, 'get'>
}

/** Rounds that a branch is followed back to where it parted from ours: as many as are remembered of a history at once. */
const ROUNDS_BACK_MAX = 16_384

/**
 * How a trainer that rests on a record gets to our chain.
 *
 * `shift` where the record is on it, or ahead of our head, as where the records on the disk are older than the trainer's state, or parted from it one round ago: what that one took of ours is taken late by our chain
 * or put back, so that the difference of the two anchors would count it twice. `keep` from further out on a branch that parted. `leave` where nobody can tell: kept, all that a chain of ours ever took might be in it.
 */
export async function wayFrom(record: string, { run, head, adopted, ledger, blocks }: Chain): Promise<AdoptMode> {
  let at = record
  for (let rounds = 0; rounds <= ROUNDS_BACK_MAX; rounds++) {
    const way = rounds <= 1 || at === head ? 'shift' : 'keep'
    if (at === run || adopted.has(at)) return way
    const bytes = await blocks.get(at)
    if (bytes === undefined) return 'leave'
    const { round, parent } = (await openRecord(bytes)).record
    // Of what a damaged disk lost of our chain the ledger still knows.
    if ((await ledger.round(round))?.record === at) return way
    at = parent
  }
  return 'leave'
}
