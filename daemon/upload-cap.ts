// Holds what a node sends to the rate its operator allows: counts all that leaves, and lets blocks and chains go one frame after the other, each payer in its turn.
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
  /** By who pays, the one whose turn it is first: whoever opens more streams than others, or under more names from one address, gets no more for it. */
  readonly #waiting = new Map<string, Set<Waiting>>()
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

  /** Resolves when so many bytes of a block or a chain may leave at the cost of `payer`; rejects when `signal` fires first. */
  async take(bytes: number, { payer, signal }: { payer: string; signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const ofPayer = this.#waiting.get(payer) ?? new Set()
      const stop = (): void => {
        ofPayer.delete(waiting)
        if (ofPayer.size === 0) this.#waiting.delete(payer)
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
      this.#waiting.set(payer, ofPayer.add(waiting))
      if (this.#timer === undefined) this.#serve()
    })
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #serve(): void {
    this.#timer = undefined
    for (let [next] = this.#waiting; next !== undefined; [next] = this.#waiting) {
      const [payer, ofPayer] = next
      const first = ofPayer.values().next().value!
      const waitMs = askToSend(this.#state, first.bytes, performance.now())
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#serve(), waitMs)
        return
      }
      ofPayer.delete(first)
      this.#waiting.delete(payer)
      if (ofPayer.size > 0) this.#waiting.set(payer, ofPayer)
      first.resolve()
    }
  }
}
