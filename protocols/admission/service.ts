// Admission wired to a node: an inviter's answers, and a newcomer's questions.
import type { FrameNode, FrameStream } from '../frame-stream.ts'
import { askOnce } from '../one-answer.ts'
import { ANSWER_TIMEOUT_MS, admissionProtocol, MAX_ADMISSION_BYTES, STREAMS_PER_PEER } from './constants.ts'
import {
  type AdmissionAnswer,
  type AdmissionRequest,
  decodeAdmissionAnswer,
  decodeAdmissionRequest,
  encodeAdmissionAnswer,
  encodeAdmissionRequest
} from './messages.ts'

export interface AdmissionComponents {
  node: FrameNode
  /** Decides about one request that came from `address`; what it answers has been written down. */
  answer(peer: string, request: AdmissionRequest, address: string): Promise<AdmissionAnswer>
}

export interface AdmissionOptions {
  network: string
  /** Milliseconds a peer may take for one answer, dialling included. @default ANSWER_TIMEOUT_MS */
  timeoutMs?: number
}

export class AdmissionService {
  readonly #node: FrameNode
  readonly #answerTo: AdmissionComponents['answer']
  readonly #protocol: string
  readonly #timeoutMs: number

  constructor({ node, answer }: AdmissionComponents, { network, timeoutMs }: AdmissionOptions) {
    this.#node = node
    this.#answerTo = answer
    this.#protocol = admissionProtocol(network)
    this.#timeoutMs = timeoutMs ?? ANSWER_TIMEOUT_MS
  }

  async start(): Promise<void> {
    const options = { frameBytesMax: MAX_ADMISSION_BYTES, streamsPerPeer: STREAMS_PER_PEER }
    await this.#node.handle(this.#protocol, (stream, peer, address) => this.#answer(stream, peer, address), options)
  }

  async stop(): Promise<void> {
    await this.#node.unhandle(this.#protocol)
  }

  /** One question, one answer. @throws ProtocolError peer_unreachable | peer_stalled | bad_message | message_too_large */
  async ask(peer: string, request: AdmissionRequest, options: { signal?: AbortSignal } = {}): Promise<AdmissionAnswer> {
    const frame = encodeAdmissionRequest(request)
    const question = { peer, protocol: this.#protocol, frame, decode: decodeAdmissionAnswer, what: 'admission', timeoutMs: this.#timeoutMs }
    return await askOnce(this.#node, question, options)
  }

  /** One request a stream: whoever has more to ask opens another, and pays for it. */
  async #answer(stream: FrameStream, peer: string, address: string): Promise<void> {
    const signal = AbortSignal.timeout(this.#timeoutMs)
    const frame = await stream.read({ signal })
    if (frame !== null) {
      const answer = await this.#answerTo(peer, decodeAdmissionRequest(frame), address)
      await stream.write([encodeAdmissionAnswer(answer)], { signal })
    }
    await stream.close({ signal })
  }
}
