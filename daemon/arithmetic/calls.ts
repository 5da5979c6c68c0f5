// What the arithmetic worker can be asked, as plain data that crosses the thread boundary by structured clone.
import type { CodecSpec } from '../../training/compression/index.ts'
import type { OuterStrategySpec } from '../../training/outer/index.ts'

/** A stage and its trainable tensors in the model's order. */
export interface StageNames {
  name: string
  tensors: string[]
}

/** A body as it was written. */
export interface WrittenBody {
  /** Bytes of its tensors. */
  bytes: number
  /** Every block, each once: chunks and indexes, the root last. All of them are on disk. */
  blocks: string[]
}

export interface EncodeContributionRequest {
  /** safetensors: the pseudo-gradient (base - local), a tensor for each name in `stages`. */
  deltaFile: string
  /** The last `nextResidualFile`; a tensor that it lacks carries nothing. */
  residualFile: string | null
  /** Written whole or not at all. Has no tensors where the codec loses nothing. */
  nextResidualFile: string
  codec: CodecSpec | string
  stages: StageNames[]
  /** What is larger is refused with `norm_too_large`. @default any norm */
  normMax?: number
}

export interface EncodedContribution extends WrittenBody {
  /** CID of the body's root. */
  body: string
  /** Norm of what the others will decode; a contribution that states another is refused. */
  norm: number
}

export interface NextAnchorRequest {
  parentAnchor: string
  /** In the record's order. Bodies must have been checked; `codec` is the wire name or spec, `tokens` what the rules accepted, `norm` as stated. */
  contributions: { body: string; codec: CodecSpec | string; author: string; tokens: number; age: number; norm: number }[]
  strategy: OuterStrategySpec
}

export interface WrittenAnchor extends WrittenBody {
  /** CID of the anchor's root. */
  anchor: string
}

export interface CheckContributionRequest {
  body: string
  codec: CodecSpec | string
  /** As the contribution states it. */
  norm: number
  /** The anchor that the contribution was measured from. */
  parentAnchor: string
  /** Its author is nobody whom the run knows: it waits until nothing else does. @default false */
  isStrangers?: boolean
}

export interface NormMaxRequest {
  /** The anchor that a contribution is measured from. */
  parentAnchor: string
}

/** Why a body is refused; stable codes that `shoal why` shows. */
export type BodyRefusal =
  | 'bad_body' // an index or a chunk is not what the format says
  | 'shape_mismatch' // other stages, tensors, shapes or sizes than the anchor's
  | 'bad_codec_bytes'
  | 'non_finite'
  | 'norm_mismatch' // the stated norm is not that of the body
  | 'norm_too_large'

export interface AnchorToSafetensorsRequest {
  anchor: string
  /** Written whole or not at all. */
  file: string
  /** Write `outer.<state>/<tensor>` too. @default false */
  outerState?: boolean
  metadata?: Record<string, string>
}

export interface BodyToSafetensorsRequest {
  body: string
  codec: CodecSpec | string
  /** Written whole or not at all. */
  file: string
}

export interface SafetensorsToAnchorRequest {
  /** Either a safetensors file or the tensors themselves. Outer state (`outer.momentum/<tensor>`) is taken from there, or is zeros. */
  file?: string
  tensors?: { name: string; shape: number[]; values: Float32Array }[]
  stages: StageNames[]
  strategy: OuterStrategySpec
}

/** Every call by name: what it takes and what it gives. */
export interface Calls {
  encodeContribution: { request: EncodeContributionRequest; result: EncodedContribution }
  nextAnchor: { request: NextAnchorRequest; result: WrittenAnchor }
  checkContribution: { request: CheckContributionRequest; result: BodyRefusal | null }
  normMax: { request: NormMaxRequest; result: number }
  anchorToSafetensors: { request: AnchorToSafetensorsRequest; result: { bytes: number } }
  bodyToSafetensors: { request: BodyToSafetensorsRequest; result: { bytes: number } }
  safetensorsToAnchor: { request: SafetensorsToAnchorRequest; result: WrittenAnchor }
}
export type CallName = keyof Calls

/** To the worker. */
export type WorkerRequest =
  | { [N in CallName]: { type: 'call'; id: number; name: N; request: Calls[N]['request'] } }[CallName]
  | { type: 'cancel'; id: number }

/** An error as it crosses: the room's class is made again on the other side. */
export interface CarriedError {
  room: string
  code: string
  message: string
  hint?: string
  details?: Record<string, unknown>
  stack?: string
}

/** From the worker. */
export type WorkerReply =
  | { type: 'result'; id: number; result: Calls[CallName]['result'] }
  | { type: 'error'; id: number; error: CarriedError }
  | { type: 'corrupt'; cid: string }
