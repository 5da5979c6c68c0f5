// This node's own contributions: from the trainer's snapshot to signed blocks on disk, and back into the local model where one made it nowhere.
import { rm } from 'node:fs/promises'
import type { TakenContribution } from '../../protocols/control/messages.ts'
import { type Contribution, type Fate, openContribution, signContribution } from '../../protocols/rounds/index.ts'
import { type BlockStore, openSafetensors } from '../../storage/index.ts'
import { createCodec } from '../../training/compression/index.ts'
import type { Arithmetic, EncodedContribution, StageNames } from '../arithmetic/arithmetic.ts'
import { isCodedError } from '../errors.ts'
import type { Manifest, SigningKey } from '../manifest.ts'
import type { SnapshotResult } from '../trainer/messages.ts'
import type { Admittance } from './admittance.ts'
import type { Head, Ledger, OwnContribution } from './ledger.ts'
import { type OwnFile, ownFile, ownFiles, unneededFiles } from './own-files.ts'
import type { Retention } from './retention.ts'

/** How many of this node's own contributions can still have an open fate; older ones are left in peace. */
const OPEN_OWN_MAX = 16

export interface OwnComponents {
  run: string
  peer: string
  manifest: Manifest
  directory: string
  stages: StageNames[]
  privateKey: SigningKey
  ledger: Ledger
  blocks: BlockStore
  arithmetic: Arithmetic
  /** Told of each body as soon as it is here: what comes after may fail. */
  retention: Pick<Retention, 'came'>
  /** Null where this node needs nobody's word. */
  admittance: Admittance | null
  /** Told of what went wrong and is done without. */
  failed(what: string, error: unknown): void
}

/** A contribution that is signed and on disk, ready to be told. */
export interface OfferedContribution {
  cid: string
  bytes: Uint8Array
  contribution: Contribution
}

/** Makes this node's contributions and knows what became of them. Every step is on disk before the next begins, so that a crash repeats at most one. */
export class OwnContributions {
  readonly #components: OwnComponents

  constructor(components: OwnComponents) {
    this.#components = components
  }

  /** Keeps that a snapshot was taken for the round after `parent`. */
  async made(snapshot: SnapshotResult, parent: string): Promise<OwnContribution> {
    const { sequence, round, steps, tokens, loss } = snapshot
    const own: OwnContribution = { sequence, round, parent, steps, tokens, loss, cid: null, body: null, fate: 'made' }
    await this.#components.ledger.putOwn(own)
    return own
  }

  /**
   * Encodes, signs and stores it.
   *
   * @param parentAnchor what it was measured from
   * @throws DaemonError `norm_too_large` for one that everybody would refuse, and hold against this node
   */
  async offer(own: OwnContribution, parentAnchor: string): Promise<OfferedContribution> {
    const { run, peer, manifest, privateKey, ledger, blocks, retention, admittance } = this.#components
    const { body, norm } = await this.#encodeWithin(await this.#normMax(parentAnchor), own)
    retention.came(body, own.round)
    const { round, parent, tokens, steps, loss } = own
    const codec = createCodec(manifest.strategy.codec).name
    const grant = admittance?.grantFor(round)
    const contribution: Contribution = {
      ...{ run, round, parent, peer, tokens, steps, loss, codec, norm, body },
      ...(grant === undefined ? {} : { grant })
    }
    const block = await signContribution(contribution, privateKey)
    await blocks.put(block.cid, block.bytes, { durable: true })
    await ledger.putOwn({ ...own, cid: block.cid, body, fate: 'offered' })
    await this.forgetFiles()
    return { cid: block.cid, bytes: block.bytes, contribution }
  }

  /** Those that are not settled yet, oldest first: their fate is open, or they were lost and are still to be put back. */
  async open(): Promise<OwnContribution[]> {
    const own = await this.#components.ledger.own(OPEN_OWN_MAX)
    return own.filter(isOpen).reverse()
  }

