// Small file systems of their own as homes of nodes whose disk a scenario fills. Only inside an enclosure, whose end takes them away.
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runTool } from './tools.ts'

/** Bytes of such a disk: room for a small model's home many times over, and soon filled. */
const DISK_BYTES = 256 * 2 ** 20
/** The file that takes what is left. */
const BALLAST = 'ballast'
const CHUNK_BYTES = 2 ** 20

export class SmallDisks {
  readonly #mounted = new Set<string>()

  /** Gives a home its disk, once. @throws CliError `network_unavailable`. */
  async mount(home: string): Promise<void> {
    if (this.#mounted.has(home)) return
    await mkdir(home, { recursive: true })
    await runTool(['mount', '-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'shoal', home])
    this.#mounted.add(home)
  }

  /** Until not one byte is left. */
  async fill(home: string): Promise<void> {
    const file = await open(join(home, BALLAST), 'a')
    try {
      for (const bytes of [CHUNK_BYTES, 4096]) await fillWith(new Uint8Array(bytes), file)
    } finally {
      await file.close()
    }
  }

  async free(home: string): Promise<void> {
    await rm(join(home, BALLAST), { force: true })
  }

  /** So that their folders can be removed. */
  async close(): Promise<void> {
    for (const home of this.#mounted) await runTool(['umount', '--lazy', home])
    this.#mounted.clear()
  }
}

async function fillWith(bytes: Uint8Array, file: { write(bytes: Uint8Array): Promise<unknown> }): Promise<void> {
  try {
    for (;;) await file.write(bytes)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}
