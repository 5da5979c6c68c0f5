// Reads the text that a run trains on from this machine: the built-in State of the Union addresses, files, and folders of files.
import { readFileSync, type Stats } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Era, openBuiltinCorpus, parseBuiltinName } from '../training/data/builtin-corpus.ts'
import { MAX_CORPUS_FILE_BYTES } from '../training/data/constants.ts'
import { isCorpusFile, parseCorpus } from '../training/data/corpus.ts'
import { DaemonError } from './errors.ts'

const FILES_MAX = 10_000
/** From dist/daemon/ to the package's folder: the asset is not compiled, so it stays where the sources are. */
const BUILTIN_ASSET = new URL('../../training/data/sotu.txt.br', import.meta.url)

/** The built-in corpus as its four eras, each with a fixed held-out part that no run ever trains on. */
export function builtinEras(): Era[] {
  return openBuiltinCorpus(readFileSync(BUILTIN_ASSET)).eras
}

/** Whether a source is a name of built-in text, be it a wrong one, and no path. */
export function isBuiltin(source: string): boolean {
  return /^sotu(:|$)/.test(source)
}

/**
 * Documents of the named sources, in order; no file is read before those of the one before it were taken.
 * @param sources `sotu`, `sotu:ERA`, or paths of .txt, .jsonl and files and folders of them
 * @throws DaemonError `data_unreadable`, `data_missing`; TrainingError for text that cannot be read
 */
export async function* documentsOf(sources: string[]): AsyncGenerator<string> {
  let isEmpty = true
  for await (const documents of documentsByFile(sources)) {
    isEmpty = false
    yield* documents
  }
  if (isEmpty) {
    throw new DaemonError('data_missing', `Cannot train on ${sources.join(', ') || 'no sources'}: there is no text in it`, {
      hint: 'Name text with --data FILE, --data FOLDER or --data sotu:1790-1860'
    })
  }
}

/** All of documentsOf(). */
export async function readCorpora(sources: string[]): Promise<string[]> {
  const documents: string[] = []
  for await (const text of documentsOf(sources)) documents.push(text)
  return documents
}

/**
 * Refuses sources that name no text, before anything waits for it; what is in the files is not read.
 * @throws DaemonError `data_unreadable`, `data_missing`; TrainingError `unknown_era`
 */
export async function requireCorpora(sources: string[]): Promise<void> {
  for (const source of sources) {
    if (parseBuiltinName(source) !== null || (await textFiles(source)).length > 0) continue
    throw new DaemonError('data_missing', `Cannot train on ${source}: there is no text in it`, {
      hint: 'Files of text end in .txt, .md or .jsonl'
    })
  }
}

async function* documentsByFile(sources: string[]): AsyncGenerator<string[]> {
  for (const source of sources) {
    const eras = parseBuiltinName(source)
    if (eras !== null) yield builtinDocuments(eras)
    else for (const file of await textFiles(source)) yield parseCorpus(file, await readFile(file))
  }
}

function builtinDocuments(names: readonly string[]): string[] {
  return builtinEras()
    .filter(era => names.includes(era.name))
    .flatMap(era => era.training)
}

async function textFiles(path: string): Promise<string[]> {
  const info = await statCorpus(path)
  if (!info.isDirectory()) return [textFile(path, info.size)]
  const names = (await readdir(path, { recursive: true })).filter(isCorpusFile).sort()
  if (names.length > FILES_MAX) {
    throw new DaemonError(
      'data_unreadable',
      `Cannot read the folder "${path}": it has ${names.length} text files, at most ${FILES_MAX} are read`
    )
  }
  const found = await Promise.all(names.map(async name => ({ file: join(path, name), info: await statCorpus(join(path, name)) })))
  // A folder may have such a name, too: what is in it is named already.
  return found.filter(({ info }) => !info.isDirectory()).map(({ file, info }) => textFile(file, info.size))
}

async function statCorpus(path: string): Promise<Stats> {
  return await stat(path).catch((cause: unknown) => {
    throw new DaemonError('data_unreadable', `Cannot read the corpus "${path}": it does not exist or may not be read`, { cause })
  })
}

function textFile(path: string, bytes: number): string {
  if (bytes > MAX_CORPUS_FILE_BYTES) {
    throw new DaemonError(
      'data_unreadable',
      `Cannot read the corpus "${path}": it has ${bytes} bytes, at most ${MAX_CORPUS_FILE_BYTES} are read`,
      {
        hint: 'Cut it into several files and name a part of them'
      }
    )
  }
  return resolve(path)
}
