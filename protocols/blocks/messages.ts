// The wire of the block exchange.
//
// The asker's frames begin with one byte for their kind:
//   1 WANT    "send me these blocks, in this order": CIDs of 36 bytes each
//   2 CREDIT  "you may send this many bytes more": u32, big-endian
// The answering side sends one stream of answers, in the order of the wants, cut into frames anywhere:
//   status u8: 0 "here it is", then length u32 big-endian and the bytes; 1 "I do not have it"
// Many small blocks thus share a frame, and a large one needs several.
import { CID_BYTES, cidFromBytes, cidToBytes } from '../cids.ts'
import { ProtocolError } from '../errors.ts'
import { FRAME_BYTES, MAX_BLOCK_BYTES, MAX_WANTS_PER_FRAME } from './constants.ts'

export type Request = { kind: 'want'; cids: string[] } | { kind: 'credit'; bytes: number }

const WANT = 1
const CREDIT = 2
const HERE = 0
const NOT_HERE = 1
const CREDIT_BYTES = 5

export function encodeRequest(request: Request): Uint8Array {
  if (request.kind === 'credit') {
    const frame = new Uint8Array(CREDIT_BYTES)
    frame[0] = CREDIT
    new DataView(frame.buffer).setUint32(1, request.bytes)
    return frame
  }
  const frame = new Uint8Array(1 + request.cids.length * CID_BYTES)
  frame[0] = WANT
  request.cids.forEach((cid, index) => {
    frame.set(cidToBytes(cid), 1 + index * CID_BYTES)
  })
  return frame
}

/** @throws ProtocolError bad_message */
export function decodeRequest(frame: Uint8Array): Request {
  if (frame[0] === CREDIT && frame.length === CREDIT_BYTES) {
    return { kind: 'credit', bytes: new DataView(frame.buffer, frame.byteOffset).getUint32(1) }
  }
  const count = (frame.length - 1) / CID_BYTES
  if (frame[0] !== WANT || !Number.isInteger(count) || count < 1 || count > MAX_WANTS_PER_FRAME) {
    throw new ProtocolError('bad_message', `cannot decode a request for blocks of ${frame.length} bytes and kind ${frame[0]}`)
  }
  const cids: string[] = []
  for (let start = 1; start < frame.length; start += CID_BYTES) cids.push(cidFromBytes(frame.subarray(start, start + CID_BYTES)))
  return { kind: 'want', cids }
}

/** Packs answers into frames of FRAME_BYTES. Owned by one stream. */
export class AnswerEncoder {
  readonly #frameBytes: number
  #parts: Uint8Array[] = []
  #partBytes = 0

  /** @param frameBytes at most FRAME_BYTES; the reader puts blocks together whatever the frames are */
  constructor(frameBytes: number = FRAME_BYTES) {
    this.#frameBytes = frameBytes
  }

  /** Adds one answer, undefined for a block that is not here, and gives the frames that are now full. */
  add(block: Uint8Array | undefined): Uint8Array[] {
    const header = new Uint8Array(block === undefined ? 1 : 5)
    header[0] = block === undefined ? NOT_HERE : HERE
    if (block !== undefined) new DataView(header.buffer).setUint32(1, block.length)
    const frames = this.#append(header)
    if (block !== undefined) frames.push(...this.#append(block))
    return frames
  }

  /** The last frame, when it is not full. */
  flush(): Uint8Array[] {
    return this.#partBytes === 0 ? [] : [this.#cut()]
  }

  #append(bytes: Uint8Array): Uint8Array[] {
    const frames: Uint8Array[] = []
    let rest = bytes
    while (rest.length > 0) {
      const room = this.#frameBytes - this.#partBytes
      const part = rest.subarray(0, room)
      this.#parts.push(part)
      this.#partBytes += part.length
      rest = rest.subarray(part.length)
      if (this.#partBytes === this.#frameBytes) frames.push(this.#cut())
    }
    return frames
  }

  #cut(): Uint8Array {
    const frame = this.#parts.length === 1 ? this.#parts[0]! : concat(this.#parts, this.#partBytes)
    this.#parts = []
    this.#partBytes = 0
    return frame
  }
}

/** Puts answers together again, whatever the cuts. Owned by one stream. */
export class AnswerDecoder {
  #header = new Uint8Array(5)
  #headerBytes = 0
  #block: Uint8Array | null = null
  #blockBytes = 0

  /** True between two answers. */
  get atBoundary(): boolean {
    return this.#block === null && this.#headerBytes === 0
  }

  /**
   * The answers that `frame` completes, in order; undefined for "I do not have it".
   * @throws ProtocolError bad_message | message_too_large
   */
  *push(frame: Uint8Array): Generator<Uint8Array | undefined> {
    let rest = frame
    while (rest.length > 0) {
      rest = this.#block === null ? this.#readHeader(rest) : this.#readBlock(rest)
      if (this.#headerBytes === 1 && this.#header[0] === NOT_HERE) {
        this.#headerBytes = 0
        yield undefined
      } else if (this.#block !== null && this.#blockBytes === this.#block.length) {
        const block = this.#block
        this.#block = null
        yield block
      }
    }
  }

  #readHeader(bytes: Uint8Array): Uint8Array {
    const wanted = this.#headerBytes === 0 ? 1 : 5 - this.#headerBytes
    const part = bytes.subarray(0, wanted)
    this.#header.set(part, this.#headerBytes)
    this.#headerBytes += part.length
    if (this.#header[0]! > NOT_HERE) throw new ProtocolError('bad_message', `cannot decode an answer of status ${this.#header[0]}`)
    if (this.#headerBytes === 5) {
      const length = new DataView(this.#header.buffer).getUint32(1)
      if (length > MAX_BLOCK_BYTES) {
        throw new ProtocolError('message_too_large', `cannot take a block of ${length} bytes: at most ${MAX_BLOCK_BYTES} are allowed`)
      }
      this.#block = new Uint8Array(length)
      this.#blockBytes = 0
      this.#headerBytes = 0
    }
    return bytes.subarray(part.length)
  }

  #readBlock(bytes: Uint8Array): Uint8Array {
    const part = bytes.subarray(0, this.#block!.length - this.#blockBytes)
    this.#block!.set(part, this.#blockBytes)
    this.#blockBytes += part.length
    return bytes.subarray(part.length)
  }
}

function concat(parts: Uint8Array[], total: number): Uint8Array {
  const whole = new Uint8Array(total)
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}
