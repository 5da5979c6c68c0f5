// From a run's description to a run: its author's node makes tokenizer and genesis anchor, signs the manifest, and keeps all of it as blocks.
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { BlockStore } from '../../storage/index.ts'
import type { Arithmetic, StageNames } from '../arithmetic/arithmetic.ts'
import { DaemonError } from '../errors.ts'
import { type Manifest, parseRunSpec, type RunSpec, resolveManifest, type SigningKey, signManifest } from '../manifest.ts'
import { askProcess } from '../one-shot.ts'
import { storeFiles } from './file-bundle.ts'

/** What the genesis process is asked. */
export interface GenesisRequest {
  spec: RunSpec
  baseDir: string
  /** Where it writes the genesis parameters, safetensors. */
  parametersFile: string
}

export interface GenesisReply {
  model: Manifest['model']
  tokenizer: { kind: Manifest['tokenizer']['kind']; json: string | null }
  stages: StageNames[]
}

export interface GenesisComponents {
  self: string
  privateKey: SigningKey
  blocks: BlockStore
  arithmetic: Arithmetic
  /** A folder for files that are gone afterwards. */
  scratch: string
}

/** Makes a run of a description and gives its id. @throws DaemonError for what is wrong with the description, or `genesis_unusable` */
export async function createRun(
  input: unknown,
  { baseDir = '.', file, signal }: { baseDir?: string; file?: string; signal?: AbortSignal },
  { self, privateKey, blocks, arithmetic, scratch }: GenesisComponents
): Promise<{ run: string; manifest: Manifest }> {
  const spec = parseRunSpec(input, file === undefined ? {} : { file })
  await mkdir(scratch, { recursive: true })
  const parametersFile = join(scratch, `genesis-${process.pid}-${performance.now()}.safetensors`)
  try {
    const made = await askProcess<GenesisRequest, GenesisReply>(
      new URL('./genesis-process.js', import.meta.url),
      { spec, baseDir: resolve(baseDir), parametersFile },
      signal === undefined ? {} : { signal }
    )
    const { anchor } = await arithmetic.safetensorsToAnchor({ file: parametersFile, stages: made.stages, strategy: spec.strategy })
    const { vocabulary, ...model } = made.model
    const json = made.tokenizer.json === null ? null : await storeFiles(blocks, { 'tokenizer.json': Buffer.from(made.tokenizer.json) })
    const files = spec.data.corpus === 'files' ? await storeCorpora(blocks, spec.data.files, resolve(baseDir)) : undefined
    const manifest = resolveManifest(spec, {
      author: self,
      tokenizer: { kind: made.tokenizer.kind, vocabulary, json },
      anchor,
      model,
      ...(files === undefined ? {} : { files })
    })
    const block = await signManifest(manifest, privateKey)
    await blocks.put(block.cid, block.bytes, { durable: true })
    return { run: block.cid, manifest }
  } finally {
    await rm(parametersFile, { force: true })
  }
}

async function storeCorpora(blocks: BlockStore, paths: string[], baseDir: string): Promise<{ name: string; file: string }[]> {
  const files: { name: string; file: string }[] = []
  for (const path of paths) {
    const bytes = await readFile(resolve(baseDir, path)).catch((cause: unknown) => {
      throw new DaemonError('data_unreadable', `Cannot read the corpus file "${path}"`, {
        cause,
        hint: 'Paths are read from where the description lies'
      })
    })
    const name = path.split('/').at(-1)!
    files.push({ name, file: await storeFiles(blocks, { [name]: bytes }) })
  }
  return files
}
