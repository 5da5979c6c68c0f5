import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { openCheckpoint, type StorageError, storedTensor, writeCheckpoint, writeSafetensorsFile } from '../../../storage/index.ts'
import { readCheckpoint } from './read-checkpoint.ts'
import { temporaryHome } from './temporary-home.ts'

const wte = storedTensor('transformer.wte.weight', [2, 2], Float32Array.of(1, 2, 3, 4))
const ln = storedTensor('transformer.ln_f.weight', [2], Float32Array.of(5, 6))
const checkpoint = {
  config: { model_type: 'gpt2', n_embd: 2 },
  tensors: [wte, ln],
  files: { 'tokenizer.json': '{"é":1}', 'merges.txt': '#version: 0.2\n' }
}

describe('writeCheckpoint()', () => {
  const home = temporaryHome()
  const folder = (): string => join(home(), 'deep', 'checkpoint')

  it('writes a folder that openCheckpoint() gives back', async () => {
    await writeCheckpoint(folder(), checkpoint)
    assert.deepEqual(await readCheckpoint(folder()), checkpoint)
    assert.deepEqual(readdirSync(folder()).sort(), ['config.json', 'merges.txt', 'model.safetensors', 'tokenizer.json'])
    assert.deepEqual(readdirSync(dirname(folder())), ['checkpoint'])
    assert.match(readFileSync(join(folder(), 'model.safetensors'), 'latin1'), /"__metadata__":\{"format":"pt"\}/)
  })

  it('makes folders above it that others may read as they may its files', async () => {
    await writeCheckpoint(folder(), checkpoint)
    assert.equal(statSync(dirname(folder())).mode, statSync(folder()).mode)
  })

  it('ends with an error where nothing can be made', async function () {
    if (process.platform !== 'linux') this.skip()
    await assert.rejects(writeCheckpoint('/proc/nope/deeper/checkpoint', checkpoint), { code: 'file_missing' })
  })

  it('takes an empty folder, and refuses one with something in it', async () => {
    mkdirSync(folder(), { recursive: true })
    await writeCheckpoint(`${folder()}/`, checkpoint)
    await assert.rejects(writeCheckpoint(folder(), checkpoint), { code: 'checkpoint_exists' })
  })

  it('leaves nothing when it fails or is stopped', async () => {
    const failing = {
      ...checkpoint,
      tensors: [wte, { name: 'a', dtype: 'F32' as const, shape: [1], read: () => Promise.reject(new Error('gone')) }]
    }
    await assert.rejects(writeCheckpoint(folder(), failing))
    await assert.rejects(writeCheckpoint(folder(), checkpoint, { signal: AbortSignal.abort() }), { name: 'AbortError' })
    assert.deepEqual(readdirSync(dirname(folder())), [])
  })

  it('clears away the attempt of a writer that died', async () => {
    const attempt = `${folder()}.${2 ** 22 + 1}-0-1.shoal-tmp`
    const another = join(dirname(folder()), `other.${2 ** 22 + 1}-0-1.shoal-tmp`)
    for (const path of [attempt, another]) mkdirSync(path, { recursive: true })
    await writeCheckpoint(folder(), checkpoint)
    assert.deepEqual(readdirSync(dirname(folder())).sort(), ['checkpoint', basename(another)])
  })

  for (const name of [
    '../evil',
    '/etc/passwd',
    '.hidden',
    'a/b',
    '',
    'config.json',
    'model.safetensors',
    'model.safetensors.index.json',
    'nul\0'
  ]) {
    it(`refuses to write a file called ${JSON.stringify(name)}`, async () => {
      await assert.rejects(writeCheckpoint(folder(), { ...checkpoint, files: { [name]: '' } }), { code: 'checkpoint_path' })
    })
  }
})

