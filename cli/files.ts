// Reading what a person named on the command line, with errors that name it back.
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

/** The text of a file that must be there. @throws CliError `file_unreadable`. */
export async function readNamed(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw unreadable(path, error)
  }
}

function unreadable(path: string, cause: unknown): CliError {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
  const why = { ENOENT: 'there is no such file', EACCES: 'this user may not', EISDIR: 'it is a folder' }[code] ?? code
  return new CliError('file_unreadable', `cannot read ${path}: ${why}`, { cause })
}
