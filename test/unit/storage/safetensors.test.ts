import assert from 'node:assert/strict'
import { readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  encodeSafetensors,
  floatsOf,
  openSafetensors,
  readSafetensors,
  readSafetensorsFile,
  type StorageError,
  type StoredTensor,
  storedTensor,
  writeSafetensorsFile
} from '../../../storage/index.ts'
import { temporaryHome } from './temporary-home.ts'

const tensors: StoredTensor[] = [
  { name: 'ids', dtype: 'U8', shape: [3], bytes: Uint8Array.of(1, 2, 3) },
  storedTensor('weight', [2, 2], Float32Array.of(1, -2.5, Number.POSITIVE_INFINITY, 3e-40)),
  storedTensor('scalar', [], Float32Array.of(7)),
  storedTensor('empty', [0, 5], new Float32Array(0))
]

/** A file with any header and any data. */
function file(header: unknown, dataBytes = 0): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const bytes = new Uint8Array(8 + json.byteLength + dataBytes)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.byteLength), true)
  bytes.set(json, 8)
  return bytes
}
const tensor = (begin: number, end: number, shape: unknown = [end - begin], dtype: unknown = 'U8') => ({
  dtype,
  shape,
  data_offsets: [begin, end]
})

describe('readSafetensors()', () => {
  it('reads what encodeSafetensors() wrote', () => {
    const { metadata, tensors: read } = readSafetensors(encodeSafetensors(tensors, { format: 'pt' }))
    assert.deepEqual(metadata, { format: 'pt' })
    assert.deepEqual(new Map(read.map(t => [t.name, t])), new Map(tensors.map(t => [t.name, t])))
  })

  it('reads from any offset of a larger buffer', () => {
    const bytes = encodeSafetensors(tensors)
    const shifted = new Uint8Array(bytes.byteLength + 3)
    shifted.set(bytes, 3)
    const weight = readSafetensors(shifted.subarray(3)).tensors.find(({ name }) => name === 'weight')!
    assert.deepEqual(floatsOf(weight), Float32Array.of(1, -2.5, Number.POSITIVE_INFINITY, 3e-40))
  })

  it('accepts padding, and an empty file of tensors', () => {
    assert.deepEqual(readSafetensors(file('{}   ')).tensors, [])
    assert.deepEqual(readSafetensors(encodeSafetensors([])), { metadata: {}, tensors: [] })
  })

  const lies: [what: string, bytes: Uint8Array, code: StorageError['code']][] = [
    ['no bytes', new Uint8Array(0), 'safetensors_truncated'],
    ['seven bytes', new Uint8Array(7), 'safetensors_truncated'],
    ['a header of no bytes', new Uint8Array(8), 'safetensors_header'],
    ['a header longer than the file', Uint8Array.of(50, 0, 0, 0, 0, 0, 0, 0, 123), 'safetensors_truncated'],
    ['a header longer than memory', new Uint8Array(16).fill(0xff), 'safetensors_header'],
    ['a header that is not JSON', file('{"a"'), 'safetensors_header'],
    ['a header that is a list', file([]), 'safetensors_header'],
    ['a header that is null', file('null'), 'safetensors_header'],
    ['a header that is not UTF-8', file('{"\u0000').fill(0xff, 8), 'safetensors_header'],
    ['a very deep header', file('['.repeat(100_000)), 'safetensors_header'],
    ['a deep tensor', file(`{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`), 'safetensors_header'],
    ['metadata that is no text', file({ __metadata__: { a: 1 } }), 'safetensors_header'],
    ['metadata that is a list', file({ __metadata__: ['a'] }), 'safetensors_header'],
    ['a tensor without a name', file({ '': tensor(0, 1) }, 1), 'safetensors_header'],
    ['an endless name', file({ ['n'.repeat(2000)]: tensor(0, 1) }, 1), 'safetensors_header'],
    ['a name that is not Unicode', file('{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1), 'safetensors_header'],
    ['a tensor that is null', file({ a: null }), 'safetensors_header'],
    ['an unknown field', file({ a: { ...tensor(0, 1), more: 1 } }, 1), 'safetensors_header'],
    ['a missing field', file({ a: { dtype: 'U8', shape: [1] } }, 1), 'safetensors_header'],
    ['an unknown dtype', file({ a: tensor(0, 1, [1], 'U9') }, 1), 'safetensors_dtype'],
    ["an object's own dtype", file({ a: tensor(0, 1, [1], 'toString') }, 1), 'safetensors_dtype'],
    ['a dtype that cannot be said', file('{"a":{"dtype":{"toString":1},"shape":[1],"data_offsets":[0,1]}}', 1), 'safetensors_dtype'],
    [
      'a dtype too deep to be said',
      file(`{"a":{"dtype":${'['.repeat(50_000)}${']'.repeat(50_000)},"shape":[1],"data_offsets":[0,1]}}`, 1),
      'safetensors_dtype'
    ],
    ['a shape that is no list', file({ a: tensor(0, 1, 1) }, 1), 'safetensors_header'],
    ['a negative size', file({ a: tensor(0, 1, [-1, -1]) }, 1), 'safetensors_header'],
    ['a fraction of a size', file({ a: tensor(0, 1, [0.5, 2]) }, 1), 'safetensors_header'],
    ['too many dimensions', file({ a: tensor(0, 1, new Array(33).fill(1)) }, 1), 'safetensors_header'],
    ['a product past all bounds', file({ a: tensor(0, 1, [2 ** 40, 2 ** 40]) }, 1), 'safetensors_offsets'],
    ['a tensor past the bound', file({ a: tensor(0, 2 ** 33) }), 'safetensors_offsets'],
    ['one offset', file({ a: { dtype: 'U8', shape: [1], data_offsets: [1] } }, 1), 'safetensors_header'],
    ['offsets that go backwards', file({ a: tensor(1, 0, [1]) }, 1), 'safetensors_offsets'],
    ['a shape that needs other bytes', file({ a: tensor(0, 4, [2], 'F32') }, 4), 'safetensors_offsets'],
    ['a hole in front', file({ a: tensor(1, 2) }, 2), 'safetensors_offsets'],
    ['a hole between', file({ a: tensor(0, 1), b: tensor(2, 3) }, 3), 'safetensors_offsets'],
    ['an overlap', file({ a: tensor(0, 2), b: tensor(1, 3) }, 3), 'safetensors_offsets'],
    ['two tensors in one place', file({ a: tensor(0, 2), b: tensor(0, 2) }, 2), 'safetensors_offsets'],
    ['fewer data than promised', file({ a: tensor(0, 4) }, 3), 'safetensors_truncated'],
    ['bytes behind the last tensor', file({ a: tensor(0, 4) }, 5), 'safetensors_offsets'],
    ['a tensor said twice', file(`{"a":${JSON.stringify(tensor(0, 1))},"a":${JSON.stringify(tensor(0, 1))}}`, 1), 'safetensors_header'],
    ['a dtype said twice', file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1],"dtype":"U8"}}', 1), 'safetensors_header']
  ]
  for (const [what, bytes, code] of lies) {
    it(`refuses ${what} with ${code}`, () => {
      assert.throws(() => readSafetensors(bytes), { name: 'StorageError', code })
    })
  }

  it('keeps to the limits it is given', () => {
    const bytes = encodeSafetensors(tensors)
    assert.throws(() => readSafetensors(bytes, { tensorsMax: 2 }), { code: 'safetensors_header' })
    assert.throws(() => readSafetensors(bytes, { headerBytesMax: 100 }), { code: 'safetensors_header' })
  })

  it('treats __proto__ as a name like any other', () => {
    const bytes = encodeSafetensors([storedTensor('__proto__', [1], Float32Array.of(1))], JSON.parse('{"__proto__":"x"}'))
    const { metadata, tensors: read } = readSafetensors(bytes)
    assert.equal(read[0]!.name, '__proto__')
    assert.deepEqual(Object.entries(metadata), [['__proto__', 'x']])
  })
})

