// Holds what a node sends to the rate its operator allows: counts all that leaves, and lets blocks and chains go one frame after the other, each peer in its turn.
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
  /** By peer, the one whose turn it is first: whoever opens more streams than others gets no more for it. */
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

  /** Resolves when so many bytes of a block or a chain may leave for `peer`; rejects when `signal` fires first. */
  async take(bytes: number, { peer, signal }: { peer: string; signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const ofPeer = this.#waiting.get(peer) ?? new Set()
      const stop = (): void => {
        ofPeer.delete(waiting)
        if (ofPeer.size === 0) this.#waiting.delete(peer)
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
      this.#waiting.set(peer, ofPeer.add(waiting))
      if (this.#timer === undefined) this.#serve()
    })
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #serve(): void {
    this.#timer = undefined
    for (let [next] = this.#waiting; next !== undefined; [next] = this.#waiting) {
      const [peer, ofPeer] = next
      const first = ofPeer.values().next().value!
      const waitMs = askToSend(this.#state, first.bytes, performance.now())
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#serve(), waitMs)
        return
      }
      ofPeer.delete(first)
      this.#waiting.delete(peer)
      if (ofPeer.size > 0) this.#waiting.set(peer, ofPeer)
      first.resolve()
    }
  }
}
