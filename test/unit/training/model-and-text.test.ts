// Evaluation and generation with a real model, on the default engine.
import assert from 'node:assert/strict'
import { createBatches } from '../../../training/data/batches.ts'
import { tokenizeDocuments } from '../../../training/data/tokenizer.ts'
import { bytesTokenizer } from '../../../training/data/train-bpe.ts'
import { type CompiledForward, type Engine, openEngine } from '../../../training/engines/engine.ts'
import { evaluate } from '../../../training/evaluation.ts'
import { type GenerateOptions, generate } from '../../../training/generation.ts'
import { initialParameters } from '../../../training/models/initial-parameters.ts'
import { createModel } from '../../../training/models/model.ts'

const tokenizer = bytesTokenizer()
const context = 16
const text = 'the state of the union '.repeat(60)
const model = createModel({
  family: 'gpt2',
  vocabulary: tokenizer.vocabulary,
  context,
  width: 32,
  layers: 1,
  heads: 2,
  biases: false,
  tiedEmbeddings: true
})

/** What a decoding saves its caller: the whole text through the model for each token. */
function computingAnew(forward: CompiledForward): GenerateOptions['decoding'] {
  let seen: number[] = []
  const last = async () => {
    const logits = await forward.logits(Int32Array.from({ length: context }, (_, i) => seen[i] ?? 0))
    return logits.slice((seen.length - 1) * tokenizer.vocabulary, seen.length * tokenizer.vocabulary)
  }
  return {
    begin(tokens) {
      seen = [...tokens]
      return last()
    },
    next(token) {
      seen.push(token)
      return last()
    }
  }
}

describe('a model that has read one sentence', () => {
  let engine: Engine
  let one: CompiledForward
  let four: CompiledForward
  const nats = async (forward: CompiledForward, batch: number) =>
    (await evaluate({ forward, tokenizer, texts: [text, 'of'], context, batch, maxWindows: 21 })).natsPerByte

  before(async () => {
    engine = await openEngine('traced', { threads: 1 })
    one = await engine.compileForward(model, { batch: 1, context })
    four = await engine.compileForward(model, { batch: 4, context })
    for (const forward of [one, four]) await forward.load(initialParameters(model, 1))
  })
  after(() => engine.dispose())

  it('knows nothing before: a byte costs what chance gives', async () => {
    assert.ok(Math.abs((await nats(four, 4)) - Math.log(tokenizer.vocabulary)) < 0.1)
  })

  it('then knows it, whatever the batch, and says it on from a prompt longer than the context', async () => {
    const optimizer = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clipNorm: 1 }
    const training = await engine.compileTraining(model, { batch: 4, context, accumulation: 1, optimizer })
    const batches = createBatches({ tokens: tokenizeDocuments(tokenizer, [text]), batch: 4, context, seed: 1 })
    await training.load(initialParameters(model, 1))
    for (let step = 0; step < 150; step++) await training.step([batches.next()], 1e-2)
    for (const forward of [one, four]) await forward.load(await training.parameters())
    const [alone, together] = [await nats(one, 1), await nats(four, 4)]
    assert.ok(Math.abs(alone - together) < 1e-5, `${alone} ${together}`)
    assert.ok(alone < 0.5, `${alone} nats a byte`)
    const decoding = await engine.compileDecoding(model, { context })
    await decoding.load(await training.parameters())
    const say = async (options: Pick<GenerateOptions, 'decoding' | 'prompt' | 'tokens' | 'temperature'>) => {
      let said = ''
      for await (const piece of generate({ tokenizer, context, seed: 5, ...options })) said += piece
      return said
    }
    assert.equal(await say({ decoding, prompt: text, tokens: 46, temperature: 0 }), text.slice(0, 46))
    const drawn = { prompt: 'of', tokens: 100, temperature: 3 }
    assert.equal(await say({ decoding, ...drawn }), await say({ decoding: computingAnew(one), ...drawn }))
  }).timeout(60_000)
})
