// What must never change by accident: token ids and data order, on which runs that are under way rest.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { createBatches } from '../../training/data/batches.ts'
import { openBuiltinCorpus } from '../../training/data/builtin-corpus.ts'
import { gpt2Tokenizer } from '../../training/data/gpt2-tokenizer.ts'
import { createRandom } from '../../training/data/random.ts'
import { assignSlots } from '../../training/data/slots.ts'
import { bytesTokenizer, trainByteBpe } from '../../training/data/train-bpe.ts'

const LINES = ['Fellow-Citizens of the Senate', ' and  House\n\nof Representatives:', 'Grüße, 日本語 👍🏽']
const sha256 = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const asset = readFileSync(join(import.meta.dirname, '../../../training/data/sotu.txt.br'))
const { eras } = openBuiltinCorpus(asset)

describe('golden data', () => {
  it('gpt2: ids, and the tokens of ten million characters that other tokenizers agree on', async () => {
    const tokenizer = await gpt2Tokenizer()
    assert.deepEqual(
      LINES.map(line => [...tokenizer.encode(line)]),
      [
        [37, 5037, 12, 34, 34100, 286, 262, 3845],
        [290, 220, 2097, 198, 198, 1659, 17132, 25],
        [8642, 9116, 39683, 68, 11, 10545, 245, 98, 17312, 105, 45739, 252, 50169, 235, 8582, 237, 121]
      ]
    )
    // Six other tokenizers count 1,919,307 tokens in these ten million characters of the source, whose one control character the asset leaves out.
    const texts = brotliDecompressSync(asset).toString().trimEnd().split('\n')
    const source = texts
      .map(line => line.slice(5))
      .join('\n\n')
      .replace('4 and 4 1 per cent', '4 and 4 1\u0002 per cent')
    assert.equal(tokenizer.encode(source.slice(0, 10_000_000)).length, 1_919_307)
  }).timeout(60_000)

  it('bpe: the tokenizer that an era trains', () => {
    const tokenizer = trainByteBpe(eras[3]!.training, { vocabulary: 512 })
    assert.deepEqual(
      LINES.map(line => [...tokenizer.encode(line)]),
      [
        [70, 101, 286, 328, 45, 67, 274, 480, 269, 115, 282, 263, 346, 269, 381],
        [280, 32, 32, 72, 301, 319, 10, 10, 111, 102, 32, 82, 509, 348, 300, 267, 410, 275, 58],
        [71, 114, 195, 188, 195, 159, 101, 44, 32, 230, 151, 165, 230, 156, 172, 232, 170, 158, 32, 240, 159, 145, 141, 240, 159, 143, 189]
      ]
    )
    assert.equal(sha256(tokenizer.files()['tokenizer.json']!), 'b11c8e4023f09843377eeea2d1631a6609545c6e217765a0bc5fbc7fd895ce07')
  }).timeout(60_000)

  it('bytes: the files', () => {
    assert.equal(sha256(bytesTokenizer().files()['tokenizer.json']!), '6efa1265e57b68a126f106b7c0574e676272eecb6cdfa61c6db11742c2830005')
  })

  it('random numbers, slots and batches', () => {
    const random = createRandom('golden')
    assert.deepEqual(
      Array.from({ length: 4 }, () => random.integer(2 ** 32)),
      [3665375173, 1259981143, 1018077012, 2587215476]
    )
    const question = { slots: 40, epoch: 1, seed: 7, contributors: ['a', 'b', 'c'] }
    assert.deepEqual([...assignSlots({ ...question, peer: 'b' })], [20, 35, 17, 37, 4, 32, 25, 11, 8, 1, 33, 36])
    assert.deepEqual([...assignSlots({ ...question, peer: 'x' })], [7, 16, 15])
    const tokens = Int32Array.from({ length: 101 }, (_, i) => i)
    assert.deepEqual(
      [
        ...createBatches({ tokens, batch: 10, context: 10, seed: 7 })
          .next()
          .inputs.filter((_, i) => i % 10 === 0)
      ],
      [20, 10, 70, 90, 60, 50, 0, 30, 80, 40]
    )
  })
})
