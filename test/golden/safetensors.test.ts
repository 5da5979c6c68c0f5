// The bytes of a safetensors file, as the reference implementation (safetensors 0.8 for Python, `safetensors.numpy.save`) wrote them.
import assert from 'node:assert/strict'
import { encodeSafetensors, floatsOf, readSafetensors, type StoredTensor, storedTensor } from '../../storage/index.ts'

const HEADER =
  '{"__metadata__":{"format":"pt"},"scalar":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"leer":{"dtype":"F32","shape":[0,4],"data_offsets":[8,8]},' +
  '"transformer.wte.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]},"ids":{"dtype":"I32","shape":[1,2],"data_offsets":[32,40]},' +
  '"half":{"dtype":"F16","shape":[4],"data_offsets":[40,48]},"mask":{"dtype":"BOOL","shape":[3],"data_offsets":[48,51]}}'
const DATA = '000000000000f83f000000000000803e0000003f0000403f0000803f0000a03fffffffff02000000003c00c0ff7b0100010001'
const GOLDEN = Buffer.concat([Buffer.from('9001000000000000', 'hex'), Buffer.from(HEADER), Buffer.from(DATA, 'hex')])

const bytesOf = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
const TENSORS: StoredTensor[] = [
  { name: 'scalar', dtype: 'F64', shape: [], bytes: bytesOf(Float64Array.of(1.5)) },
  storedTensor('leer', [0, 4], new Float32Array(0)),
  storedTensor('transformer.wte.weight', [2, 3], Float32Array.of(0, 0.25, 0.5, 0.75, 1, 1.25)),
  { name: 'ids', dtype: 'I32', shape: [1, 2], bytes: bytesOf(Int32Array.of(-1, 2)) },
  { name: 'half', dtype: 'F16', shape: [4], bytes: bytesOf(Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001)) },
  { name: 'mask', dtype: 'BOOL', shape: [3], bytes: Uint8Array.of(1, 0, 1) }
]

describe('the bytes of safetensors', () => {
  it('are those of the reference implementation', () => {
    assert.equal(Buffer.from(encodeSafetensors(TENSORS, { format: 'pt' })).toString('hex'), GOLDEN.toString('hex'))
  })

  it('are read as the reference implementation meant them', () => {
    const { metadata, tensors } = readSafetensors(new Uint8Array(GOLDEN))
    assert.deepEqual(metadata, { format: 'pt' })
    assert.deepEqual(tensors, TENSORS)
    assert.deepEqual(floatsOf(tensors[4]!), Float32Array.of(1, -2, 65504, 2 ** -24))
  })

  it('put wide values first and pad the header to eight bytes', () => {
    const file = encodeSafetensors([TENSORS[5]!, TENSORS[0]!])
    const length = Number(new DataView(file.buffer).getBigUint64(0, true))
    assert.equal(length % 8, 0)
    assert.equal(
      new TextDecoder().decode(file.subarray(8, 8 + length)).trimEnd(),
      '{"scalar":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"mask":{"dtype":"BOOL","shape":[3],"data_offsets":[8,11]}}'
    )
  })
})
