// Flips one byte of a block file in a home, as a failing disk would. The layout is that of storage: blocks/<two letters>/<cid>.
import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError } from '../../errors.ts'

/** Blocks written within so many milliseconds of the newest count as written last. */
const RECENT_MS = 30_000

/** @param cid which block; null: the largest of those written last. @returns the block's CID. @throws CliError `step_failed` where there is none. */
export async function corruptBlock(home: string, cid: string | null): Promise<string> {
  const files = await blockFiles(join(home, 'blocks'))
  const newest = Math.max(...files.map(({ atMs }) => atMs))
  const chosen = files
    .filter(file => (cid === null ? file.atMs >= newest - RECENT_MS : file.name === cid))
    .sort((a, b) => b.bytes - a.bytes || b.atMs - a.atMs)[0]
  if (chosen === undefined) throw new CliError('step_failed', `cannot corrupt a block in ${home}: ${cid ?? 'any block'} is not there`)
  const file = await open(chosen.path, 'r+')
  try {
    const position = Math.floor(chosen.bytes / 2)
    const { buffer } = await file.read(new Uint8Array(1), 0, 1, position)
    buffer[0]! ^= 0xff
    await file.write(buffer, 0, 1, position)
  } finally {
    await file.close()
  }
  return chosen.name
}

async function blockFiles(folder: string): Promise<{ name: string; path: string; bytes: number; atMs: number }[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile() && /^b[a-z2-7]{58}$/.test(entry.name))
  const found = await Promise.all(
    files.map(async ({ name, parentPath }) => {
      const path = join(parentPath, name)
      // One that the daemon forgets meanwhile is no candidate.
      const facts = await stat(path).catch(() => undefined)
      return facts === undefined ? [] : [{ name, path, bytes: facts.size, atMs: facts.mtimeMs }]
    })
  )
  return found.flat().filter(({ bytes }) => bytes > 0)
}
