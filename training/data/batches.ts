/**
 * Batches of token windows out of one row of tokens, in a seeded order that can be left and taken up again at any place.
 *
 * The row is cut into windows of `context` tokens and windows into fixed slots. An epoch reads the slots in the order of its permutation: all of them for
 * a private corpus, this peer's share for a shared one (slots.ts). A position is (epoch, slot, offset): how many slots of this epoch's order are done, and
 * how many windows of the next one. A reader of a shared corpus has two places, one in what it is dealt and one in the slots reserved for newcomers: whoever
 * misses a record now and then goes on in each where it left it.
 */
import { TrainingError } from '../errors.ts'
import { SLOT_WINDOWS } from './constants.ts'
import { assignSlots, epochOrder } from './slots.ts'

export interface BatchPosition {
  epoch: number
  /** Index in this epoch's order of slots. */
  slot: number
  /** Windows of that slot already read. */
  offset: number
  /** The contributors over whom a shared corpus was dealt; absent for a private one. */
  contributors?: string[]
  /** Where it left what it does not read now, the dealt or the reserved slots; absent where it never read those. */
  aside?: Place
}

/** So many slots done, of so many that the order had. */
interface Place {
  epoch: number
  slot: number
  slots: number
}

export interface Batch {
  /** [batch, context], row after row. */
  inputs: Int32Array
  /** The tokens that follow each input. */
  targets: Int32Array
}

export interface Batches {
  next(): Batch
  position(): BatchPosition
  /** Goes to a position that `position()` gave for the same tokens, sizes and seed. @throws TrainingError `bad_position` */
  seek(position: BatchPosition): void
  /** Shared corpora: deals the slots anew. The reader stays as far into its share of the epoch as it was. No effect on a private corpus. */
  assign(contributors: readonly string[]): void
  /** Tokens that one epoch of this reader's order holds. */
  tokensPerEpoch(): number
}

export interface BatchesOptions {
  tokens: Int32Array
  batch: number
  context: number
  seed: number
  /** For a corpus that the mesh shares: who reads here, and the last record's contributors. */
  assignment?: { peer: string; contributors: readonly string[] }
  /** Windows in a slot. @default 1 */
  slotWindows?: number
}

/** @throws TrainingError `corpus_too_small` when the tokens do not fill one window, `bad_batch` */
export function createBatches(options: BatchesOptions): Batches {
  return new SlotBatches(options)
}

class SlotBatches implements Batches {
  readonly #tokens: Int32Array
  readonly #batch: number
  readonly #context: number
  readonly #seed: number
  readonly #peer: string | null
  readonly #slotWindows: number
  /** Whole windows in the corpus; each needs one token more for its last target. */
  readonly #windows: number
  #contributors: readonly string[]
  #order: Uint32Array
  #epoch = 0
  #slot = 0
  #offset = 0
  #aside: Place | null = null

  constructor({ tokens, batch, context, seed, assignment, slotWindows = SLOT_WINDOWS }: BatchesOptions) {
    if (![batch, context, slotWindows].every(size => Number.isInteger(size) && size > 0)) {
      throw new TrainingError('bad_batch', `making batches of ${batch} x ${context}: both must be whole numbers above 0`)
    }
    this.#tokens = tokens
    this.#batch = batch
    this.#context = context
    this.#seed = seed
    this.#peer = assignment?.peer ?? null
    this.#contributors = assignment?.contributors ?? []
    this.#slotWindows = slotWindows
    this.#windows = Math.floor((tokens.length - 1) / context)
    if (this.#windows < 1) {
      throw new TrainingError('corpus_too_small', `making batches: the corpus has ${tokens.length} tokens, a window needs ${context + 1}`, {
        hint: 'give more text, or a smaller context',
        details: { tokens: tokens.length, needed: context + 1 }
      })
    }
    this.#order = this.#orderOf(0)
  }