describe('openCheckpoint()', () => {
  const home = temporaryHome()
  const put = (name: string, text: string): void => writeFileSync(join(home(), name), text)
  const index = (map: unknown): void =>
    put('model.safetensors.index.json', JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }))

  async function shards(): Promise<void> {
    put('config.json', '{"n_embd":2}')
    await writeSafetensorsFile(join(home(), 'model-00001-of-00002.safetensors'), [wte])
    await writeSafetensorsFile(join(home(), 'model-00002-of-00002.safetensors'), [ln])
    index({ [wte.name]: 'model-00001-of-00002.safetensors', [ln.name]: 'model-00002-of-00002.safetensors' })
  }

  it('reads shards by their index', async () => {
    await shards()
    assert.deepEqual(await readCheckpoint(home()), { config: { n_embd: 2 }, tensors: [wte, ln], files: {} })
  })

  it('reads one tensor at a time from either form', async () => {
    await shards()
    const sharded = await openCheckpoint(home())
    assert.deepEqual(await sharded.read(ln.name), ln)
    await assert.rejects(sharded.read('no'), { code: 'safetensors_missing' })
    await sharded.close()
    await writeSafetensorsFile(join(home(), 'model.safetensors'), [wte])
    const whole = await openCheckpoint(home())
    assert.deepEqual(whole.tensors, [{ name: wte.name, dtype: 'F32', shape: [2, 2] }], 'the whole file wins, as in transformers')
    assert.deepEqual(await whole.read(wte.name), wte)
    await whole.close()
  })

  it('refuses an index that lies about its shards', async () => {
    await shards()
    index({ [wte.name]: 'model-00001-of-00002.safetensors', [ln.name]: 'model-00001-of-00002.safetensors' })
    await assert.rejects(readCheckpoint(home()), { code: 'checkpoint_index' })
    index({ [wte.name]: 'model-00001-of-00002.safetensors', other: 'model-00002-of-00002.safetensors' })
    await assert.rejects(readCheckpoint(home()), { code: 'checkpoint_index' })
    index({ [wte.name]: 'model-00003-of-00003.safetensors' })
    await assert.rejects(readCheckpoint(home()), { code: 'checkpoint_missing' })
    for (const map of [null, [], {}, 'x']) {
      index(map)
      await assert.rejects(readCheckpoint(home()), { code: 'checkpoint_index' })
    }
    put('model.safetensors.index.json', '{"weight_map"')
    await assert.rejects(readCheckpoint(home()), { code: 'checkpoint_index' })
  })

  for (const shard of [
    '../x.safetensors',
    '/etc/x.safetensors',
    'a/b.safetensors',
    '..\\x.safetensors',
    'model.bin',
    '.safetensors',
    7,
    { toString: 1 }
  ]) {
    it(`refuses an index that names ${JSON.stringify(shard)}`, async () => {
      await shards()
      index({ a: shard })
      await assert.rejects(readCheckpoint(home()), { code: 'checkpoint_path' })
    })
  }

  it('refuses links that lead out of the folder, and follows those inside', async () => {
    await shards()
    const folder = join(home(), 'linked')
    mkdirSync(folder)
    symlinkSync('../config.json', join(folder, 'config.json'))
    await assert.rejects(readCheckpoint(folder), { code: 'checkpoint_path' })
    symlinkSync('config.json', join(home(), 'generation_config.json'))
    assert.deepEqual((await readCheckpoint(home())).files, { 'generation_config.json': '{"n_embd":2}' })
  })

  it("follows the links of Hugging Face's cache", async () => {
    const snapshot = join(home(), 'models--gpt2', 'snapshots', 'abc')
    mkdirSync(snapshot, { recursive: true })
    await writeCheckpoint(join(home(), 'models--gpt2', 'blobs'), checkpoint)
    for (const name of ['config.json', 'model.safetensors']) symlinkSync(`../../blobs/${name}`, join(snapshot, name))
    assert.deepEqual((await readCheckpoint(snapshot)).tensors, checkpoint.tensors)
    symlinkSync('/etc/hostname', join(snapshot, 'tokenizer.json'))
    await assert.rejects(readCheckpoint(snapshot), { code: 'checkpoint_path' })
  })

  it('says what is missing, and how to make it', async () => {
    const refusal = async (code: string, hint: RegExp) =>
      assert.rejects(readCheckpoint(home()), (error: StorageError) => error.code === code && hint.test(error.hint ?? ''))
    await refusal('checkpoint_missing', /config\.json/)
    put('config.json', '{}')
    put('pytorch_model.bin', '')
    await refusal('checkpoint_missing', /safe_serialization/)
    await assert.rejects(readCheckpoint(join(home(), 'none')), { code: 'file_missing' })
  })

  it('refuses files that are too large or not what they should be', async () => {
    await writeSafetensorsFile(join(home(), 'model.safetensors'), [wte])
    for (const text of ['[]', 'null', '{', '\ufeff{}x']) {
      put('config.json', text)
      await assert.rejects(readCheckpoint(home()), { code: 'checkpoint_config' })
    }
    put('config.json', `{"a":"${'x'.repeat(1024 * 1024)}"}`)
    await assert.rejects(readCheckpoint(home()), { code: 'file_too_large' })
    put('config.json', '{}')
    writeFileSync(join(home(), 'vocab.json'), Uint8Array.of(0xff))
    await assert.rejects(readCheckpoint(home()), { code: 'checkpoint_config' })
  })
})
