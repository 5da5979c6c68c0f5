// Text out of a checkpoint folder, as `shoal generate` asks for it.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type GenerateOptions, generateFromCheckpoint } from '../../../../daemon/checkpoints/local-checkpoint.ts'
import { type StoredTensor, storedTensor, writeCheckpoint } from '../../../../storage/index.ts'
import { bytesTokenizer } from '../../../../training/data/train-bpe.ts'
import { toHuggingFace } from '../../../../training/models/huggingface/index.ts'
import { initialParameters } from '../../../../training/models/initial-parameters.ts'
import { createModel, type ModelConfig } from '../../../../training/models/model.ts'

const tokenizer = bytesTokenizer()
const CONTEXT = 12
const shape = { vocabulary: tokenizer.vocabulary, context: CONTEXT, width: 16, layers: 2, heads: 4, tiedEmbeddings: true }
const MODELS: ModelConfig[] = [
  { family: 'gpt2', ...shape, biases: true },
  { family: 'llama', ...shape, keyValueHeads: 2, hidden: 24 }
]

for (const config of MODELS)
  describe(`generateFromCheckpoint(), ${config.family}`, () => {
    let folder: string
    const say = (options: Partial<GenerateOptions>, onText?: (piece: string) => void) =>
      generateFromCheckpoint(folder, { engine: 'traced', prompt: 'ab', tokens: 40, ...options }, onText)

    before(async () => {
      folder = join(await mkdtemp(join(tmpdir(), 'shoal-generate-')), 'model')
      const model = createModel(config)
      // Ten times as spread as weights start, so that no two tokens are about equally likely.
      const parameters = initialParameters(model, 1).map(tensor => ({ ...tensor, values: tensor.values.map(value => 10 * value) }))
      const { config: settings, tensors } = toHuggingFace(model, parameters)
      const stored = tensors.map(({ name, shape: size, values }) => storedTensor(name, size, values))
      // As some versions of `transformers` save it: no parameter, and no number either.
      const mask: StoredTensor = { name: 'transformer.h.0.attn.bias', dtype: 'BOOL', shape: [1, 1, 2, 2], bytes: Uint8Array.of(1, 0, 1, 1) }
      await writeCheckpoint(folder, { config: settings, tensors: [...stored, mask], files: tokenizer.files() })
    })
    after(() => rm(join(folder, '..'), { recursive: true }))

    it('gives the same text for the same seed on every engine, in pieces, past its context too', async () => {
      let pieces = ''
      const text = await say({ seed: 3 }, piece => {
        pieces += piece
      })
      assert.equal(pieces, text)
      assert.equal(await say({ seed: 3, engine: 'js' }), text)
      assert.notEqual(await say({ seed: 4 }), text)
    })

    it('goes on from no prompt, and from one longer than its context', async () => {
      assert.equal((await say({ prompt: '', tokens: 1, temperature: 0 })).length, 1)
      const long = { prompt: 'x'.repeat(CONTEXT) + 'abcdefghijkl', tokens: 1, temperature: 0 }
      assert.equal(await say(long), await say({ ...long, prompt: 'abcdefghijkl' }))
    })

    it('begins as a longer text does: how many tokens are asked for changes no earlier one', async () => {
      // The last character of the shorter one may be a part of one.
      const short = (await say({ tokens: 9 })).replace(/\ufffd+$/, '')
      assert.ok(short.length > 0)
      assert.equal((await say({ tokens: 10 })).slice(0, short.length), short)
    })
  })
