// Reads a body's tensors from blocks, a few bytes at a time and one chunk ahead.
import { type BodyTensor, chunkLength, decodeBodyRoot, decodeStageIndex } from '../../protocols/bodies/index.ts'
import { ProtocolError } from '../../protocols/errors.ts'

/** The blocks that are read. */
export interface BlockSource {
  get(cid: string): Promise<Uint8Array | undefined>
}

export interface OpenStage {
  name: string
  tensors: BodyTensor[]
}

/** @throws ProtocolError block_missing, bad_message, message_too_large */
export async function openBody(blocks: BlockSource, root: string): Promise<OpenStage[]> {
  const { stages } = decodeBodyRoot(await requireBlock(blocks, root))
  return await Promise.all(
    stages.map(async ({ name, index }) => ({ name, tensors: decodeStageIndex(await requireBlock(blocks, index)).tensors }))
  )
}

/** @throws ProtocolError block_missing */
async function requireBlock(blocks: BlockSource, cid: string): Promise<Uint8Array> {
  const bytes = await blocks.get(cid)
  if (bytes === undefined)
    throw new ProtocolError('block_missing', `cannot read the block ${cid}: it is not here`, {
      details: { cid },
      hint: 'fetch the body again'
    })
  return bytes
}

/**
 * One tensor's bytes from first to last. The first chunk is asked for at once, each next one as soon as its forerunner is begun; without reading ahead,
 * each when its bytes are wanted, so that one chunk at most is in memory.
 */
export class TensorReader {
  readonly #blocks: BlockSource
  readonly #tensor: BodyTensor
  readonly #readsAhead: boolean
  #next: Promise<Uint8Array> | null = null
  #asked = 0
  #chunk: Uint8Array = new Uint8Array(0)
  #at = 0

  constructor(blocks: BlockSource, tensor: BodyTensor, { readsAhead = true } = {}) {
    this.#blocks = blocks
    this.#tensor = tensor
    this.#readsAhead = readsAhead
    if (readsAhead) this.#ask()
  }

  /** The next `count` bytes, which may share memory with the chunk. @throws ProtocolError block_missing, bad_message (a chunk of another size) */
  async take(count: number): Promise<Uint8Array> {
    if (this.#at === this.#chunk.length && count > 0) await this.#advance()
    if (this.#chunk.length - this.#at >= count) {
      this.#at += count
      return this.#chunk.subarray(this.#at - count, this.#at)
    }
    const bytes = new Uint8Array(count)
    for (let filled = 0; filled < count; ) {
      if (this.#at === this.#chunk.length) await this.#advance()
      const piece = this.#chunk.subarray(this.#at, this.#at + count - filled)
      bytes.set(piece, filled)
      filled += piece.length
      this.#at += piece.length
    }
    return bytes
  }

  async #advance(): Promise<void> {
    if (!this.#readsAhead) this.#ask()
    if (this.#next === null) throw new RangeError(`${this.#tensor.name} has no more than ${this.#tensor.size} bytes`)
    const index = this.#asked - 1
    this.#chunk = await this.#next
    this.#at = 0
    const expected = chunkLength(this.#tensor.size, index)
    if (this.#chunk.length !== expected)
      throw new ProtocolError(
        'bad_message',
        `chunk ${index} of ${this.#tensor.name} has ${this.#chunk.length} bytes: ${expected} are needed`
      )
    if (this.#readsAhead) this.#ask()
  }

  #ask(): void {
    const cid = this.#tensor.chunks[this.#asked]
    this.#next = cid === undefined ? null : requireBlock(this.#blocks, cid)
    // Awaited when its turn comes; until then a failure waits with it.
    this.#next?.catch(() => {})
    this.#asked++
  }
}
