import assert from 'node:assert/strict'
import { fromHuggingFace, toHuggingFace } from '../../../../training/models/huggingface/index.ts'
import { initialParameters } from '../../../../training/models/initial-parameters.ts'
import { createModel, type NamedTensor } from '../../../../training/models/model.ts'

const modelOf = (biases: boolean, tiedEmbeddings: boolean) =>
  createModel({ family: 'gpt2', vocabulary: 19, context: 8, width: 12, layers: 2, heads: 3, biases, tiedEmbeddings })
const small = () => {
  const model = modelOf(true, true)
  return { model, ...toHuggingFace(model, initialParameters(model, 1), { endOfText: 18 }) }
}
const renamed = (tensors: readonly NamedTensor[], rename: (name: string) => string): NamedTensor[] =>
  tensors.map(tensor => ({ ...tensor, name: rename(tensor.name) }))

for (const biases of [true, false])
  for (const tied of [true, false])
    describe(`Hugging Face, biases ${biases}, tied ${tied}`, () => {
      it('comes back as it went', () => {
        const model = modelOf(biases, tied)
        const parameters = initialParameters(model, 3)
        const { config, tensors } = toHuggingFace(model, parameters)
        assert.equal(tensors.length, 4 + 12 * 2 + (tied ? 0 : 1))
        assert.deepEqual(fromHuggingFace(JSON.parse(JSON.stringify(config)), tensors), { config: model.config, parameters })
      })
    })

for (const tied of [true, false])
  describe(`Hugging Face, llama, tied ${tied}`, () => {
    const llama = () =>
      createModel({
        family: 'llama',
        vocabulary: 19,
        context: 8,
        width: 16,
        layers: 2,
        heads: 4,
        keyValueHeads: 2,
        hidden: 24,
        tiedEmbeddings: tied
      })
    const written = () => {
      const model = llama()
      const parameters = initialParameters(model, 3)
      return { model, parameters, ...toHuggingFace(model, parameters) }
    }

    it('comes back as it went', () => {
      const { model, parameters, config, tensors } = written()
      assert.equal(tensors.length, 2 + 9 * 2 + (tied ? 0 : 1))
      assert.deepEqual(fromHuggingFace(JSON.parse(JSON.stringify(config)), tensors), { config: model.config, parameters })
    })

    it('reads the base of its positions where either form of config.json has it, and refuses stretched ones', () => {
      const { config, tensors } = written()
      const { rope_parameters: _, ...older } = config
      for (const form of [
        { ...older, rope_theta: 5e5 },
        { ...config, rope_parameters: { rope_type: 'default', rope_theta: 5e5 } }
      ]) {
        const read = fromHuggingFace(form, tensors).config
        assert.equal(read.family === 'llama' && read.ropeTheta, 5e5)
      }
      for (const wrong of [
        { rope_scaling: { type: 'linear', factor: 2 } },
        { attention_bias: true },
        { head_dim: 5 },
        { hidden_act: 'gelu' },
        { rms_norm_eps: { toString: null, valueOf: null } }
      ]) {
        const [key] = Object.keys(wrong)
        const named = key === 'rope_scaling' ? /rope_type is "linear"/ : new RegExp(`${key} is `)
        assert.throws(() => fromHuggingFace({ ...config, ...wrong }, tensors), { code: 'bad_hugging_face_folder', message: named })
      }
    })
  })

describe('toHuggingFace()', () => {
  it('says what GPT2LMHeadModel reads', () => {
    const { config, tensors } = small()
    assert.deepEqual(
      [
        config.model_type,
        config.architectures,
        config.vocab_size,
        config.n_positions,
        config.n_embd,
        config.n_layer,
        config.n_head,
        config.tie_word_embeddings
      ],
      ['gpt2', ['GPT2LMHeadModel'], 19, 8, 12, 2, 3, true]
    )
    assert.deepEqual([config.bos_token_id, config.eos_token_id, config.activation_function], [18, 18, 'gelu_new'])
    assert.deepEqual(tensors.find(({ name }) => name === 'transformer.h.1.attn.c_attn.weight')?.shape, [12, 36])
  })
})

describe('fromHuggingFace()', () => {
  it('takes a folder of transformers: fresh zero biases stay trainable, masks and a tied head are left out', () => {
    const { config, tensors } = small()
    const { shoal: _, ...theirs } = config
    const extra = [
      { name: 'transformer.h.0.attn.bias', shape: [1, 1, 8, 8], values: new Float32Array(64) },
      { name: 'lm_head.weight', shape: [19, 12], values: new Float32Array(228) }
    ]
    const { config: own, parameters } = fromHuggingFace(theirs, [...tensors, ...extra])
    assert.equal(own.family === 'gpt2' && own.biases, true)
    assert.deepEqual(parameters, tensors)
  })

  it('takes a bare GPT2Model, whose names have no prefix', () => {
    const { config, tensors } = small()
    const bare = renamed(tensors, name => name.replace('transformer.', ''))
    assert.deepEqual(fromHuggingFace(config, bare).parameters, tensors)
  })

  it('takes biases that were trained after they were exported as zeros', () => {
    const model = modelOf(false, true)
    const { config, tensors } = toHuggingFace(model, initialParameters(model, 1))
    tensors.find(({ name }) => name.endsWith('mlp.c_fc.bias'))!.values[0] = 1
    const own = fromHuggingFace(config, tensors).config
    assert.equal(own.family === 'gpt2' && own.biases, true)
  })

  it('refuses what it cannot compute, naming the setting', () => {
    const { config, tensors } = small()
    for (const [key, value] of Object.entries({
      model_type: 'bert',
      activation_function: 'relu',
      n_inner: 7,
      scale_attn_by_inverse_layer_idx: true,
      n_layer: 0,
      layer_norm_epsilon: { toString: null, valueOf: null }
    }))
      assert.throws(() => fromHuggingFace({ ...config, [key]: value }, tensors), {
        code: 'bad_hugging_face_folder',
        message: new RegExp(key)
      })
    assert.throws(() => fromHuggingFace(config, tensors.slice(1)), { code: 'bad_hugging_face_folder', message: /transformer\.wte\.weight/ })
    assert.throws(() => fromHuggingFace({ ...config, tie_word_embeddings: false }, tensors), {
      code: 'bad_hugging_face_folder',
      message: /lm_head/
    })
  })
})
