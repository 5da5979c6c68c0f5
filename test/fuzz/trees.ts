// Wrong values for structured formats: a valid message as a tree, one place of it made wrong, and writers for CBOR and JSON that write what no
// decent encoder would (a key twice, a length without bytes, an indefinite list, a wrong tag).
import * as dagCbor from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import type { Random } from '../simulation/random.ts'

export type TreeForm = 'cbor' | 'json'

/** A map as its writer has it: keys in any order, also twice. */
class Entries {
  readonly list: [string, unknown][]
  constructor(list: [string, unknown][]) {
    this.list = list
  }
}

/** Bytes (or, in JSON, text) that stand where a value should. */
class Raw {
  readonly bytes: Uint8Array
  constructor(bytes: Uint8Array | string) {
    this.bytes = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
  }
}

const repeat = (byte: number, count: number): number[] => new Array<number>(count).fill(byte)

/** CBOR that is wrong as such, or that dag-cbor does not allow. */
const RAW_CBOR: readonly (readonly number[])[] = [
  [0x9b, 0, 0, 0, 1, 0, 0, 0, 0], // a list of 2^32
  [0x9a, 0x7f, 0xff, 0xff, 0xff, 0], // a list of 2^31
  [0xbb, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // a map of 2^53
  [0x5b, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff], // bytes of 2 GiB
  [0x7a, 0x40, 0, 0, 0, 0x61], // text of 1 GiB
  [0x5b, ...repeat(0xff, 8)],
  [0x9f, 0x01, 0xff], // an indefinite list
  [0xbf, 0x61, 0x61, 0x01, 0xff], // an indefinite map
  [0x5f, 0x41, 0x00, 0xff], // indefinite bytes
  [0xff], // an end of nothing
  [0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0], // a large number by tag
  [0xd8, 0x2a, 0x41, 0x00], // a CID of nothing
  [0xd8, 0x2a, 0x58, 0x25, ...repeat(1, 37)], // a CID that does not begin with 0
  [0xd8, 0x2a, 0x01], // a number for a CID
  [0xd9, 0xd9, 0xf7, 0x01], // the tag of CBOR itself
  [0xf7], // undefined
  [0xf8, 0xff], // an unknown simple value
  [0xf9, 0x7e, 0x00], // NaN
  [0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], // Infinity
  [0xfa, 0x3f, 0x80, 0, 0], // 1 as f32
  [0x18, 0x01], // 1 in two bytes
  [0x1b, 0, 0, 0, 0, 0, 0, 0, 1], // 1 in nine
  [0x1b, ...repeat(0xff, 8)], // 2^64 - 1
  [0x3b, ...repeat(0xff, 8)],
  [0x62, 0xc3, 0x28], // text that is not UTF-8
  [0x63, 0xed, 0xa0, 0x80], // half a surrogate pair
  [0xa1, 0x01, 0x02], // a map whose key is a number
  [0xa2, 0x61, 0x61, 0x01, 0x61, 0x61, 0x02], // a key twice
  [0xa1, 0x69, ...Buffer.from('__proto__'), 0xa1, 0x61, 0x76, 0x01],
  repeat(0x81, 40),
  repeat(0xd8, 40)
]
/** The same, and dear to read: taken seldom. */
const HEAVY_CBOR: readonly (readonly number[])[] = [
  repeat(0x81, 500),
  repeat(0x81, 30_000),
  [...repeat(0x81, 2_000), 0x00],
  Array.from({ length: 2_000 }, () => [0xa1, 0x61, 0x61]).flat(),
  [0x9a, 0, 0, 0x40, 0, ...repeat(0x00, 0x4000)]
]

/** JSON that is wrong as such, or that says what few readers expect. */
const RAW_JSON: readonly string[] = [
  '1e999',
  '-1e999',
  '-0',
  '0.1e-400',
  '9007199254740993',
  '18446744073709551616',
  'NaN',
  'Infinity',
  'undefined',
  '{"a":1,"a":2}',
  '{"__proto__":{"v":1}}',
  '{"constructor":{"prototype":{}}}',
  '"\\ud800"',
  '"\\u0000"',
  '"unfinished',
  '[1,]',
  '/* no */1',
  '*a',
  '&a [*a]',
  '!!binary ""',
  '? a',
  '|',
  '[&a [], *a, *a]',
  '['.repeat(40)
]
/** The same, and dear to read: taken seldom. */
const HEAVY_JSON: readonly string[] = [
  '['.repeat(300),
  '['.repeat(20_000),
  `${'['.repeat(2_000)}${']'.repeat(2_000)}`,
  `${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`
]

/** Keys that objects have without anybody having said them, and some that messages have. */
const KEYS = ['__proto__', 'constructor', 'toString', 'valueOf', 'toJSON', 'length', 'then', 'hasOwnProperty', '', 'v', 'a'.repeat(300)]

const AN_EMPTY_HASH = CID.parse('bafkqaaa')
const A_VERSION_0 = CID.parse('QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG')

/** Any value that stands where it should not. */
function strange(random: Random, form: TreeForm): unknown {
  const chance = random.next()
  if (chance < 0.02) return random.pick(HEAVY)
  if (chance < 0.5) return new Raw(form === 'cbor' ? Uint8Array.from(random.pick(RAW_CBOR)) : random.pick(RAW_JSON))
  if (chance < 0.52) return new Raw(form === 'cbor' ? Uint8Array.from(random.pick(HEAVY_CBOR)) : random.pick(HEAVY_JSON))
  return random.pick(STRANGE)
}

const STRANGE: readonly unknown[] = [
  null,
  true,
  false,
  0,
  1,
  -1,
  1.5,
  -1e-308,
  1e308,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  -(2 ** 53) + 1,
  '',
  'x',
  'x'.repeat(65),
  '\u0000',
  '1',
  [],
  {},
  [[]],
  { toString: 1, valueOf: 1 },
  { toString: null, valueOf: null, toJSON: 1 },
  { length: 2 ** 32 },
  new Uint8Array(0),
  new Uint8Array(36).fill(1),
  AN_EMPTY_HASH,
  A_VERSION_0,
  2n ** 64n - 1n,
  -(2n ** 64n)
]
const HEAVY: readonly unknown[] = ['x'.repeat(5_000), new Uint8Array(70_000), new Array<number>(5_000).fill(1)]

/** The tree with one to three places made wrong; what is not touched is shared with the original. */
export function mutateTree(tree: unknown, random: Random, form: TreeForm): unknown {
  let mutated = tree
  for (let left = 1 + (random.chance(0.3) ? random.below(3) : 0); left > 0; left--) mutated = mutateAt(mutated, random, form)
  return mutated
}

/** Goes down by chance, and changes what it comes to. */
function mutateAt(node: unknown, random: Random, form: TreeForm): unknown {
  const down = random.chance(0.75)
  if (Array.isArray(node)) {
    if (node.length === 0 || !down) return mutateList(node, random, form)
    const at = random.below(node.length)
    return node.with(at, mutateAt(node[at], random, form))
  }
  const entries = entriesOf(node)
  if (entries !== null) {
    if (entries.length === 0 || !down) return mutateEntries(entries, random, form)
    const at = random.below(entries.length)
    const [key, value] = entries[at]!
    return new Entries(entries.with(at, [key, mutateAt(value, random, form)]))
  }
  return mutateLeaf(node, random, form)
}

function mutateList(list: unknown[], random: Random, form: TreeForm): unknown {
  switch (random.below(7)) {
    case 0:
      return strange(random, form)
    case 1:
      return list.slice(0, random.below(list.length + 1))
    case 2:
      return [...list, strange(random, form)]
    case 3:
      return [...list, ...list.slice(0, 8)]
    case 4: {
      // More than any limit on a list allows, of one element: cheap to say.
      const count = random.chance(0.05) ? random.pick([300, 513, 1_100, 4_100]) : random.pick([9, 33, 130])
      return new Array<unknown>(count).fill(list[0] ?? strange(random, form))
    }
    case 5:
      return [...list].reverse()
    default:
      return list.length === 0 ? [strange(random, form)] : list.with(random.below(list.length), strange(random, form))
  }
}

function mutateEntries(entries: [string, unknown][], random: Random, form: TreeForm): unknown {
  const at = random.below(Math.max(1, entries.length))
  const chosen = entries[at]
  switch (random.below(7)) {
    case 0:
      return strange(random, form)
    case 1:
      return new Entries(entries.toSpliced(at, 1))
    case 2:
      return new Entries([...entries, [random.pick(KEYS), strange(random, form)]])
    case 3:
      // A key twice, with another value.
      return new Entries(chosen === undefined ? [] : [...entries, [chosen[0], strange(random, form)]])
    case 4:
      return new Entries(chosen === undefined ? [] : entries.with(at, [random.pick(KEYS), chosen[1]]))
    case 5:
      return new Entries([...entries].reverse())
    default: {
      // Two values change places.
      const other = random.below(Math.max(1, entries.length))
      const second = entries[other]
      if (chosen === undefined || second === undefined) return new Entries([])
      return new Entries(entries.with(at, [chosen[0], second[1]]).with(other, [second[0], chosen[1]]))
    }
  }
}

function mutateLeaf(leaf: unknown, random: Random, form: TreeForm): unknown {
  if (random.chance(0.5)) return strange(random, form)
  if (typeof leaf === 'number') return random.pick([leaf + 1, leaf - 1, -leaf, leaf * 1e9, leaf + 0.5, 2 ** 53, 0, leaf * 2])
  if (typeof leaf === 'string') {
    const at = random.below(leaf.length + 1)
    return random.pick([leaf.slice(0, at), leaf + leaf, `${leaf.slice(0, at)}\u0000${leaf.slice(at)}`, leaf.toUpperCase(), ` ${leaf}`])
  }
  if (leaf instanceof Uint8Array) return leaf.slice(0, random.below(leaf.length + 1))
  if (leaf instanceof CID) {
    // Another hash of the same form, or another codec.
    const bytes = leaf.bytes.slice()
    bytes[random.below(bytes.length)]! ^= 1 << random.below(8)
    return new Raw(Uint8Array.from([0xd8, 0x2a, 0x58, bytes.length + 1, 0, ...bytes]))
  }
  return strange(random, form)
}

function entriesOf(node: unknown): [string, unknown][] | null {
  if (node instanceof Entries) return node.list
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return null
  if (node instanceof Uint8Array || node instanceof CID || node instanceof Raw) return null
  return Object.entries(node)
}

/** Bytes after which a tree is not written any further: one list of thousands inside of another would be. */
const MAX_TREE_BYTES = 1024 * 1024

/** What was written so far. */
class Parts {
  readonly list: Uint8Array[] = []
  bytes = 0

  get isFull(): boolean {
    return this.bytes > MAX_TREE_BYTES
  }

  push(...parts: (Uint8Array | string)[]): void {
    for (const part of parts) {
      const bytes = typeof part === 'string' ? Buffer.from(part) : part
      this.list.push(bytes)
      this.bytes += bytes.length
    }
  }
}

/** CBOR of a tree, its maps in the order in which they are given; a plain object's keys are in dag-cbor's own order already. */
export function writeCbor(node: unknown): Uint8Array {
  const parts = new Parts()
  putCbor(node, parts)
  return Buffer.concat(parts.list)
}

function putCbor(node: unknown, parts: Parts): void {
  if (parts.isFull) return
  const entries = entriesOf(node)
  if (node instanceof Raw) parts.push(node.bytes)
  else if (Array.isArray(node)) {
    parts.push(cborHead(4, node.length))
    for (const item of node) putCbor(item, parts)
  } else if (entries !== null) {
    parts.push(cborHead(5, entries.length))
    for (const [key, value] of entries) {
      const text = Buffer.from(key)
      parts.push(cborHead(3, text.length), text)
      putCbor(value, parts)
    }
  } else if (node instanceof CID) {
    parts.push(Uint8Array.from([0xd8, 0x2a]), cborHead(2, node.bytes.length + 1), Uint8Array.from([0, ...node.bytes]))
  } else parts.push(plainCbor(node))
}

/** Of what dag-cbor itself writes; what it does not becomes null. */
function plainCbor(value: unknown): Uint8Array {
  try {
    return dagCbor.encode(value)
  } catch {
    return Uint8Array.from([0xf6])
  }
}

function cborHead(major: number, count: number): Uint8Array {
  const top = major << 5
  if (count < 24) return Uint8Array.from([top | count])
  if (count < 256) return Uint8Array.from([top | 24, count])
  if (count < 65_536) return Uint8Array.from([top | 25, count >>> 8, count & 255])
  return Uint8Array.from([top | 26, count >>> 24, (count >>> 16) & 255, (count >>> 8) & 255, count & 255])
}

/** JSON of a tree; bytes, CIDs and large numbers become what JSON has for them. */
export function writeJson(node: unknown): Uint8Array {
  const parts = new Parts()
  putJson(node, parts)
  return Buffer.concat(parts.list)
}

function putJson(node: unknown, parts: Parts): void {
  if (parts.isFull) return
  const entries = entriesOf(node)
  if (node instanceof Raw) parts.push(node.bytes)
  else if (Array.isArray(node)) {
    parts.push('[')
    node.forEach((item, index) => {
      if (index > 0) parts.push(',')
      putJson(item, parts)
    })
    parts.push(']')
  } else if (entries !== null) {
    parts.push('{')
    entries.forEach(([key, value], index) => {
      parts.push(index > 0 ? ',' : '', JSON.stringify(key), ':')
      putJson(value, parts)
    })
    parts.push('}')
  } else if (typeof node === 'bigint') parts.push(String(node))
  else if (node instanceof Uint8Array || node instanceof CID) parts.push(JSON.stringify(node.toString()))
  else parts.push(JSON.stringify(node) ?? 'null')
}
