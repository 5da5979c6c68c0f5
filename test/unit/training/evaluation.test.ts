import assert from 'node:assert/strict'
import { bytesTokenizer, trainByteBpe } from '../../../training/data/train-bpe.ts'
import { evaluate } from '../../../training/evaluation.ts'

const [batch, context] = [3, 8]

/** A model that loses as many nats at each position as the target's id says. */
const byTarget = {
  calls: 0,
  async losses(inputs: Int32Array, targets: Int32Array): Promise<Float32Array> {
    assert.equal(inputs.length, batch * context)
    this.calls++
    return Float32Array.from(targets)
  }
}

describe('evaluate()', () => {
  it('scores every token once, whatever the windows', async () => {
    const texts = ['a', 'bc'.repeat(30), 'ü'.repeat(17)]
    const tokenizer = bytesTokenizer()
    const ids = texts.flatMap(text => [...tokenizer.encode(text)])
    const nats = ids.reduce((sum, id) => sum + id, 0)
    const result = await evaluate({ forward: byTarget, tokenizer, texts, context, batch })
    assert.deepEqual([result.tokens, result.bytes], [ids.length, 1 + 60 + 34])
    assert.ok(Math.abs(result.natsPerToken - nats / ids.length) < 1e-9)
    assert.equal(result.bitsPerByte, result.natsPerByte / Math.LN2)
    assert.equal(result.perplexity, Math.exp(result.natsPerToken))
  })

  it('counts bytes, not tokens, for nats a byte', async () => {
    const text = 'the state of the state '.repeat(10)
    const tokenizer = trainByteBpe([text], { vocabulary: 270 })
    const result = await evaluate({ forward: byTarget, tokenizer, texts: [text], context, batch })
    assert.equal(result.bytes, text.length)
    assert.ok(result.tokens < text.length / 2)
    assert.ok(Math.abs(result.natsPerByte * result.bytes - result.natsPerToken * result.tokens) < 1e-6)
  })

  it('takes no token as seen where there is no end of text, and so scores one less', async () => {
    const tokenizer = { ...bytesTokenizer(), endOfText: null }
    assert.equal((await evaluate({ forward: byTarget, tokenizer, texts: ['abc'], context, batch })).tokens, 2)
  })

  it('looks at evenly spaced windows when told to look at few', async () => {
    const texts = Array.from({ length: 100 }, (_, i) => String.fromCharCode(i + 20).repeat(context))
    const forward = { ...byTarget, calls: 0 }
    const result = await evaluate({ forward, tokenizer: bytesTokenizer(), texts, context, batch, maxWindows: 10 })
    assert.deepEqual([result.tokens, forward.calls, result.natsPerToken], [80, 4, 20 + 45])
  })

  it('refuses to score nothing, and stops when told to', async () => {
    const some = { forward: byTarget, tokenizer: bytesTokenizer(), context, batch }
    await assert.rejects(evaluate({ ...some, texts: [] }), { code: 'corpus_empty' })
    await assert.rejects(evaluate({ ...some, texts: [''] }), { code: 'corpus_empty' })
    await assert.rejects(evaluate({ ...some, texts: ['text'], signal: AbortSignal.abort() }), { name: 'AbortError' })
  })

  it('hears a time limit although the model never lets anybody else have a turn', async () => {
    const texts = Array.from({ length: 20_000 }, () => 'abcdefgh')
    const question = { forward: byTarget, tokenizer: bytesTokenizer(), texts, context, batch, signal: AbortSignal.timeout(1) }
    await assert.rejects(evaluate(question), { name: 'TimeoutError' })
  })
})
