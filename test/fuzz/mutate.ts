// From valid inputs to wrong ones: bits, bytes, lengths, splices and, where the format has a structure, wrong values in right places.
import * as dagCbor from '@ipld/dag-cbor'
import type { Random } from '../simulation/random.ts'
import { mutateTree, writeCbor, writeJson } from './trees.ts'

/** How a decoder's inputs are built, so that a mutation may keep all but one place right. */
export type Form = 'cbor' | 'json' | 'bytes'

/** Bytes of one input at most: more than any message may have, so that limits are passed too. */
const MAX_INPUT_BYTES = 2 * 1024 * 1024
/** Numbers that lengths and counts are overwritten with. */
const TELLING = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x10000, 0x100001, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff]

/** Makes inputs out of valid ones; the trees of the structured ones are kept. */
export class Mutator {
  readonly #seeds: readonly Uint8Array[]
  readonly #trees: unknown[] = []
  readonly #form: Form

  constructor(seeds: readonly Uint8Array[], form: Form) {
    this.#seeds = seeds
    this.#form = form
    if (form === 'cbor') this.#trees = seeds.map(seed => dagCbor.decode(seed))
    if (form === 'json') this.#trees = seeds.map(seed => JSON.parse(Buffer.from(seed).toString('utf8')))
  }

  /** One input, the same for the same state of `random`: its own bytes, at an odd place of a larger buffer as those off a wire are. */
  make(random: Random): Uint8Array {
    const made = this.#made(random)
    const buffer = new Uint8Array(made.length + 5)
    buffer.set(made, 3)
    return buffer.subarray(3, 3 + made.length)
  }

  #made(random: Random): Uint8Array {
    const chance = random.next()
    if (chance < 0.02) return random.pick(this.#seeds)
    if (chance < 0.07) return noise(random)
    if (this.#trees.length > 0 && chance < 0.65) {
      const tree = mutateTree(random.pick(this.#trees), random, this.#form === 'cbor' ? 'cbor' : 'json')
      const bytes = this.#form === 'cbor' ? writeCbor(tree) : writeJson(tree)
      return random.chance(0.1) ? this.#mutateBytes(bytes, random) : bytes
    }
    return this.#mutateBytes(random.pick(this.#seeds), random)
  }

  #mutateBytes(seed: Uint8Array, random: Random): Uint8Array {
    // Not slice(): a Buffer's shares its bytes.
    let bytes: Uint8Array = Uint8Array.from(seed)
    const times = 1 + (random.chance(0.3) ? random.below(6) : 0)
    for (let i = 0; i < times; i++) bytes = this.#mutateOnce(bytes, random)
    return bytes.subarray(0, MAX_INPUT_BYTES)
  }

  #mutateOnce(bytes: Uint8Array, random: Random): Uint8Array {
    const at = random.below(bytes.length + 1)
    const inside = Math.min(at, bytes.length - 1)
    switch (random.below(10)) {
      case 0:
      case 1:
        if (inside >= 0) bytes[inside]! ^= 1 << random.below(8)
        return bytes
      case 2:
        if (inside >= 0) bytes[inside] = random.pick([0, 0xff, 0x7f, 0x80, random.below(256)])
        return bytes
      case 3:
        return bytes.subarray(0, at)
      case 4:
        return joined(bytes, noise(random))
      case 5:
        return joined(bytes.subarray(0, at), noise(random), bytes.subarray(at))
      case 6:
        return joined(bytes.subarray(0, at), bytes.subarray(random.below(bytes.length + 1)))
      case 7: {
        // The tail of another valid input.
        const other = random.pick(this.#seeds)
        return joined(bytes.subarray(0, at), other.subarray(random.below(other.length + 1)))
      }
      case 8:
        return overwritten(bytes, inside, random)
      default:
        return joined(bytes, bytes.length < 65_536 ? bytes : new Uint8Array(0))
    }
  }
}

function overwritten(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const width = random.pick([1, 2, 4, 8])
  if (at < 0 || at + width > bytes.length) return bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const value = random.pick(TELLING)
  const little = random.chance(0.5)
  if (width === 1) view.setUint8(at, value & 0xff)
  else if (width === 2) view.setUint16(at, value & 0xffff, little)
  else if (width === 4) view.setUint32(at, value, little)
  else view.setBigUint64(at, random.chance(0.5) ? BigInt(value) : BigInt(value) << 32n, little)
  return bytes
}

function noise(random: Random): Uint8Array {
  const bytes = new Uint8Array(random.below(random.chance(0.02) ? 5_000 : 40))
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256)
  return bytes
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Buffer.concat(parts)
}
