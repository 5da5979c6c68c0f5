/** The one error of this room: every failure of training, data and evaluation carries a stable code and, where there is one, the way out. */

/** Stable codes. A file that needs another adds it here, under its own heading. */
export type TrainingErrorCode =
  // models, optimizers, trainer
  | 'bad_model_config'
  | 'bad_parameters'
  | 'bad_schedule'
  | 'bad_optimizer'
  | 'bad_batch'
  | 'bad_state'
  | 'non_finite_delta'
  | 'bad_hugging_face_folder'
  | 'bad_workload'
  // engines
  | 'unknown_engine'
  | 'engine_unavailable'
  | 'engine_failed'
  | 'engine_disposed'
  | 'untraceable_operation'
  | 'not_loaded'
  // data, tokenizers, evaluation, generation
  | 'bad_corpus'
  | 'corpus_too_large'
  | 'corpus_too_small'
  | 'corpus_empty'
  | 'invalid_utf8'
  | 'bad_json_line'
  | 'unknown_era'
  | 'bad_tokenizer'
  | 'bad_token_id'
  | 'bad_position'
  | 'bad_generation'
  // outer, compression
  | 'bad_codec'
  | 'bad_codec_bytes'
  | 'bad_strategy'
  | 'bad_attack'
  | 'bad_weight'
  | 'non_finite'
  | 'shape_mismatch'
  | 'norm_too_large'

export interface TrainingErrorOptions {
  /** What the reader can do about it. */
  hint?: string
  /** The facts, for programs. */
  details?: Record<string, unknown>
  cause?: unknown
}

/** Thrown by everything under training/. `message` says which action failed, the value and the limit. */
export class TrainingError extends Error {
  override readonly name = 'TrainingError'
  readonly code: TrainingErrorCode
  readonly hint: string | undefined
  readonly details: Record<string, unknown> | undefined

  constructor(code: TrainingErrorCode, message: string, options: TrainingErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.details = options.details
  }
}
