import assert from 'node:assert/strict'
import { Tokenizer as Reference } from '@huggingface/tokenizers'
import { createByteLevelBpe, splitWords } from '../../../../training/data/byte-level-bpe.ts'
import { gpt2Tokenizer } from '../../../../training/data/gpt2-tokenizer.ts'
import { resolveTokenizer } from '../../../../training/data/resolve-tokenizer.ts'
import { type Tokenizer, tokenizeDocuments } from '../../../../training/data/tokenizer.ts'
import { tokenizerFromJson } from '../../../../training/data/tokenizer-json.ts'
import { bytesTokenizer, trainByteBpe } from '../../../../training/data/train-bpe.ts'

/** Text with everything that trips tokenizers: runs of space, contractions, scripts, emoji with joiners, line ends, odd white space. */
const SAMPLES = [
  '',
  ' ',
  "The State  of the\n\nUnion isn't we'll  they've\t\ttabs ",
  'Grüße aus Köln, naïve café, ελληνικά, русский, 日本語テキスト, العربية, हिन्दी',
  '👩‍👩‍👧‍👦 🇩🇪 👍🏽 e\u0301',
  '12345 1,234.56 ² ½ Ⅳ',
  'a\u0085b \u00a0 \u3000c\u200bd \u2028e\r\nf',
  '   leading, trailing   ',
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'
]
const TEXT = 'It is the state of the union that the people of the states have made. '.repeat(40) + SAMPLES.join(' ')

const foreign = (tokenizer: Tokenizer) => {
  const files = tokenizer.files()
  return new Reference(JSON.parse(files['tokenizer.json']!), JSON.parse(files['tokenizer_config.json']!))
}

describe('bytesTokenizer()', () => {
  it('gives each byte its own number and ends texts with 256', () => {
    const tokenizer = bytesTokenizer()
    assert.deepEqual([tokenizer.kind, tokenizer.vocabulary, tokenizer.endOfText], ['bytes', 257, 256])
    assert.deepEqual([...tokenizer.encode('Aä')], [65, 0xc3, 0xa4])
    assert.equal(tokenizer.decode([0xc3, 0xa4, 256]), 'ä<|endoftext|>')
  })

  it('writes U+FFFD for bytes that are not UTF-8 and keeps U+FEFF', () => {
    assert.equal(bytesTokenizer().decode([0xef, 0xbb, 0xbf, 65, 0xc3]), '\ufeffA\ufffd')
  })

  it('counts bytes also where a character is cut', () => {
    assert.equal(bytesTokenizer().byteLength([0xe2, 0x82]), 2)
  })
})

