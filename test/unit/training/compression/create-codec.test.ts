import assert from 'node:assert/strict'
import { createCodec } from '../../../../training/compression/create-codec.ts'

describe('createCodec()', () => {
  it('names defaults by the bare name', () => {
    assert.deepEqual(
      (['f32', 'f16', 'int8', 'topk'] as const).map(name => createCodec({ name }).name),
      ['f32', 'f16', 'int8', 'topk']
    )
    assert.equal(createCodec({ name: 'int8', blockSize: 256 }).name, 'int8')
    assert.equal(createCodec({ name: 'topk', density: 0.05, value: 'int8' }).name, 'topk/0.05/4096/int8')
  })

  it('refuses unknown names, settings and values', () => {
    for (const spec of [
      'int4',
      'int8/256',
      'int8/17',
      'int8/1e2',
      'topk/0.5',
      'topk/2/4096/f16',
      'topk/0.50/4096/f16',
      'constructor',
      '',
      { name: 'f32' as const, blockSize: 64 },
      { name: 'int8' as const, blockSize: 8 },
      { name: 'int8' as const, blockSize: 131072 },
      { name: 'topk' as const, density: Number.NaN }
    ])
      assert.throws(() => createCodec(spec), { code: 'bad_codec' })
  })

  it('gives sizes that are known beforehand', () => {
    assert.equal(createCodec('f32').maxBytes(1000), 4000)
    assert.equal(createCodec('f16').maxBytes(1000), 2000)
    assert.equal(createCodec('int8').maxBytes(1000), 1000 + 4 * 4)
    // 64 of 4096 at 2 bytes of index and 2 of value: 64 times smaller than f32.
    assert.equal(createCodec('topk').maxBytes(4096), (4 * 4096) / 64)
    assert.equal(createCodec('topk').maxBytes(4097), 256 + 4)
    assert.equal(createCodec('topk').maxBytes(0), 0)
  })
})
