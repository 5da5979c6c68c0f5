// Takes from a folder what a disk without power would have lost at worst: bytes that were written and not synced, names that no sync of their folder followed.
import { existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** @param log what watched-disk.ts wrote of the process that wrote to the folder. @returns how many files and folders were lost or cut */
export function powerCut(folder: string, log: string): number {
  const unsynced = new Set<string>()
  const unnamed = new Set<string>()
  const isMine = (path: string): boolean => path.startsWith(`${folder}/`) && !path.startsWith(`${folder}/records/`)
  for (const line of readFileSync(log, 'utf8').split('\n').slice(0, -1)) {
    const [what, path, from] = line.split('\t') as [string, string, string]
    if (what === 'named') unnamed.add(path)
    else if (what === 'wrote') unsynced.add(path)
    else if (what === 'synced') {
      unsynced.delete(path)
      // Of a folder: the names in it stay.
      for (const name of unnamed) if (dirname(name) === path) unnamed.delete(name)
    } else {
      if (unsynced.has(from)) unsynced.add(path)
      else unsynced.delete(path)
      if (what !== 'linked') {
        unsynced.delete(from)
        unnamed.delete(from)
      }
      // Over another: that one would be there again, and which of the two is all the same to whoever opens it next.
      if (what !== 'replaced') unnamed.add(path)
    }
  }
  let lost = 0
  for (const path of unnamed) {
    if (!isMine(path) || !existsSync(path)) continue
    rmSync(path, { recursive: true })
    lost += 1
  }
  for (const [index, path] of [...unsynced].entries()) {
    if (!isMine(path) || !existsSync(path)) continue
    const { size } = statSync(path)
    // Either the length was not written, or the bytes were not: both are seen.
    if (index % 2 === 0) truncateSync(path, Math.floor(size / 2))
    else writeFileSync(path, Buffer.alloc(size))
    lost += 1
  }
  return lost
}