describe('trainByteBpe()', () => {
  it('merges the most frequent pairs first', () => {
    const tokenizer = trainByteBpe(['abab abab abab cd'], { vocabulary: 260 })
    assert.equal(tokenizer.files()['merges.txt'], '#version: 0.2\na b\nab ab\nĠ abab\n')
    assert.equal(tokenizer.vocabulary, 260)
    assert.equal(tokenizer.endOfText, 259)
    assert.deepEqual([...tokenizer.encode('abab ababab')], [257, 258, 256])
  })

  it('stops when nothing occurs twice', () => {
    assert.equal(trainByteBpe(['abc'], { vocabulary: 1000 }).vocabulary, 257)
    assert.equal(trainByteBpe([], { vocabulary: 1000 }).vocabulary, 257)
  })

  it('gives the same tokenizer for the same text, and shorter ids than bytes', () => {
    const [one, two] = [trainByteBpe([TEXT], { vocabulary: 400 }), trainByteBpe([TEXT], { vocabulary: 400 })]
    assert.deepEqual(one.files(), two.files())
    assert.ok(one.encode(TEXT).length < Buffer.byteLength(TEXT) / 2)
  })

  it('refuses sizes that cannot be', () => {
    for (const vocabulary of [0, 256, 257.5, 40_000, Number.NaN]) {
      assert.throws(() => trainByteBpe([TEXT], { vocabulary }), { code: 'bad_tokenizer' })
    }
  })

  it('is rebuilt from its tokenizer.json', async () => {
    const trained = trainByteBpe([TEXT], { vocabulary: 400 })
    const rebuilt = await tokenizerFromJson(trained.files()['tokenizer.json']!, 'bpe')
    assert.deepEqual(rebuilt.files(), trained.files())
    for (const text of SAMPLES) assert.deepEqual(rebuilt.encode(text), trained.encode(text))
    assert.deepEqual([rebuilt.kind, rebuilt.vocabulary, rebuilt.endOfText], ['bpe', trained.vocabulary, trained.endOfText])
  })

  it('gives the ids that @huggingface/tokenizers gives from its files', () => {
    const trained = trainByteBpe([TEXT], { vocabulary: 400 })
    const reference = foreign(trained)
    // JavaScript's white space lacks U+0085, in which the package errs.
    for (const text of SAMPLES.map(text => text.replaceAll('\u0085', ''))) {
      assert.deepEqual([...trained.encode(text)], reference.encode(text, { add_special_tokens: false }).ids, JSON.stringify(text))
    }
  })

  it('takes a long word without spaces in its stride', () => {
    const tokenizer = trainByteBpe([TEXT], { vocabulary: 400 })
    const word = 'statesthe'.repeat(20_000)
    assert.equal(tokenizer.decode(tokenizer.encode(word)), word)
  })

  it('learns tokens of more bytes than a call may have arguments', () => {
    const line = '='.repeat(300_000)
    const ids = trainByteBpe([line], { vocabulary: 300 }).encode(line)
    assert.ok(ids.length < 20, `${ids.length} tokens`)
  })
})

describe('gpt2Tokenizer()', () => {
  let tokenizer: Tokenizer
  before(async () => {
    tokenizer = await gpt2Tokenizer()
  })

  it('gives the ids of GPT-2', () => {
    // As tiktoken and transformers give them (test/peers/with-transformers.py compares every character there is).
    assert.deepEqual([tokenizer.vocabulary, tokenizer.endOfText], [50257, 50256])
    assert.deepEqual([...tokenizer.encode('Hello, world! Grüße 👋')], [15496, 11, 995, 0, 1902, 9116, 39683, 68, 50169, 233])
    assert.deepEqual([...tokenizer.encode("a\n's b<|endoftext|>")], [64, 198, 338, 275, 50256])
  })

  it('treats U+FEFF as a character and U+0085 as white space, as GPT-2 does', () => {
    assert.deepEqual([...splitWords('a\u0085\u0085b\ufeff c')], ['a', '\u0085', '\u0085', 'b', '\ufeff', ' c'])
    assert.equal(tokenizer.decode(tokenizer.encode('\ufeffa')), '\ufeffa')
  })

  it('exports 50,000 merges, of which the first are known', () => {
    const merges = tokenizer.files()['merges.txt']!.trimEnd().split('\n')
    assert.equal(merges.length, 50_001)
    assert.deepEqual(merges.slice(0, 6), ['#version: 0.2', 'Ġ t', 'Ġ a', 'h e', 'i n', 'r e'])
  })

  it('is rebuilt from its tokenizer.json', async () => {
    const rebuilt = await tokenizerFromJson(tokenizer.files()['tokenizer.json']!, 'gpt2')
    for (const text of SAMPLES) assert.deepEqual(rebuilt.encode(text), tokenizer.encode(text))
  })
})

