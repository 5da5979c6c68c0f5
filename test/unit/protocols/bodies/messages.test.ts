import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import {
  CHUNK_BYTES,
  decodeBodyRoot,
  decodeStageIndex,
  encodeBody,
  encodeBodyRoot,
  encodeStageIndex
} from '../../../../protocols/bodies/index.ts'
import { cidOf, DAG_CBOR, RAW } from '../../../../protocols/cids.ts'

const refused = (code: string) => (error: unknown) => (error as { code?: string }).code === code

describe('body indexes', () => {
  const chunk = cidOf(new Uint8Array([1, 2, 3]), RAW)
  const index = { tensors: [{ name: 'a', shape: [3], size: 3, chunks: [chunk] }] }

  it('keep their bytes', () => {
    const stage = encodeStageIndex(index)
    const root = encodeBodyRoot({ stages: [{ name: 'head', index: stage.cid }] })
    assert.equal(stage.cid, 'bafyreigad4vpc2c4gneyzhxesncqbwycarvwrsa6xdvbrgq6zachydiwrq')
    assert.equal(root.cid, 'bafyreiclawojlvzsgiwrqhrnxetqu37o6uk3ucij2bimwtknpckgnorksa')
  })

  it('read back as they were written', () => {
    const stage = encodeStageIndex(index)
    assert.deepEqual(decodeStageIndex(stage.bytes), index)
    const root = { stages: [{ name: 'head', index: stage.cid }] }
    assert.deepEqual(decodeBodyRoot(encodeBodyRoot(root).bytes), root)
  })

  it('cut tensors into whole chunks and one rest', () => {
    const bytes = new Uint8Array(CHUNK_BYTES * 2 + 5).fill(7)
    const { root, blocks } = encodeBody([
      {
        name: 'head',
        tensors: [
          { name: 'w', shape: [bytes.length], bytes },
          { name: 'empty', shape: [0], bytes: new Uint8Array(0) }
        ]
      }
    ])
    assert.deepEqual(blocks.map(block => block.bytes.length).slice(0, 3), [CHUNK_BYTES, CHUNK_BYTES, 5])
    assert.equal(blocks.at(-1)!.cid, root)
    const stage = decodeStageIndex(blocks.at(-2)!.bytes)
    assert.deepEqual(
      stage.tensors.map(tensor => [tensor.name, tensor.size, tensor.chunks.length]),
      [
        ['w', bytes.length, 3],
        ['empty', 0, 0]
      ]
    )
  })

  it('are refused when a field lies', () => {
    const bad: unknown[] = [
      [],
      { v: 2, tensors: [] },
      { v: 1, tensors: {} },
      { v: 1, tensors: [{ name: '', shape: [3], size: 3, chunks: [] }] },
      { v: 1, tensors: [{ name: 'a', shape: [3], size: 3, chunks: [] }] },
      { v: 1, tensors: [{ name: 'a', shape: [-1], size: 0, chunks: [] }] },
      { v: 1, tensors: [{ name: 'a', shape: [1.5], size: 0, chunks: [] }] },
      { v: 1, tensors: [{ name: 'a', shape: [], size: 2 ** 52, chunks: [] }] },
      { v: 1, tensors: [{ name: 'a', shape: [], size: 3, chunks: ['x'] }] },
      { v: 1, tensors: [0, 1].map(() => ({ name: 'a', shape: [], size: 0, chunks: [] })) }
    ]
    for (const value of bad) assert.throws(() => decodeStageIndex(dagCbor.encode(value)), refused('bad_message'), JSON.stringify(value))
    assert.throws(() => decodeStageIndex(new Uint8Array([0xff, 1])), refused('bad_message'))
    assert.throws(() => decodeBodyRoot(new Uint8Array(2 * CHUNK_BYTES)), refused('message_too_large'))
    assert.throws(() => decodeBodyRoot(dagCbor.encode({ v: 1, stages: [{ name: 'a', index: chunk }] })), refused('bad_message'))
  })

  it('name stage blocks as dag-cbor and chunks as raw', () => {
    const stage = encodeStageIndex(index)
    assert.equal(cidOf(stage.bytes, DAG_CBOR), stage.cid)
    assert.notEqual(cidOf(stage.bytes, RAW), stage.cid)
  })
})
