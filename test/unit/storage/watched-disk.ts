// Loaded into a process before all else (`--import`): writes down, in the file SHOAL_DISK_LOG, what that process and its threads did to files and which
// of it they made durable, so that powerCut() can take away what a disk without power would have lost. Level's own files are not seen: its code is native.
import fs from 'node:fs'
import promises, { type FileHandle } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, resolve } from 'node:path'

const log = process.env.SHOAL_DISK_LOG
if (log !== undefined) watch(fs.openSync(log, 'a'))

function watch(log: number): void {
  const note = (what: string, ...paths: unknown[]): void => {
    fs.writeSync(log, `${[what, ...paths.map(path => resolve(String(path)))].join('\t')}\n`)
  }
  const { open, rename, link, mkdir } = promises
  const watched = {
    open: async (path: string, ...rest: [string?, number?]): Promise<FileHandle> => {
      const isNew = !fs.existsSync(path)
      const handle = await open(path, ...rest)
      if (isNew) note('named', path)
      const { sync, write, writeFile } = handle
      let dirty = false
      const touched = (): void => {
        if (!dirty) note('wrote', path)
        dirty = true
      }
      if (rest[0] === 'w' || rest[0] === 'wx') touched()
      return Object.assign(handle, {
        write: (...given: Parameters<typeof write>) => {
          touched()
          return write.apply(handle, given)
        },
        writeFile: (...given: Parameters<typeof writeFile>) => {
          touched()
          return writeFile.apply(handle, given)
        },
        sync: async () => {
          await sync.apply(handle)
          dirty = false
          note('synced', path)
        }
      })
    },
    rename: async (from: string, to: string) => {
      const isNew = !fs.existsSync(to)
      await rename(from, to)
      note(isNew ? 'renamed' : 'replaced', to, from)
    },
    link: async (from: string, to: string) => {
      await link(from, to)
      note('linked', to, from)
    },
    mkdir: async (path: string, ...rest: Parameters<typeof mkdir> extends [unknown, ...infer R] ? R : never) => {
      const isNew = !fs.existsSync(path)
      const first = await mkdir(path, ...rest)
      if (isNew)
        for (let at = resolve(path); ; at = dirname(at)) {
          note('named', at)
          if (at === (first ?? resolve(path))) break
        }
      return first
    }
  }
  Object.assign(promises, watched)
  syncBuiltinESMExports()
}
