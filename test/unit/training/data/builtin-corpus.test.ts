import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib'
import { type BuiltinCorpus, openBuiltinCorpus, parseBuiltinName } from '../../../../training/data/builtin-corpus.ts'

const ASSET = join(import.meta.dirname, '../../../../../training/data/sotu.txt.br')
const asset = readFileSync(ASSET)
const megabytes = (texts: string[]) => texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / 1e6
const sha256 = (text: string | Buffer) => createHash('sha256').update(text).digest('hex')

describe('openBuiltinCorpus()', () => {
  let corpus: BuiltinCorpus
  before(() => {
    corpus = openBuiltinCorpus(asset)
  })

  it('finds all 233 addresses in four eras of the known sizes', () => {
    const rows = corpus.eras.map(({ name, training, heldOut }) => [
      name,
      training.length,
      heldOut.length,
      megabytes([...training, ...heldOut]).toFixed(2)
    ])
    assert.deepEqual(rows, [
      ['1790-1860', 67, 4, '3.07'],
      ['1861-1913', 50, 3, '3.87'],
      ['1914-1960', 45, 2, '1.69'],
      ['1961-2021', 59, 3, '2.14']
    ])
  })

  it('never changes its text nor what is held out of it', () => {
    assert.equal(sha256(brotliDecompressSync(asset)), 'e3ce935f3c4264f31f66fa4726e31a46745fae22b7949bfe8129afa3eb31fbc8')
    assert.equal(
      sha256(corpus.eras.flatMap(era => era.heldOut).join('\n')),
      'c7db31eb7b9969bed2175e5dfdee5f6a43d567de74ca115892c40135bc250088'
    )
  })

  it('holds out texts that nobody trains on', () => {
    const training = new Set(corpus.eras.flatMap(era => era.training))
    assert.ok(corpus.eras.every(era => era.heldOut.every(text => !training.has(text))))
  })

  it('refuses bytes that are not the asset', () => {
    const code = { code: 'bad_corpus' }
    assert.throws(() => openBuiltinCorpus(asset.subarray(0, 1000)), code)
    assert.throws(() => openBuiltinCorpus(new Uint8Array(0)), code)
    assert.throws(() => openBuiltinCorpus(brotliCompressSync('1790\tOne address only.\n')), code)
    assert.throws(
      () => openBuiltinCorpus(brotliCompressSync(Buffer.alloc(17 * 1024 * 1024), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })),
      code
    )
  })
})

describe('parseBuiltinName()', () => {
  it('reads all eras, one or several, and nothing else', () => {
    assert.equal(parseBuiltinName('sotu')?.length, 4)
    assert.deepEqual(parseBuiltinName('sotu:1914-1960'), ['1914-1960'])
    assert.deepEqual(parseBuiltinName('sotu:1914-1960,1790-1860'), ['1914-1960', '1790-1860'])
    assert.equal(parseBuiltinName('./sotu.txt'), null)
    assert.throws(() => parseBuiltinName('sotu:1960-1970'), {
      code: 'unknown_era',
      message: /only 1790-1860, 1861-1913, 1914-1960, 1961-2021$/
    })
  })
})
