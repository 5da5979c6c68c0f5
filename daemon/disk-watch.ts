// Watches the free space of the home's disk: below the floor training pauses, above it with some room to spare training goes on.
import { statfs } from 'node:fs/promises'
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
    this.#looking ??= this.#look()
      .catch(error => this.#components.onError(error))
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  async #look(): Promise<void> {
    const { home, measure = diskSpace } = this.#options
    const { freeBytes, totalBytes } = await measure(home)
    const floor = this.#floor(totalBytes)
    if (!this.#low && freeBytes < floor) {
      this.#low = true
      await this.#components.onLow(`the disk of ${home} has ${formatSize(freeBytes)} free, training needs ${formatSize(floor)}`)
    } else if (this.#low && freeBytes >= floor * ROOM_FACTOR) {
      this.#low = false
      await this.#components.onRoom(`the disk of ${home} has ${formatSize(freeBytes)} free again`)
    }
  }

  #floor(totalBytes: number): number {
    const { floorBytes, floorIsDefault } = this.#options
    return floorIsDefault === true ? Math.min(floorBytes, Math.floor(totalBytes / 10)) : floorBytes
  }
}

async function diskSpace(home: string): Promise<DiskSpace> {
  const { bavail, bsize, blocks } = await statfs(home)
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
}
