// The answering side of the block exchange: one stream's wants in, its answers out, never more than the asker has given credit for.
import { setTimeout as sleep } from 'node:timers/promises'
import { ProtocolError } from '../errors.ts'
import type { FrameStream } from '../frame-stream.ts'
import { Purses } from '../purses.ts'
import { FLUSH_MS, FRAME_BYTES, MAX_DEBT_MS, MAX_QUEUED_WANTS, SERVE_IDLE_MS, WANTS } from './constants.ts'
import { AnswerEncoder, decodeRequest } from './messages.ts'
import { Patience } from './patience.ts'

/** What makes blocks wait for their turn, where a node may send only so much. */
export interface Pace {
  /** Bytes of the frames that blocks are cut into, at most `most`. */
  frameBytes(most: number): number
  /** Resolves when so many bytes may leave at the cost of `payer`; rejects when `signal` fires first. */
  take(bytes: number, options: { payer: string; signal: AbortSignal }): Promise<void>
}

export interface ServingComponents {
  stream: FrameStream
  /** Who pays for what is asked and sent, looked up for each: it may be accepted meanwhile. */
  payer: () => string
  store: { get(cid: string): Promise<Uint8Array | undefined> }
  /** Told how many payload bytes (of blocks) were handed to the stream. */
  onSent: (bytes: number) => void
  /** @default blocks leave as fast as they can */
  pace?: Pace | undefined
  /** What wants are paid from. @default as if this were the only stream */
  wants?: Purses
  /** @default SERVE_IDLE_MS */
  idleMs?: number
}

/** Answers until the asker ends the stream. Rejects when it breaks the rules, is silent for `idleMs` while we wait for its word, or takes a frame no sooner. */
export async function serveBlocks(components: ServingComponents): Promise<void> {
  const { stream, store, onSent, idleMs = SERVE_IDLE_MS } = components
  const serving = new Serving(components, idleMs)
  try {
    await Promise.all([readRequests(stream, serving), writeAnswers(stream, store, serving, onSent)])
  } finally {
    serving.taking.end()
    serving.end()
    serving.speaking.end()
    serving.giveUp()
  }
  await stream.close({ signal: AbortSignal.timeout(idleMs) })
}

async function readRequests(stream: FrameStream, serving: Serving): Promise<void> {
  try {
    for (;;) {
      const frame = await stream.read(serving.speaking.options)
      if (frame === null) return
      const request = decodeRequest(frame)
      if (request.kind === 'credit') serving.grant(request.bytes)
      else await serving.enqueue(request.cids)
    }
  } finally {
    serving.end()
  }
}

async function writeAnswers(stream: FrameStream, store: ServingComponents['store'], serving: Serving, onSent: (bytes: number) => void) {
  const encoder = new AnswerEncoder(serving.pace?.frameBytes(FRAME_BYTES))
  // The next block is read from disk while the last one is on its way.
  let next = readNext(store, serving)
  let sentAtMs = performance.now()
  for (;;) {
    if (serving.queued === 0 && next === null) {
      if (!(await waitForWant(stream, encoder, serving))) return
      sentAtMs = performance.now()
    }
    next ??= readNext(store, serving)
    const block = await next!
    next = readNext(store, serving)
    const frames = encoder.add(block)
    // Hundreds of small blocks fit into one frame, and a slow disk takes long for them: the asker would take that for silence.
    if (frames.length === 0 && performance.now() - sentAtMs >= FLUSH_MS) frames.push(...encoder.flush())
    if (frames.length > 0) sentAtMs = performance.now()
    await send(stream, frames, serving)
    if (block !== undefined) onSent(block.length)
  }
}

/** Everything asked for is answered: sends what the last frame holds, then waits. False when the asker is done. */
async function waitForWant(stream: FrameStream, encoder: AnswerEncoder, serving: Serving): Promise<boolean> {
  await send(stream, encoder.flush(), serving)
  while (serving.queued === 0) {
    if (serving.ended) return false
    await serving.changed()
  }
  return true
}