describe('encodeSafetensors()', () => {
  it('refuses what could not be read again', () => {
    const one = storedTensor('a', [1], Float32Array.of(1))
    assert.throws(() => encodeSafetensors([one, one]), { code: 'safetensors_header' })
    assert.throws(() => encodeSafetensors([{ ...one, name: '' }]), { code: 'safetensors_header' })
    assert.throws(() => encodeSafetensors([{ ...one, name: '__metadata__' }]), { code: 'safetensors_header' })
    assert.throws(() => encodeSafetensors([{ ...one, shape: [2] }]), { code: 'safetensors_offsets' })
    assert.throws(() => encodeSafetensors([{ ...one, shape: [-1] }]), { code: 'safetensors_header' })
    assert.throws(() => encodeSafetensors([{ ...one, shape: [0.25] }]), { code: 'safetensors_header' })
    assert.throws(() => encodeSafetensors([{ ...one, dtype: 'Q4' as never }]), { code: 'safetensors_dtype' })
    assert.throws(() => encodeSafetensors([one], { a: 1 as never }), { code: 'safetensors_header' })
    assert.throws(() => storedTensor('a', [2], Float32Array.of(1)), { code: 'safetensors_offsets' })
  })
})

describe('floatsOf()', () => {
  const stored = (dtype: StoredTensor['dtype'], array: Uint16Array | Float64Array | Int32Array): StoredTensor => ({
    name: 'x',
    dtype,
    shape: [array.length],
    bytes: new Uint8Array(array.buffer)
  })

  it('reads halves', () => {
    const halves = Uint16Array.of(0x0000, 0x8000, 0x0001, 0x03ff, 0x0400, 0x3c00, 0xc000, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x3555)
    const want = [0, -0, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 1, -2, 65504, Infinity, -Infinity, NaN, 0.333251953125]
    assert.deepEqual(floatsOf(stored('F16', halves)), Float32Array.from(want))
  })

  it('reads brain floats', () => {
    const want = [0, 1, -2, 3.140625, Infinity, NaN]
    assert.deepEqual(floatsOf(stored('BF16', Uint16Array.of(0, 0x3f80, 0xc000, 0x4049, 0x7f80, 0x7fc0))), Float32Array.from(want))
  })

  it('rounds doubles', () => {
    assert.deepEqual(floatsOf(stored('F64', Float64Array.of(0.1, 1e300))), Float32Array.of(0.1, Infinity))
  })

  it('refuses integers and bytes that do not fit the shape', () => {
    assert.throws(() => floatsOf(stored('I32', Int32Array.of(1))), { code: 'safetensors_dtype' })
    assert.throws(() => floatsOf({ ...tensors[1]!, shape: [3] }), { code: 'safetensors_offsets' })
  })
})