  /**
   * Those that an earlier life of this process left without an end, oldest first: with them what a record took that a fork set aside before that was noted, however many rounds that went back.
   * Nothing is looked for behind OPEN_OWN_MAX of them that have one.
   */
  async unsettled(): Promise<OwnContribution[]> {
    const unsettled: OwnContribution[] = []
    let settled = 0
    for await (const own of this.#components.ledger.allOwn()) {
      const isSettled = own.fate === 'included' ? (await this.takenOf(own)) !== null : !isOpen(own)
      if (!isSettled) unsettled.unshift(own.fate === 'included' ? await this.mark(own, 'offered') : own)
      else if (++settled === OPEN_OWN_MAX) break
    }
    return unsettled
  }

  /** What the adopted record that took one has of it; null where none did. */
  async takenOf({ cid, round }: OwnContribution): Promise<TakenContribution | null> {
    const { ledger } = this.#components
    const rounds = [await ledger.round(round), await ledger.round(round + 1)]
    const part = rounds.flatMap(kept => kept?.contributions ?? []).find(part => part.cid === cid)
    if (part === undefined) return null
    const { tokens, age, scale } = part
    return { tokens, age, ...(scale === undefined ? {} : { scale }) }
  }

  /** What the adopted rounds say of one that was offered: null while it can still be taken. */
  async fateUpTo(head: Head, own: OwnContribution): Promise<'included' | 'lost' | null> {
    if ((await this.takenOf(own)) !== null) return 'included'
    const { run, ledger } = this.#components
    const parent = own.round === 1 ? run : (await ledger.round(own.round - 1))?.record
    return own.fate === 'lost' || head.round > own.round || parent !== own.parent ? 'lost' : null
  }

  /**
   * One of those, to be told again; `lost` where it can only be put back, `diverged` where it cannot be either. No contribution is worth the run: whatever is wrong with one is told, not thrown.
   *
   * @param parentAnchor see {@link offer}; null where one that was never offered cannot be any more
   */
  async offerAgain(own: OwnContribution, parentAnchor: string | null): Promise<OfferedContribution | 'lost' | 'diverged'> {
    if (own.isDiverged === true) return 'diverged'
    try {
      // One that is lost may be in the local model already.
      if (own.cid === null) return parentAnchor === null || own.fate === 'lost' ? 'lost' : await this.offer(own, parentAnchor)
      const bytes = await this.#components.blocks.get(own.cid)
      return bytes === undefined ? 'lost' : { bytes, ...(await openContribution(bytes)) }
    } catch (error) {
      this.#components.failed(`offering the contribution to round ${own.round} again`, error)
      return whyNotOffered(error)
    }
  }

