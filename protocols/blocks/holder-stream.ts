// The asking side's end of one stream with one holder: wants go out in batches, answers come back in order.
import { ProtocolError } from '../errors.ts'
import type { FrameStream } from '../frame-stream.ts'
import { CREDIT_STEP_BYTES, MAX_WANTS_PER_FRAME, WINDOW_BYTES } from './constants.ts'
import { AnswerDecoder, encodeRequest } from './messages.ts'

export interface Answer {
  cid: string
  /** undefined: the holder does not have it. */
  bytes: Uint8Array | undefined
}

export class HolderStream {
  readonly #stream: FrameStream
  readonly #decoder = new AnswerDecoder()
  #owed: string[] = []
  #takenBytes = 0
  #opened = false
  /** When it was first asked for what it owes, or gave its last answer; ms of performance.now(). */
  #answeredMs = 0
  #answerMs: number | null = null
  /** Bytes that had come by then. */
  #answeredBytes = 0
  /** True when it comes from an earlier fetch. */
  reused = false

  constructor(stream: FrameStream) {
    this.#stream = stream
  }

  /** CIDs asked for and not answered, oldest first. */
  get owed(): readonly string[] {
    return this.#owed
  }

  /** Ms for which it owes us something and has not sent a byte. */
  get silentMs(): number {
    return performance.now() - Math.max(this.#answeredMs, this.#stream.heardMs)
  }

  /** Bytes that came so far. */
  get heardBytes(): number {
    return this.#stream.heardBytes
  }

  /** Bytes a second since its last answer, or since it was asked. */
  get bytesPerSecond(): number {
    return ((this.#stream.heardBytes - this.#answeredBytes) / Math.max(1, this.unansweredMs)) * 1000
  }

  /** Ms since its last answer, or since it was asked. */
  get unansweredMs(): number {
    return performance.now() - this.#answeredMs
  }

  /** Ms that its newest answer took; null before the first. */
  get answerMs(): number | null {
    return this.#answerMs
  }

  /** True when the stream may serve another fetch. */
  get clean(): boolean {
    return this.#owed.length === 0 && this.#decoder.atBoundary
  }

  async want(cids: string[], options: { signal: AbortSignal }): Promise<void> {
    const frames: Uint8Array[] = []
    if (!this.#opened) frames.push(encodeRequest({ kind: 'credit', bytes: WINDOW_BYTES }))
    this.#opened = true
    for (let start = 0; start < cids.length; start += MAX_WANTS_PER_FRAME) {
      frames.push(encodeRequest({ kind: 'want', cids: cids.slice(start, start + MAX_WANTS_PER_FRAME) }))
    }
    if (this.#owed.length === 0) this.#startAnswer()
    this.#owed.push(...cids)
    await this.#stream.write(frames, options)
  }

  /**
   * Answers of the next frame; often none or several.
   * @throws ProtocolError bad_message | message_too_large | peer_unreachable, or what the stream broke with
   */
  async answers(options: { signal: AbortSignal }): Promise<Answer[]> {
    const frame = await this.#stream.read(options)
    if (frame === null) throw new ProtocolError('peer_unreachable', 'cannot read a block: the holder ended the stream')
    const answers: Answer[] = []
    for (const bytes of this.#decoder.push(frame)) {
      const cid = this.#owed.shift()
      if (cid === undefined) throw new ProtocolError('bad_message', 'cannot take a block that was not asked for')
      answers.push({ cid, bytes })
    }
    this.#takenBytes += frame.length
    if (answers.length > 0) {
      this.#answerMs = this.unansweredMs / answers.length
      this.#startAnswer()
    }
    return answers
  }

  #startAnswer(): void {
    this.#answeredMs = performance.now()
    this.#answeredBytes = this.#stream.heardBytes
  }

  /** Opens the window again by what was taken in; called when the blocks are stored, so that a slow disk slows the holder. */
  async credit(options: { signal: AbortSignal }): Promise<void> {
    if (this.#takenBytes < CREDIT_STEP_BYTES) return
    const bytes = this.#takenBytes
    this.#takenBytes = 0
    await this.#stream.write([encodeRequest({ kind: 'credit', bytes })], options)
  }

  async close(): Promise<void> {
    await this.#stream.close({ signal: AbortSignal.timeout(1000) }).catch(error => this.#stream.abort(error as Error))
  }

  abort(error: Error): void {
    this.#stream.abort(error)
  }
}