describe('safetensors files', () => {
  const home = temporaryHome()
  const path = (): string => join(home(), 'model.safetensors')

  it('writeSafetensorsFile() writes the bytes of encodeSafetensors(), also from sources read one by one', async () => {
    await writeSafetensorsFile(
      path(),
      tensors.map(({ bytes, ...info }) => ({ ...info, read: async () => bytes })),
      { a: 'b' }
    )
    assert.deepEqual(await readSafetensorsFile(path()), readSafetensors(encodeSafetensors(tensors, { a: 'b' })))
    assert.deepEqual(readdirSync(home()), ['model.safetensors'])
  })

  it('leaves nothing when a source lies about its size or fails', async () => {
    const source = { name: 'a', dtype: 'F32' as const, shape: [4] }
    await assert.rejects(writeSafetensorsFile(path(), [{ ...source, read: async () => new Uint8Array(15) }]), {
      code: 'safetensors_offsets'
    })
    await assert.rejects(writeSafetensorsFile(path(), [{ ...source, read: () => Promise.reject(new Error('gone')) }]), {
      name: 'Error',
      message: 'gone'
    })
    assert.deepEqual(readdirSync(home()), [])
  })

  it('openSafetensors() reads one tensor at a time', async () => {
    await writeSafetensorsFile(path(), tensors, { a: 'b' })
    const file = await openSafetensors(path())
    assert.deepEqual(file.tensors.map(({ name }) => name).sort(), ['empty', 'ids', 'scalar', 'weight'])
    assert.deepEqual(await file.read('weight'), tensors[1])
    assert.deepEqual(await file.read('empty'), tensors[3])
    assert.equal(file.has('no'), false)
    await assert.rejects(file.read('no'), { code: 'safetensors_missing' })
    await assert.rejects(file.read('weight', { signal: AbortSignal.abort() }), { name: 'AbortError' })
    await file.close()
  })

  it('says so when the file shrinks under it', async () => {
    await writeSafetensorsFile(path(), tensors)
    const file = await openSafetensors(path())
    truncateSync(path(), statSync(path()).size - 1)
    await assert.rejects(file.read('ids'), { code: 'safetensors_truncated' })
    await file.close()
  })

  it('names the file that was refused', async () => {
    writeFileSync(path(), 'short')
    await assert.rejects(
      readSafetensorsFile(path()),
      (error: StorageError) => error.code === 'safetensors_truncated' && error.message.includes(path())
    )
    await assert.rejects(readSafetensorsFile(join(home(), 'none')), { code: 'file_missing' })
    await assert.rejects(readSafetensorsFile(home()), { code: 'io_error' })
  })

  it('readSafetensorsFile() begins to read a file of any size', async () => {
    // What a trainer of a large model keeps, four copies of its parameters: a hole in the disk here, and given up before memory is taken.
    const tensorBytes = 3 * 2 ** 30
    const names = ['local/w', 'base/w', 'adam.m/w', 'adam.v/w']
    const places = names.map((name, i) => [
      name,
      { dtype: 'F32', shape: [tensorBytes / 4], data_offsets: [i * tensorBytes, (i + 1) * tensorBytes] }
    ])
    const header = Buffer.from(JSON.stringify(Object.fromEntries(places)))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(header.length))
    writeFileSync(path(), Buffer.concat([length, header]))
    truncateSync(path(), 8 + header.length + names.length * tensorBytes)
    await assert.rejects(readSafetensorsFile(path(), { signal: AbortSignal.abort() }), { name: 'AbortError' })
  })
})
