// Checks of what a step is given, the same for every engine: a wrong token id would be read as memory by some and as zeros by others.
import { TrainingError } from '../errors.ts'
import type { Model } from '../models/model.ts'
import { checkAdamW } from '../optimizers/adamw.ts'
import type { ForwardOptions, TokenBatch, TrainingOptions } from './engine.ts'

/** @throws TrainingError 'bad_batch' */
export function checkTokens(tokens: Int32Array, { batch, context }: ForwardOptions, vocabulary: number, what: string): void {
  if (tokens.length !== batch * context)
    throw new TrainingError(
      'bad_batch',
      `Cannot compute on ${tokens.length} ${what}: it must be ${batch} x ${context} = ${batch * context} tokens`
    )
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!
    if (token < 0 || token >= vocabulary)
      throw new TrainingError(
        'bad_batch',
        `Cannot compute on token ${token} at place ${i} of ${what}: tokens go from 0 to ${vocabulary - 1}`
      )
  }
}

/**
 * What a text may begin with, or go on with after `position` tokens.
 *
 * @throws TrainingError 'bad_batch'
 */
export function checkText(tokens: Int32Array, model: Model, { position, context }: { position: number; context: number }): void {
  if (tokens.length < 1 || position + tokens.length > context)
    throw new TrainingError(
      'bad_batch',
      `Cannot go on with ${tokens.length} tokens after ${position}: it must be at least one, and the text is compiled for ${context}`
    )
  checkTokens(tokens, { batch: 1, context: tokens.length }, model.config.vocabulary, 'the text')
}

/** @throws TrainingError 'bad_batch' */
export function checkMicrobatches(microbatches: readonly TokenBatch[], options: TrainingOptions, vocabulary: number): void {
  if (microbatches.length !== options.accumulation)
    throw new TrainingError(
      'bad_batch',
      `Cannot step on ${microbatches.length} microbatches: the step is compiled for ${options.accumulation}`
    )
  for (const { inputs, targets } of microbatches) {
    checkTokens(inputs, options, vocabulary, 'inputs')
    checkTokens(targets, options, vocabulary, 'targets')
  }
}

/** @throws TrainingError 'bad_batch', 'bad_optimizer' */
export function checkTrainingOptions(model: Model, options: TrainingOptions): void {
  checkForwardOptions(model, options)
  if (!Number.isSafeInteger(options.accumulation) || options.accumulation < 1)
    throw new TrainingError(
      'bad_batch',
      `Cannot compile a step of ${options.accumulation} microbatches: accumulation must be a whole number from 1`
    )
  checkAdamW(options.optimizer)
}

/** @throws TrainingError 'bad_batch' */
export function checkForwardOptions(model: Model, { batch, context }: ForwardOptions): void {
  if (!Number.isSafeInteger(batch) || batch < 1)
    throw new TrainingError('bad_batch', `Cannot compile for batch ${batch}: it must be a whole number from 1`)
  if (!Number.isSafeInteger(context) || context < 1 || context > model.config.context)
    throw new TrainingError(
      'bad_batch',
      `Cannot compile for context ${context}: it must be a whole number from 1 to the model's ${model.config.context}`
    )
}
