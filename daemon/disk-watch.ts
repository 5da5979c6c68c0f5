// Watches the free space of the home's disk: below the floor training pauses, above it with some room to spare training goes on. A write that was
// refused for want of room counts as well: what is to be written can be larger than the floor, and quotas are not seen in the free space.
import { statfs } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import { formatSize } from './quantities.ts'

export interface DiskSpace {
  freeBytes: number
  totalBytes: number
}

export interface DiskWatchComponents {
  /** Called once when space runs out, with a sentence that says so. */
  onLow(reason: string): void | Promise<void>
  /** Called once when there is room again. */
  onRoom(reason: string): void | Promise<void>
  onError(error: unknown): void
}

export interface DiskWatchOptions {
  home: string
  /** Bytes that must be free. */
  floorBytes: number
  /** True where nobody chose the floor: then a small disk gets a tenth of itself instead, for the default would never let it train. */
  floorIsDefault?: boolean
  /** Bytes that the store never fills: with less free it refuses blocks, so the floor is at least this. */
  reservedBytes: number
  /** After a refused write, room as it was is tried again after this long. @default 30000 */
  retryMs?: number
  /** @default 2000 */
  intervalMs?: number
  /** @default the file system of the home */
  measure?: (home: string) => Promise<DiskSpace>
}

/** Room above the floor that must be free before training goes on: without it, the first block written would pause it again. */
const ROOM_FACTOR = 1.25

/** Owns one timer. */
export class DiskWatch {
  readonly #components: DiskWatchComponents
  readonly #options: DiskWatchOptions
  #timer: NodeJS.Timeout | undefined
  #low = false
  /** The write that was refused since training last went on. */
  #refused: { freeBytes: number; atMs: number } | null = null
  #looking: Promise<void> | undefined

  constructor(components: DiskWatchComponents, options: DiskWatchOptions) {
    this.#components = components
    this.#options = options
  }

  get low(): boolean {
    return this.#low
  }

  /** Looks once, then again and again. */
  async start(): Promise<void> {
    await this.look()
    this.#timer = setInterval(() => void this.look(), this.#options.intervalMs ?? 2000)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Looks now; a look that is under way counts. */
  look(): Promise<void> {
    this.#looking ??= this.#look(false)
      .catch(error => this.#components.onError(error))
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  /** Told that a write found no room: pauses, whatever the free space seems to be. */
  async refused(): Promise<void> {
    await this.look()
    if (!this.#low) await this.#look(true).catch(error => this.#components.onError(error))
  }

  async #look(refused: boolean): Promise<void> {
    const { home, measure = diskSpace } = this.#options
    const { freeBytes, totalBytes } = await measure(home)
    const floor = this.#floor(totalBytes)
    if (!this.#low && (refused || freeBytes < floor)) {
      this.#low = true
      if (refused) this.#refused = { freeBytes, atMs: performance.now() }
      const lack = freeBytes < floor ? `training needs ${formatSize(floor)}` : 'less than what was to be written'
      await this.#components.onLow(`the disk of ${home} has ${formatSize(freeBytes)} free, ${lack}`)
    } else if (this.#low && this.#hasRoom(freeBytes, floor)) {
      this.#low = false
      this.#refused = null
      await this.#components.onRoom(`the disk of ${home} has ${formatSize(freeBytes)} free again`)
    }
  }

  #hasRoom(freeBytes: number, floor: number): boolean {
    if (freeBytes < floor * ROOM_FACTOR) return false
    // How much the refused write wanted is not known: more room than there was, or another try after a while.
    if (this.#refused === null || freeBytes >= this.#refused.freeBytes * ROOM_FACTOR) return true
    return performance.now() - this.#refused.atMs >= (this.#options.retryMs ?? 30_000)
  }

  #floor(totalBytes: number): number {
    const { floorBytes, floorIsDefault, reservedBytes } = this.#options
    return Math.max(reservedBytes, floorIsDefault === true ? Math.min(floorBytes, Math.floor(totalBytes / 10)) : floorBytes)
  }
}

async function diskSpace(home: string): Promise<DiskSpace> {
  const { bavail, bsize, blocks } = await statfs(home)
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
}