  next(): Batch {
    const inputs = new Int32Array(this.#batch * this.#context)
    const targets = new Int32Array(this.#batch * this.#context)
    for (let row = 0; row < this.#batch; row++) {
      const start = this.#nextWindow() * this.#context
      inputs.set(this.#tokens.subarray(start, start + this.#context), row * this.#context)
      targets.set(this.#tokens.subarray(start + 1, start + 1 + this.#context), row * this.#context)
    }
    return { inputs, targets }
  }

  position(): BatchPosition {
    const place = { epoch: this.#epoch, slot: this.#slot, offset: this.#offset }
    if (this.#peer === null) return place
    return { ...place, contributors: [...this.#contributors], ...(this.#aside === null ? {} : { aside: { ...this.#aside } }) }
  }

  seek({ epoch, slot, offset, contributors, aside }: BatchPosition): void {
    const whole = [epoch, slot, offset].every(isCount) && (aside === undefined || isPlace(aside))
    if (this.#peer !== null && contributors !== undefined) this.#contributors = [...contributors]
    const order = whole ? this.#orderOf(epoch) : this.#order
    // The end of an epoch is a position too: the next window begins another one.
    const inside = slot < order.length ? offset < this.#windowsIn(order[slot]!) : slot === order.length && offset === 0
    if (!whole || !inside) {
      throw new TrainingError(
        'bad_position',
        `seeking to epoch ${epoch}, slot ${slot}, offset ${offset}: the order has ${order.length} slots`,
        {
          hint: 'the corpus or its sizes changed since this position was kept: start its epoch again',
          details: { epoch, slot, offset, slots: order.length }
        }
      )
    }
    this.#order = order
    this.#epoch = epoch
    this.#slot = slot
    this.#offset = offset
    this.#aside = aside ?? null
  }

  assign(contributors: readonly string[]): void {
    if (this.#peer === null || sameMembers(contributors, this.#contributors)) return
    let from: Place = { epoch: this.#epoch, slot: this.#slot, slots: this.#order.length }
    // What a newcomer read of the reserved slots says nothing about the share that it is dealt now, and the reverse.
    if (this.#contributors.includes(this.#peer) !== contributors.includes(this.#peer)) {
      const left = from
      from = this.#aside ?? { epoch: this.#epoch, slot: 0, slots: 1 }
      this.#aside = left
    }
    this.#contributors = [...contributors]
    this.#epoch = from.epoch
    this.#order = this.#orderOf(from.epoch)
    this.#slot = Math.ceil((from.slot * this.#order.length) / from.slots)
    this.#offset = 0
  }

  tokensPerEpoch(): number {
    return this.#order.reduce((sum, slot) => sum + this.#windowsIn(slot), 0) * this.#context
  }

  #nextWindow(): number {
    if (this.#slot >= this.#order.length) {
      this.#epoch++
      this.#order = this.#orderOf(this.#epoch)
      this.#slot = 0
    }
    const slot = this.#order[this.#slot]!
    const window = slot * this.#slotWindows + this.#offset
    this.#offset++
    if (this.#offset >= this.#windowsIn(slot)) {
      this.#slot++
      this.#offset = 0
    }
    return window
  }

  #orderOf(epoch: number): Uint32Array {
    const slots = Math.ceil(this.#windows / this.#slotWindows)
    if (this.#peer === null) return epochOrder(slots, epoch, this.#seed)
    return assignSlots({ slots, epoch, seed: this.#seed, contributors: this.#contributors, peer: this.#peer })
  }

  /** The last slot may be short. */
  #windowsIn(slot: number): number {
    return Math.min(this.#slotWindows, this.#windows - slot * this.#slotWindows)
  }
}

function isPlace({ epoch, slot, slots }: Place): boolean {
  return [epoch, slot, slots].every(isCount) && slots > 0 && slot <= slots
}

function isCount(number: number): boolean {
  return Number.isSafeInteger(number) && number >= 0
}

function sameMembers(a: readonly string[], b: readonly string[]): boolean {
  const members = new Set(a)
  return members.size === new Set(b).size && b.every(member => members.has(member))
}
