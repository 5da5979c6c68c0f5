// The daemon's side of the arithmetic worker: calls as promises, a crashed worker replaced. All heavy arithmetic and hashing of bodies happens there,
// so that the event loop never stops.
import { Worker } from 'node:worker_threads'
import { DaemonError, reasonOf } from '../errors.ts'
import type {
  AnchorToSafetensorsRequest,
  BodyRefusal,
  BodyToSafetensorsRequest,
  CallName,
  Calls,
  CheckContributionRequest,
  EncodeContributionRequest,
  EncodedContribution,
  NextAnchorRequest,
  NormMaxRequest,
  SafetensorsToAnchorRequest,
  WorkerReply,
  WorkerRequest,
  WrittenAnchor
} from './calls.ts'
import { unpackError } from './carried-error.ts'

export type { BodyRefusal, EncodedContribution, StageNames, WrittenAnchor } from './calls.ts'

export interface ArithmeticComponents {
  /** The node's home; the worker opens its block files. */
  home: string
}

export interface ArithmeticOptions {
  /** A corrupted block was found and moved aside: it must be fetched again. The call that met it fails with `block_missing`. */
  onCorrupt?: (cid: string) => void
  /** The worker's code. @default arithmetic-worker.js beside this file */
  workerUrl?: URL
}

interface Waiting {
  resolve(result: never): void
  reject(reason: unknown): void
  /** Forgets the caller's signal. */
  release(): void
}

interface CallOptions {
  signal?: AbortSignal
}

/**
 * Calls are answered one at a time, in the order made, but for checks: those wait until no other call does, and those of strangers' contributions until no
 * other check does. The worker starts with the first call; if it dies, the calls that wait fail with `arithmetic_crashed` and the next call starts another.
 * Errors arrive in the class of the room that threw them.
 */
export class Arithmetic {
  readonly #home: string
  readonly #workerUrl: URL
  readonly #onCorrupt: ((cid: string) => void) | undefined
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | null = null
  #lastId = 0
  #closed = false

  constructor({ home }: ArithmeticComponents, options: ArithmeticOptions = {}) {
    this.#home = home
    // Compiled code: tsc rewrites import specifiers, not URLs.
    this.#workerUrl = options.workerUrl ?? new URL('./arithmetic-worker.js', import.meta.url)
    this.#onCorrupt = options.onCorrupt
  }

  /** Compresses a pseudo-gradient, with the residual carried; body and next residual are durable. */
  encodeContribution(request: EncodeContributionRequest, options?: CallOptions): Promise<EncodedContribution> {
    return this.#call('encodeContribution', request, options)
  }

  /** The next anchor, written durably; blocks that are there already are left alone. The same bits on every node. */
  nextAnchor(request: NextAnchorRequest, options?: CallOptions): Promise<WrittenAnchor> {
    return this.#call('nextAnchor', request, options)
  }

  /**
   * Null where a body may be counted, else the reason. Fails with `block_missing` where blocks are not here: that is not the author's fault.
   * One that was checked lately is not read again, so that they may have gone since.
   */
  checkContribution(request: CheckContributionRequest, options?: CallOptions): Promise<BodyRefusal | null> {
    return this.#call('checkContribution', request, options)
  }

  /** The norm above which a contribution is refused with `norm_too_large`. */
  normMax(request: NormMaxRequest, options?: CallOptions): Promise<number> {
    return this.#call('normMax', request, options)
  }

  /** Writes an anchor's tensors as f32 to a safetensors file, in one step. */
  anchorToSafetensors(request: AnchorToSafetensorsRequest, options?: CallOptions): Promise<{ bytes: number }> {
    return this.#call('anchorToSafetensors', request, options)
  }

  /** Writes what a contribution's body decodes to as f32 to a safetensors file, in one step. */
  bodyToSafetensors(request: BodyToSafetensorsRequest, options?: CallOptions): Promise<{ bytes: number }> {
    return this.#call('bodyToSafetensors', request, options)
  }

  /** Makes an anchor of tensors (a genesis); outer state that is not given is zeros. */
  safetensorsToAnchor(request: SafetensorsToAnchorRequest, options?: CallOptions): Promise<WrittenAnchor> {
    return this.#call('safetensorsToAnchor', request, options)
  }

  /** Ends the worker at once; calls that wait fail with `stopping`. What they were writing is whole blocks or nothing. */
  async close(): Promise<void> {
    this.#closed = true
    const worker = this.#worker
    this.#worker = null
    this.#rejectAll(new DaemonError('stopping', 'cannot finish the arithmetic: the daemon is stopping'))
    await worker?.terminate()
  }

  async #call<N extends CallName>(name: N, request: Calls[N]['request'], { signal }: CallOptions = {}): Promise<Calls[N]['result']> {
    signal?.throwIfAborted()
    if (this.#closed) throw new DaemonError('stopping', `cannot begin ${name}: the daemon is stopping`)
    this.#worker ??= this.#start()
    const worker = this.#worker
    const id = ++this.#lastId
    return await new Promise<Calls[N]['result']>((resolve, reject) => {
      const abort = (): void => {
        this.#waiting.delete(id)
        worker.postMessage({ type: 'cancel', id } satisfies WorkerRequest)
        reject(signal!.reason)
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#waiting.set(id, { resolve, reject, release: () => signal?.removeEventListener('abort', abort) })
      worker.postMessage({ type: 'call', id, name, request })
    })
  }

  #start(): Worker {
    const worker = new Worker(this.#workerUrl, { workerData: { home: this.#home }, name: 'arithmetic' })
    worker.on('message', (message: WorkerReply) => this.#receive(message))
    worker.on('error', error => this.#crashed(worker, reasonOf(error)))
    worker.on('messageerror', error => this.#crashed(worker, reasonOf(error)))
    worker.on('exit', code => this.#crashed(worker, `exit code ${code}`))
    return worker
  }

  #receive(message: WorkerReply): void {
    if (message.type === 'corrupt') {
      this.#onCorrupt?.(message.cid)
      return
    }
    const waiting = this.#waiting.get(message.id)
    // A call that was given up still ends in the worker; nobody asks.
    if (waiting === undefined) return
    this.#waiting.delete(message.id)
    waiting.release()
    if (message.type === 'result') waiting.resolve(message.result as never)
    else waiting.reject(unpackError(message.error))
  }

  #crashed(worker: Worker, reason: string): void {
    if (this.#worker !== worker) return
    this.#worker = null
    this.#rejectAll(
      new DaemonError('arithmetic_crashed', `the arithmetic worker died: ${reason}`, {
        hint: 'it is started again by the next call',
        details: { reason }
      })
    )
    void worker.terminate()
  }

  #rejectAll(error: DaemonError): void {
    for (const waiting of this.#waiting.values()) {
      waiting.release()
      waiting.reject(error)
    }
    this.#waiting.clear()
  }
}
