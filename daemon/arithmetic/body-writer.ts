// Writes a body's tensors into blocks: bytes come in pieces, chunks leave as they are full, the root is written last.
import { type BodyTensor, CHUNK_BYTES, type EncodedBlock, encodeBodyRoot, encodeStageIndex } from '../../protocols/bodies/index.ts'
import { cidOf, RAW } from '../../protocols/cids.ts'
import type { WrittenBody } from './calls.ts'
import { WRITES_MAX } from './constants.ts'

/** Where blocks are written. `put` leaves a block alone that is there already. */
export interface BlockSink {
  has(cid: string): Promise<boolean>
  put(cid: string, bytes: Uint8Array, options: { durable: boolean }): Promise<void>
  delete(cid: string): Promise<void>
}

export class BodyWriter {
  readonly #sink: BlockSink
  readonly #stages: { name: string; index: string }[] = []
  readonly #blocks = new Set<string>()
  /** Those of them that were not here before. */
  readonly #brought = new Set<string>()
  readonly #writing = new Set<Promise<void>>()
  #failure: unknown
  #failed = false
  #bytes = 0

  constructor(sink: BlockSink) {
    this.#sink = sink
  }

  /** Begins a tensor of exactly `size` bytes. Several may be written at a time. */
  tensor(name: string, shape: readonly number[], size: number): TensorWriter {
    this.#bytes += size
    return new TensorWriter({ name, shape: [...shape], size }, chunk => this.#put(RAW, chunk))
  }

  /** Ends a stage; its tensors have been finished. */
  async stage(name: string, tensors: BodyTensor[]): Promise<void> {
    const index = encodeStageIndex({ tensors })
    await this.#putBlock(index)
    this.#stages.push({ name, index: index.cid })
  }

  /** Resolves when every block is durable. */
  async finish(): Promise<WrittenBody & { root: string }> {
    await this.#settle()
    const root = encodeBodyRoot({ stages: this.#stages })
    await this.#putBlock(root)
    await this.#settle()
    return { root: root.cid, bytes: this.#bytes, blocks: [...this.#blocks] }
  }

  /**
   * Gives up: what was written so far goes again, since nobody knows of it, and no list of what is to be forgotten would ever have it. What was here before belongs to others and stays.
   * One computation runs at a time, so no other has found these blocks; a fetch that has looks again when it keeps its body.
   */
  async abandon(): Promise<void> {
    await Promise.all(this.#writing)
    // The root and the indexes first: what remains where the disk fails is no body.
    for (const cid of [...this.#brought].reverse()) await this.#sink.delete(cid).catch(() => {})
  }

  /** Waits for all writes begun so far; throws the first failure. */
  async #settle(): Promise<void> {
    await Promise.all(this.#writing)
    if (this.#failed) throw this.#failure
  }

  async #put(codec: typeof RAW, bytes: Uint8Array): Promise<string> {
    const cid = cidOf(bytes, codec)
    await this.#putBlock({ cid, bytes })
    return cid
  }

  /** Begins the write of a block; waits only while too many are on their way. */
  async #putBlock({ cid, bytes }: EncodedBlock): Promise<void> {
    if (this.#failed) throw this.#failure
    if (this.#blocks.has(cid)) return
    this.#blocks.add(cid)
    while (this.#writing.size >= WRITES_MAX) await Promise.race(this.#writing)
    const write = this.#store(cid, bytes).catch(error => {
      if (!this.#failed) this.#failure = error
      this.#failed = true
    })
    this.#writing.add(write)
    void write.then(() => this.#writing.delete(write))
  }

  async #store(cid: string, bytes: Uint8Array): Promise<void> {
    if (!(await this.#sink.has(cid))) this.#brought.add(cid)
    await this.#sink.put(cid, bytes, { durable: true })
  }
}

export class TensorWriter {
  readonly #tensor: Omit<BodyTensor, 'chunks'>
  readonly #put: (chunk: Uint8Array) => Promise<string>
  readonly #chunks: string[] = []
  #left: number
  #buffer: Uint8Array | null = null
  #filled = 0

  constructor(tensor: Omit<BodyTensor, 'chunks'>, put: (chunk: Uint8Array) => Promise<string>) {
    this.#tensor = tensor
    this.#put = put
    this.#left = tensor.size
  }

  /** Takes the next bytes; the array belongs to the writer from now on. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const room = Math.min(CHUNK_BYTES, this.#left + this.#filled) - this.#filled
      if (room === 0) throw new RangeError(`${this.#tensor.name} has no more than ${this.#tensor.size} bytes`)
      const piece = bytes.subarray(at, at + room)
      at += piece.length
      this.#left -= piece.length
      if (this.#filled === 0 && piece.length === room) await this.#flush(piece)
      else {
        this.#buffer ??= new Uint8Array(Math.min(CHUNK_BYTES, this.#left + piece.length))
        this.#buffer.set(piece, this.#filled)
        this.#filled += piece.length
        if (piece.length === room) await this.#flush(this.#buffer)
      }
    }
  }

  /** The tensor's line for its stage's index; all its bytes have been written. */
  finish(): BodyTensor {
    if (this.#left !== 0) throw new RangeError(`${this.#tensor.name} lacks ${this.#left} of ${this.#tensor.size} bytes`)
    return { ...this.#tensor, chunks: this.#chunks }
  }

  async #flush(chunk: Uint8Array): Promise<void> {
    this.#buffer = null
    this.#filled = 0
    this.#chunks.push(await this.#put(chunk))
  }
}