describe('tokenizerFromJson()', () => {
  const wordLevel = {
    version: '1.0',
    added_tokens: [{ id: 3, content: '</s>', special: true }],
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'Whitespace' },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: { '[UNK]': 0, he: 1, '##llo': 2, '</s>': 3 }
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: false }
  }

  it('takes other kinds of tokenizers', async () => {
    const tokenizer = await tokenizerFromJson(JSON.stringify(wordLevel))
    assert.deepEqual([tokenizer.kind, tokenizer.vocabulary, tokenizer.endOfText], ['json', 4, 3])
    assert.deepEqual([...tokenizer.encode('HELLO hello')], [1, 2, 1, 2])
    assert.equal(tokenizer.decode([1, 2]), 'hello')
    assert.deepEqual(Object.keys(tokenizer.files()), ['tokenizer.json', 'tokenizer_config.json'])
    assert.throws(() => tokenizer.decode([4]), { code: 'bad_token_id' })
  })

  it('leaves alone a file in which an added token and the vocabulary do not agree on an id', async () => {
    const file = JSON.parse(trainByteBpe([TEXT], { vocabulary: 262 }).files()['tokenizer.json']!)
    const end = '<|endoftext|>'
    const { id } = file.added_tokens[0]
    const { [end]: _, ...rest } = file.model.vocab
    for (const vocab of [
      { ...rest, j: id, [end]: rest.j },
      { ...rest, [end]: id + 1 },
      { ...rest, j: id }
    ]) {
      const text = JSON.stringify({ ...file, model: { ...file.model, vocab } })
      assert.equal((await tokenizerFromJson(text)).files()['tokenizer.json'], text)
    }
  })

  it('finds added tokens of any characters', () => {
    const contents = ['<|fim-prefix|>', String.raw`a\b`, '[x]{2}', '^.*+?()$|/']
    const pieces = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))
    const added = contents.map((content, i) => ({ id: 256 + i, content }))
    assert.deepEqual([...createByteLevelBpe('json', { pieces, merges: [], added }).encode(contents.join(''))], [256, 257, 258, 259])
  })

  it('takes more added tokens than a call may have arguments', () => {
    const pieces = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))
    const added = Array.from({ length: 200_000 }, (_, i) => ({ id: 256 + i, content: '' }))
    assert.equal(createByteLevelBpe('json', { pieces, merges: [], added }).vocabulary, 200_256)
  })

  it('refuses what is no tokenizer', async () => {
    const bpe = JSON.parse(bytesTokenizer().files()['tokenizer.json']!)
    const broken = [
      'nonsense',
      '[]',
      '{}',
      JSON.stringify({ ...wordLevel, model: { ...wordLevel.model, vocab: { a: -1 } } }),
      JSON.stringify({ ...wordLevel, model: { ...wordLevel.model, vocab: { a: 2 ** 31 } } }),
      JSON.stringify({ ...wordLevel, added_tokens: [{ id: 0, content: 'a' }] }).replace('"id":0', '"id":-0'),
      JSON.stringify({ ...wordLevel, model: { ...wordLevel.model, type: 'Oracle' } }),
      JSON.stringify({ ...bpe, model: { ...bpe.model, merges: ['a bb'] } }),
      JSON.stringify({ ...bpe, model: { ...bpe.model, merges: ['ab'] } })
    ]
    for (const json of broken) await assert.rejects(tokenizerFromJson(json), { code: 'bad_tokenizer' }, json.slice(0, 60))
  })
})

describe('resolveTokenizer()', () => {
  it('makes each kind, and prefers the text that a run names', async () => {
    const text = () => [TEXT]
    assert.equal((await resolveTokenizer({ kind: 'bytes' }, text)).vocabulary, 257)
    const trained = await resolveTokenizer({ kind: 'bpe', vocabulary: 300 }, text)
    assert.equal(trained.vocabulary, 300)
    const named = await resolveTokenizer({ kind: 'bpe', vocabulary: 300, json: trained.files()['tokenizer.json']! }, () =>
      assert.fail('must not train')
    )
    assert.deepEqual([named.kind, named.files()], ['bpe', trained.files()])
    await assert.rejects(resolveTokenizer({ kind: 'json' }, text), { code: 'bad_tokenizer' })
  })
})

describe('tokenizeDocuments()', () => {
  it('ends each document', () => {
    assert.deepEqual([...tokenizeDocuments(bytesTokenizer(), ['a', '', 'b'])], [97, 256, 256, 98, 256])
  })
})