  async newest(): Promise<OwnContribution | null> {
    return (await this.#components.ledger.own(1))[0] ?? null
  }

  /** Tokens that all of them were made of. */
  async tokens(): Promise<number> {
    let sum = 0
    for await (const { tokens } of this.#components.ledger.allOwn()) sum += tokens
    return sum
  }

  /** Keeps what became of one; answers it, or null where it is not ours or settled already. */
  async settle(cid: string, fate: Fate): Promise<OwnContribution | null> {
    const own = (await this.#components.ledger.own(OPEN_OWN_MAX)).find(candidate => candidate.cid === cid)
    if (own === undefined || own.fate === 'restored' || own.fate === fate) return null
    // What was dropped for a fork may be taken all the same.
    if (own.fate === 'dropped' && fate !== 'included') return null
    return this.mark(own, fate)
  }

  async mark(own: OwnContribution, fate: OwnContribution['fate']): Promise<OwnContribution> {
    const isSetAside = own.isSetAside === true || (own.fate === 'included' && fate !== 'included')
    const marked = { ...own, fate, ...(isSetAside ? { isSetAside } : {}) }
    await this.#components.ledger.putOwn(marked)
    return marked
  }

  /** The change that a contribution carried, as a file that the trainer can put back: what was sent, since what was not is still carried. */
  async sentFile(own: OwnContribution): Promise<string> {
    if (own.body === null) {
      const delta = this.#file('delta', own.sequence)
      // Of a file that is no use a trainer would only say that it failed.
      await (await openSafetensors(delta)).close()
      return delta
    }
    const file = this.#file('sent', own.sequence)
    await this.#components.arithmetic.bodyToSafetensors({ body: own.body, codec: this.#components.manifest.strategy.codec, file })
    return file
  }

  /** Deletes the files of all that need none any more: each is as large as the model. What cannot be deleted now may be the next time. */
  async forgetFiles(): Promise<void> {
    try {
      const { directory, ledger } = this.#components
      const rows = await ledger.own(OPEN_OWN_MAX)
      for (const file of unneededFiles(await ownFiles(directory), rows)) await rm(ownFile(directory, file), { force: true })
    } catch (error) {
      this.#components.failed('deleting what own contributions left', error)
    }
  }

  /** Any norm where the disk has lost a block of the anchor: others check it all the same, and a contribution is worth more than this look at it. */
  async #normMax(parentAnchor: string): Promise<number> {
    try {
      return await this.#components.arithmetic.normMax({ parentAnchor })
    } catch (error) {
      if (isCodedError(error) && error.code === 'block_missing') return Number.POSITIVE_INFINITY
      throw error
    }
  }

  /** That one is too large is kept at once: after a crash it would be put back, where its round is over. */
  async #encodeWithin(normMax: number, own: OwnContribution): Promise<EncodedContribution> {
    try {
      return await this.#encode(own, normMax)
    } catch (error) {
      if (whyNotOffered(error) === 'diverged')
        await this.#components.ledger
          .putOwn({ ...own, isDiverged: true })
          .catch(reason => this.#components.failed(`keeping that the contribution to round ${own.round} is not offered`, reason))
      throw error
    }
  }

  /** What was left over before is a little work: where its file is of no use, it counts as nothing. */
  async #encode({ sequence, round }: OwnContribution, normMax: number): Promise<EncodedContribution> {
    const { arithmetic, manifest, stages, failed } = this.#components
    const files = { deltaFile: this.#file('delta', sequence), nextResidualFile: this.#file('residual', sequence) }
    const encode = (residualFile: string | null) =>
      arithmetic.encodeContribution({ ...files, residualFile, codec: manifest.strategy.codec, stages, normMax })
    const residualFile = await this.#carried(sequence)
    if (residualFile === null) return encode(null)
    try {
      return await encode(residualFile)
    } catch (error) {
      if (!isLost(error) && !isUnreadable(error)) throw error
      // Whether it was this file shows by another try.
      const encoded = await encode(null)
      failed(`what the codec left over before the contribution to round ${round} is lost`, error)
      return encoded
    }
  }

  /** What the codec left over from the newest contribution before this one, unless that is in what this one says already. */
  async #carried(sequence: number): Promise<string | null> {
    const before = (await this.#components.ledger.own(OPEN_OWN_MAX)).find(own => own.sequence < sequence && own.cid !== null)
    return before === undefined || before.isKept === true ? null : this.#file('residual', before.sequence)
  }

  #file(kind: OwnFile['kind'], sequence: number): string {
    return ownFile(this.#components.directory, { kind, sequence })
  }
}

/** What becomes of a contribution that could not be offered. */
export function whyNotOffered(error: unknown): 'lost' | 'diverged' {
  return isCodedError(error) && error.code === 'norm_too_large' ? 'diverged' : 'lost'
}

function isOpen({ fate }: OwnContribution): boolean {
  return fate === 'made' || fate === 'offered' || fate === 'late' || fate === 'lost'
}

/** True where a file or a body is missing, damaged, or holds what is no number: no other try will find it otherwise. */
export function isLost(error: unknown): boolean {
  return isCodedError(error) && (LOST.has(error.code) || error.code.startsWith('safetensors_'))
}

const LOST: ReadonlySet<string> = new Set(['block_missing', 'file_missing', 'non_finite', 'non_finite_delta', 'bad_contribution'])

function isUnreadable(error: unknown): boolean {
  return isCodedError(error) && (error.code === 'io_error' || error.code === 'not_permitted')
}
