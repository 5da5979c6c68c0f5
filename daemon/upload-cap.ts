// Holds what a node sends to the rate its operator allows: counts all that leaves, and lets blocks and chains go one frame after the other, in the order they asked.
import { performance } from 'node:perf_hooks'
import { askToSend, bytesLeft, createUpload, pacedFrameBytes, type UploadState } from '../protocols/blocks/index.ts'

interface Waiting {
  bytes: number
  resolve: () => void
}

/** Owns at most one timer. */
export class UploadCap {
  readonly bytesPerSecond: number
  readonly #state: UploadState
  #waiting: Waiting[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(bytesPerSecond: number) {
    this.bytesPerSecond = bytesPerSecond
    this.#state = createUpload(bytesPerSecond, performance.now())
  }

  frameBytes(most: number): number {
    return pacedFrameBytes(this.bytesPerSecond, most)
  }

  /** Bytes left this node, whatever they were. */
  left(bytes: number): void {
    bytesLeft(this.#state, bytes, performance.now())
  }

  /** Resolves when so many bytes of a block or a chain may leave; rejects when `signal` fires first. */
  async take(bytes: number, { signal }: { signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => {
        this.#waiting = this.#waiting.filter(other => other !== waiting)
        reject(signal.reason)
      }
      const waiting: Waiting = {
        bytes,
        resolve: () => {
          signal.removeEventListener('abort', stop)
          resolve()
        }
      }
      signal.addEventListener('abort', stop, { once: true })
      this.#waiting.push(waiting)
      if (this.#timer === undefined) this.#serve()
    })
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #serve(): void {
    this.#timer = undefined
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const waitMs = askToSend(this.#state, first.bytes, performance.now())
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#serve(), waitMs)
        return
      }
      this.#waiting.shift()
      first.resolve()
    }
  }
}
