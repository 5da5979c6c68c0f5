import assert from 'node:assert/strict'
import { isCorpusFile, parseCorpus } from '../../../../training/data/corpus.ts'
import { TrainingError } from '../../../../training/errors.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const fails = (name: string, input: Uint8Array, code: string, details: Record<string, unknown> = {}) =>
  assert.throws(
    () => parseCorpus(name, input),
    (error: unknown) => {
      assert.ok(error instanceof TrainingError)
      assert.equal(error.code, code)
      assert.ok(error.message.includes(name))
      assert.ok(error.hint)
      for (const [key, value] of Object.entries(details)) assert.equal(error.details?.[key], value)
      return true
    }
  )

describe('parseCorpus()', () => {
  it('takes a text file as one document, its byte-order mark dropped', () => {
    assert.deepEqual(parseCorpus('a.txt', bytes('\ufeffone\ntwo\n')), ['one\ntwo\n'])
  })

  it('takes the field text of each JSON line and skips blank lines', () => {
    assert.deepEqual(parseCorpus('a.jsonl', bytes('{"text":"ä\\n","id":1}\r\n\n{"text":"b"}')), ['ä\n', 'b'])
  })

  it('names the line of what is no JSON object with a text', () => {
    fails('a.jsonl', bytes('{"text":"a"}\n\n{"text":\n'), 'bad_json_line', { line: 3 })
    fails('a.jsonl', bytes('{"text":"a"}\n{"body":"a"}'), 'bad_json_line', { line: 2 })
    fails('a.jsonl', bytes('{"text":7}'), 'bad_json_line', { line: 1 })
    fails('a.ndjson', bytes('["text"]'), 'bad_json_line', { line: 1 })
    fails('a.ndjson', bytes('null'), 'bad_json_line', { line: 1 })
  })

  it('names line and byte of what is not UTF-8', () => {
    fails('a.txt', Uint8Array.of(97, 10, 98, 10, 99, 0xff, 100, 10), 'invalid_utf8', { line: 3, byteOffset: 5 })
    fails('a.txt', Uint8Array.of(0xe4), 'invalid_utf8', { line: 1, byteOffset: 0 })
    fails('a.txt', Uint8Array.of(97, 0xe2, 0x82), 'invalid_utf8', { line: 1 })
    fails('a.jsonl', Uint8Array.of(...bytes('{"text":"a"}\n{"text":"'), 0xff, 34, 125), 'invalid_utf8', { line: 2 })
  })

  it('refuses a file without text, of unknown format or too large', () => {
    fails('a.txt', bytes(' \n\t'), 'corpus_empty')
    fails('a.txt', new Uint8Array(0), 'corpus_empty')
    fails('a.jsonl', bytes('\n\n'), 'corpus_empty')
    fails('a.jsonl', bytes('{"text":""}'), 'corpus_empty')
    fails('a.pdf', bytes('text'), 'bad_corpus')
    fails('a.txt', { length: 2 ** 28 + 1 } as Uint8Array, 'corpus_too_large')
  })
})

describe('isCorpusFile()', () => {
  it('tells text by its name', () => {
    assert.deepEqual(['a.txt', 'b.JSONL', 'c.md', 'd.ndjson', 'e.text'].map(isCorpusFile), Array(5).fill(true))
    assert.deepEqual(['a.pdf', 'txt', '.DS_Store'].map(isCorpusFile), Array(3).fill(false))
  })
})
