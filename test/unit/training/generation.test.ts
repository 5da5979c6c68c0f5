import assert from 'node:assert/strict'
import type { Tokenizer } from '../../../training/data/tokenizer.ts'
import { bytesTokenizer } from '../../../training/data/train-bpe.ts'
import { type GenerateOptions, generate } from '../../../training/generation.ts'

const context = 4
const tokenizer = bytesTokenizer()

/** A model whose likeliest next token is `next(token)`, the second likeliest one more; `seen` becomes how many tokens it was given at a time. */
function chain(next: (token: number) => number, vocabulary = tokenizer.vocabulary, seen: number[] = []): GenerateOptions['decoding'] {
  const after = (token: number): Float32Array => {
    const logits = new Float32Array(vocabulary)
    logits[next(token)] = 5
    logits[next(token) + 1] = 4
    return logits
  }
  let length = 0
  return {
    async begin(tokens) {
      assert.ok(tokens.length > 0 && tokens.length <= context)
      seen.push(tokens.length)
      length = tokens.length
      return after(tokens.at(-1)!)
    },
    async next(token) {
      assert.ok(++length <= context)
      seen.push(1)
      return after(token)
    }
  }
}

async function pieces(options: Partial<GenerateOptions>): Promise<string[]> {
  const decoding = chain(token => token + 1)
  const all: string[] = []
  for await (const piece of generate({ decoding, tokenizer, context, prompt: 'a', tokens: 5, temperature: 0, ...options })) all.push(piece)
  return all
}

describe('generate()', () => {
  it('follows the likeliest tokens at temperature 0', async () => {
    assert.deepEqual(await pieces({}), ['b', 'c', 'd', 'e', 'f'])
  })

  it('sees the end of a prompt longer than the context', async () => {
    assert.equal((await pieces({ prompt: 'xxxxxxxxxxxxxxxxxxxm', tokens: 6 })).join(''), 'nopqrs')
  })

  it('gives the model one token at a time, and the later half of its window anew when that is full', async () => {
    const seen: number[] = []
    const decoding = chain(token => token + 1, tokenizer.vocabulary, seen)
    assert.equal((await pieces({ decoding, prompt: 'ab', tokens: 7 })).join(''), 'cdefghi')
    assert.deepEqual(seen, [2, 1, 1, 3, 1, 3, 1])
  })

  it('draws the same for the same seed and otherwise for another', async () => {
    const text = async (seed: number) => (await pieces({ temperature: 1, tokens: 40, seed })).join('')
    assert.equal(await text(1), await text(1))
    assert.notEqual(await text(1), await text(2))
  })

  it('draws from the top k only', async () => {
    const text = (await pieces({ decoding: chain(() => 65), temperature: 3, topK: 2, tokens: 200 })).join('')
    assert.match(text, /^(?=.*A)(?=.*B)[AB]{200}$/)
    assert.match((await pieces({ temperature: 3, topK: 1 })).join(''), /^bcdef$/)
  })

  it('ends at the end of text', async () => {
    assert.deepEqual(await pieces({ decoding: chain(() => 256, 258) }), [])
  })

  it('gives out whole characters only, and what is left at the end', async () => {
    const bytes = [...new TextEncoder().encode('ä👍é')]
    const spelling = () => {
      // Twice asked for each token drawn.
      let asked = 0
      return chain(() => bytes[Math.floor(asked++ / 2)]!)
    }
    assert.deepEqual(await pieces({ decoding: spelling(), tokens: bytes.length }), ['ä', '👍', 'é'])
    assert.deepEqual(await pieces({ decoding: spelling(), tokens: 4 }), ['ä', '\ufffd'])
  })

  it('begins an empty prompt after an end of text', async () => {
    const decoding = chain(token => (token === 256 ? 66 : 67))
    assert.equal((await pieces({ decoding, prompt: '', tokens: 2 })).join(''), 'BC')
  })

  it('never draws an id that the tokenizer lacks, and refuses a model that lacks one', async () => {
    assert.equal((await pieces({ decoding: chain(() => 300, 320), tokens: 1 })).length, 1)
    await assert.rejects(pieces({ decoding: chain(() => 1, 100) }), { code: 'bad_generation' })
  })

  it('gives spaces between words also when the tokenizer drops the first one', async () => {
    const words: Tokenizer = { ...tokenizer, endOfText: null, decode: ids => Array.from(ids, id => `w${id}`).join(' ') }
    assert.equal((await pieces({ tokenizer: words, tokens: 3 })).join(''), 'w98 w99 w100')
  })

  it('refuses settings that make no sense, and stops when told to', async () => {
    for (const wrong of [{ tokens: -1 }, { tokens: 1.5 }, { temperature: -1 }, { temperature: Number.NaN }, { topK: -1 }]) {
      await assert.rejects(pieces(wrong), { code: 'bad_generation' })
    }
    await assert.rejects(pieces({ signal: AbortSignal.abort() }), { name: 'AbortError' })
  })

  it('hears a time limit although the model never lets anybody else have a turn', async () => {
    await assert.rejects(pieces({ decoding: chain(() => 65), tokens: 1_000_000, signal: AbortSignal.timeout(1) }), { name: 'TimeoutError' })
  })
})
