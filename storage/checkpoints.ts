// Checkpoints are Hugging Face folders: config.json, model.safetensors (or shards and their index), tokenizer files. A folder is written whole
// or not at all; one that is read may come from anywhere, so that every name in it is checked before it becomes a path.
import { type FileHandle, mkdir, open, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import {
  CHECKPOINT_CONFIG_BYTES_MAX,
  CHECKPOINT_FILE_BYTES_MAX,
  CHECKPOINT_FILES_MAX,
  CHECKPOINT_SHARDS_MAX,
  RESERVED_BYTES,
  SAFETENSORS_HEADER_BYTES_MAX
} from './constants.ts'
import { fileFailure, quoted, StorageError, systemCode } from './errors.ts'
import { makeFolder } from './folders.ts'
import { requireRoom } from './free-bytes.ts'
import { removeLeftovers, temporaryPath } from './leftovers.ts'
import { type OpenSafetensors, openSafetensors, safetensorsBytes, type TensorSource, writeTensors } from './safetensors.ts'
import type { StoredTensor, TensorInfo } from './tensors.ts'
import { syncDirectory, writeAll, writeFileWhole } from './write-file-atomic.ts'

const CONFIG = 'config.json'
const WEIGHTS = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'
/** Names that are one plain file: nothing that a path could be made of, nothing hidden. */
const PLAIN_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
/** What `transformers` needs to see before it loads a file. */
const METADATA = { format: 'pt' }

/** A checkpoint of which one tensor is read at a time. */
export interface OpenCheckpoint {
  config: Record<string, unknown>
  /** The other small text files of the folder (.json, .txt), tokenizer.json among them. */
  files: Record<string, string>
  tensors: TensorInfo[]
  /** @throws StorageError `safetensors_missing` and the others of OpenSafetensors.read() */
  read(name: string, options?: { signal?: AbortSignal }): Promise<StoredTensor>
  close(): Promise<void>
}

export interface NewCheckpoint {
  config: object
  tensors: readonly (StoredTensor | TensorSource)[]
  files: Record<string, string | Uint8Array>
}

/**
 * Writes a folder whole: beside its place, fsync, rename. A folder that is there and not empty is refused.
 *
 * @throws StorageError `checkpoint_exists`, `checkpoint_path`, `disk_full`, `not_permitted`, `file_missing`, `io_error`
 */
export async function writeCheckpoint(directory: string, checkpoint: NewCheckpoint, options: { signal?: AbortSignal } = {}): Promise<void> {
  const place = resolve(directory)
  const config = `${JSON.stringify(checkpoint.config, null, 2)}\n`
  for (const name of Object.keys(checkpoint.files)) checkFileName(name)
  await checkPlace(place)
  const action = 'write a checkpoint'
  const temporary = temporaryPath(place)
  try {
    await makeFolder(dirname(place), { mode: 0o777 })
    await removeOldAttempts(place)
    await requireRoom(action, place, Buffer.byteLength(config) + safetensorsBytes(checkpoint.tensors, METADATA), RESERVED_BYTES)
    await mkdir(temporary)
    for (const [name, content] of Object.entries({ ...checkpoint.files, [CONFIG]: config })) {
      const bytes = typeof content === 'string' ? Buffer.from(content) : content
      await writeFileWhole(join(temporary, name), handle => writeAll(handle, bytes, options.signal))
    }
    await writeFileWhole(join(temporary, WEIGHTS), handle => writeTensors(handle, checkpoint.tensors, METADATA, options.signal))
    await syncDirectory(temporary)
    options.signal?.throwIfAborted()
    await moveInto(temporary, place)
    await syncDirectory(dirname(place))
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw fileFailure(action, place, error)
  }
}

/**
 * Reads and checks all but the tensors' data. The caller closes it.
 *
 * @throws StorageError `checkpoint_missing`, `checkpoint_config`, `checkpoint_index`, `checkpoint_path`, `file_too_large`, and those of openSafetensors()
 */
export async function openCheckpoint(directory: string, options: { signal?: AbortSignal } = {}): Promise<OpenCheckpoint> {
  const place = resolve(directory)
  options.signal?.throwIfAborted()
  try {
    const names = await readdir(place)
    const config = parseObject('checkpoint_config', CONFIG, await readText(place, CONFIG, CHECKPOINT_CONFIG_BYTES_MAX))
    const files = await readFiles(place, names)
    const weights = names.includes(WEIGHTS) || !names.includes(INDEX) ? await openOne(place, names) : await openShards(place)
    return { config, files, ...weights }
  } catch (error) {
    throw fileFailure('read a checkpoint', place, error)
  }
}

type Weights = Pick<OpenCheckpoint, 'tensors' | 'read' | 'close'>

async function openOne(place: string, names: string[]): Promise<Weights> {
  if (!names.includes(WEIGHTS)) {
    const pickled = names.find(name => /\.(bin|pt|pth)$/.test(name))
    throw new StorageError(
      'checkpoint_missing',
      `${place} has no ${WEIGHTS}${pickled ? ` (${pickled} is not read: it may run code)` : ''}`,
      {
        hint: 'save it as safetensors: model.save_pretrained(folder, safe_serialization=True)'
      }
    )
  }
  const { tensors, read, close } = await openSafetensors(await contained(place, WEIGHTS))
  return { tensors, read, close }
}

async function openShards(place: string): Promise<Weights> {
  const shardOf = parseShardIndex(await readText(place, INDEX, SAFETENSORS_HEADER_BYTES_MAX))
  const shards = new Map<string, OpenSafetensors>()
  const close = async () => {
    for (const shard of shards.values()) await shard.close()
  }
  try {
    for (const name of new Set(shardOf.values())) shards.set(name, await openSafetensors(await contained(place, name)))
    const tensors = [...shards].flatMap(([file, shard]) => {
      for (const { name } of shard.tensors) {
        if (shardOf.get(name) !== file)
          throw new StorageError('checkpoint_index', `${INDEX} does not say that ${JSON.stringify(name)} is in ${file}`)
      }
      return shard.tensors
    })
    for (const [name, file] of shardOf) {
      if (!shards.get(file)!.has(name))
        throw new StorageError('checkpoint_index', `${INDEX} says that ${JSON.stringify(name)} is in ${file}; it is not`)
    }
    const read: Weights['read'] = async (name, options) => {
      const shard = shards.get(shardOf.get(name) ?? '')
      if (shard === undefined) throw new StorageError('safetensors_missing', `${place} holds no tensor ${JSON.stringify(name)}`)
      return shard.read(name, options)
    }
    return { tensors, read, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Shards by the tensors in them. @throws StorageError `checkpoint_index`, `checkpoint_path` */
export function parseShardIndex(text: string): Map<string, string> {
  const { weight_map: map } = parseObject('checkpoint_index', INDEX, text)
  if (typeof map !== 'object' || map === null || Array.isArray(map))
    throw new StorageError('checkpoint_index', `${INDEX} has no weight_map`)
  const shardOf = new Map<string, string>()
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== 'string' || !PLAIN_NAME.test(file) || !file.endsWith('.safetensors')) {
      throw new StorageError('checkpoint_path', `${INDEX} names a file that is not a plain .safetensors name: ${quoted(file)}`)
    }
    shardOf.set(name, file)
  }
  const shards = new Set(shardOf.values()).size
  if (shards === 0 || shards > CHECKPOINT_SHARDS_MAX) {
    throw new StorageError('checkpoint_index', `${INDEX} names ${shards} shards; 1 to ${CHECKPOINT_SHARDS_MAX} are read`)
  }
  return shardOf
}

async function readFiles(place: string, names: string[]): Promise<Record<string, string>> {
  const wanted = names
    .filter(name => PLAIN_NAME.test(name) && /\.(json|txt|jinja)$/.test(name) && name !== CONFIG && !name.endsWith('.index.json'))
    .sort()
  if (wanted.length > CHECKPOINT_FILES_MAX) {
    throw new StorageError('file_too_large', `${place} holds ${wanted.length} text files; a checkpoint has at most ${CHECKPOINT_FILES_MAX}`)
  }
  const files: Record<string, string> = {}
  for (const name of wanted) files[name] = await readText(place, name, CHECKPOINT_FILE_BYTES_MAX)
  return files
}

async function readText(place: string, name: string, bytesMax: number): Promise<string> {
  let handle: FileHandle | undefined
  try {
    handle = await open(await contained(place, name), 'r')
    const { size } = await handle.stat()
    if (size > bytesMax) throw new StorageError('file_too_large', `${join(place, name)} has ${size} bytes; the limit is ${bytesMax}`)
    return new TextDecoder('utf-8', { fatal: true }).decode(await handle.readFile())
  } catch (error) {
    if (error instanceof TypeError) throw new StorageError('checkpoint_config', `${join(place, name)} is not UTF-8`, { cause: error })
    throw error
  } finally {
    await handle?.close()
  }
}

/**
 * The real path of a file of the folder. Links are followed inside the folder, and to `../../blobs` where Hugging Face's cache keeps what
 * `snapshots/REVISION` links to; any other link is refused, for an export would publish what it points at.
 */
async function contained(place: string, name: string): Promise<string> {
  let real: string
  try {
    real = await realpath(join(place, name))
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    throw new StorageError('checkpoint_missing', `${place} has no ${name}`, {
      hint: 'a checkpoint is a folder with config.json and model.safetensors, as save_pretrained() writes it',
      cause: error
    })
  }
  const root = await realpath(place)
  const homes = [root, ...(basename(dirname(root)) === 'snapshots' ? [join(dirname(dirname(root)), 'blobs')] : [])]
  if (!homes.some(home => real.startsWith(home + sep))) {
    throw new StorageError('checkpoint_path', `${join(place, name)} is a link that leads out of its folder`, { details: { path: real } })
  }
  if (!(await stat(real)).isFile()) throw new StorageError('checkpoint_path', `${join(place, name)} is not a file`)
  return real
}

function parseObject(code: 'checkpoint_config' | 'checkpoint_index', name: string, text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new StorageError(code, `${name} is not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new StorageError(code, `${name} is not a JSON object`)
  return value as Record<string, unknown>
}

function checkFileName(name: string): void {
  if (!PLAIN_NAME.test(name) || name === CONFIG || name === WEIGHTS || name === INDEX) {
    throw new StorageError('checkpoint_path', `not a name for a file beside the weights: ${quoted(name)}`)
  }
}

async function checkPlace(place: string): Promise<void> {
  const names = await readdir(place).catch((error): string[] => {
    if (systemCode(error) === 'ENOENT') return []
    throw fileFailure('write a checkpoint', place, error)
  })
  if (names.length === 0) return
  throw new StorageError('checkpoint_exists', `${place} is there and not empty`, {
    hint: 'name a new folder, or empty this one',
    details: { path: place }
  })
}

/** Earlier attempts at this very place whose writer died; whatever else is in the folder around it is none of our business. */
async function removeOldAttempts(place: string): Promise<void> {
  await removeLeftovers(dirname(place), { of: basename(place) })
}

async function moveInto(temporary: string, place: string): Promise<void> {
  await rmdir(place).catch(() => {}) // Only an empty folder goes; rename() decides about anything else.
  await rename(temporary, place).catch(error => {
    if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'EEXIST') throw error
    throw new StorageError('checkpoint_exists', `${place} came to be while its checkpoint was written`, { cause: error })
  })
}
