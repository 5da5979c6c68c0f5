// Reading what a person named on the command line, with errors that name it back.
import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { CliError } from './errors.ts'

/** A file's text, or undefined where there is none. Other failures are thrown: a home that cannot be read is not an empty one. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unreadable(path, error)
  }
}

/** The text of a file that must be there, without a byte-order mark. @throws CliError `file_unreadable`, `invalid_utf8`. */
export async function readNamed(path: string): Promise<string> {
  try {
    const bytes = await readFile(path)
    if (isUtf8(bytes)) return new TextDecoder().decode(bytes)
  } catch (error) {
    throw unreadable(path, error)
  }
  throw new CliError('invalid_utf8', `cannot read ${path}: it holds bytes that are not UTF-8`, {
    hint: 'convert the file, e.g. iconv -f latin1 -t utf-8'
  })
}

function unreadable(path: string, cause: unknown): CliError {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
  const why =
    { ENOENT: 'there is no such file', EACCES: 'this user may not', EISDIR: 'it is a folder', ENOTDIR: 'its path leads through a file' }[
      code
    ] ?? code
  return new CliError('file_unreadable', `cannot read ${path}: ${why}`, { cause })
}