async function send(stream: FrameStream, frames: Uint8Array[], serving: Serving): Promise<void> {
  for (const frame of frames) {
    while (!serving.spend(frame.length)) {
      if (serving.ended) throw new ProtocolError('peer_unreachable', 'cannot send a block: the asker has gone')
      await serving.changed()
    }
    // Our own waiting is not the asker's fault: its time counts from when the frame may leave.
    await serving.turn(frame.length)
    serving.taking.renew()
    await stream.write([frame], serving.taking.options)
    serving.taking.rest()
    serving.moved()
  }
}

function readNext(store: ServingComponents['store'], serving: Serving): Promise<Uint8Array | undefined> | null {
  const cid = serving.dequeue()
  if (cid === undefined) return null
  const block = store.get(cid)
  // Whoever awaits it sees the failure; until then it must not count as unhandled.
  block.catch(() => {})
  return block
}

/** What one stream has asked for and may still be sent. */
class Serving {
  #wants: string[] = []
  #creditBytes = 0
  #waiting: (() => void)[] = []
  readonly #givenUp = new AbortController()
  readonly pace: Pace | undefined
  readonly #payer: () => string
  readonly #purses: Purses
  /** With an asker that takes nothing off our hands: counts while a frame is being written. */
  readonly taking: Patience
  /**
   * With an asker that says nothing: counts while we wait for its wants or its credit. While we answer it has nothing to say until much of a window has
   * come, and under a cap, or behind a thin line, that takes longer than any silence may last.
   */
  readonly speaking: Patience
  ended = false

  constructor({ payer, pace, wants }: ServingComponents, idleMs: number) {
    this.#payer = payer
    this.#purses = wants ?? new Purses(WANTS)
    this.pace = pace
    this.taking = new Patience(idleMs)
    this.speaking = new Patience(idleMs)
  }

  /** Resolves when so many bytes may leave; rejects when the stream is over. */
  async turn(bytes: number): Promise<void> {
    await this.pace?.take(bytes, { payer: this.#payer(), signal: this.#givenUp.signal })
  }

  get queued(): number {
    return this.#wants.length
  }

  /** Resolves when the peer may go on: what it says meanwhile lies unread. */
  async enqueue(cids: string[]): Promise<void> {
    if (this.#wants.length + cids.length > MAX_QUEUED_WANTS) {
      throw new ProtocolError('bad_message', `cannot queue more than ${MAX_QUEUED_WANTS} wants of one stream`)
    }
    const purse = this.#purses.of(this.#payer())
    const nowMs = performance.now()
    if (purse.debtMs(nowMs) > MAX_DEBT_MS) throw new ProtocolError('rate_limited', 'cannot look for more blocks for now')
    purse.pay(cids.length, nowMs)
    const waitMs = purse.debtMs(nowMs)
    if (waitMs > 0) await sleep(waitMs, undefined, { ref: false })
    this.#wants.push(...cids)
    this.#wake()
  }

  dequeue(): string | undefined {
    return this.#wants.shift()
  }

  grant(bytes: number): void {
    this.#creditBytes = Math.min(this.#creditBytes + bytes, 0xffffffff)
    this.#wake()
  }

  spend(bytes: number): boolean {
    if (this.#creditBytes < bytes) return false
    this.#creditBytes -= bytes
    return true
  }

  end(): void {
    this.ended = true
    this.#wake()
  }

  /** Nobody wants the frame any more that waits for its turn. */
  giveUp(): void {
    this.#givenUp.abort(new ProtocolError('peer_unreachable', 'cannot send a block: the asker has gone'))
  }

  /** Resolves when the asker has spoken or gone. */
  changed(): Promise<void> {
    this.speaking.resume()
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  /** The asker spoke, or took a frame: its silence counts anew, from when we wait for it again. */
  moved(): void {
    this.speaking.renew()
    this.speaking.rest()
  }

  #wake(): void {
    this.moved()
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
