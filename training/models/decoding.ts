// Going on with a text token by token: the keys and values of the tokens before are kept, so that one more token costs the work of one row.
import { type TensorMap, tf } from '../engines/tensorflow.ts'
import type { Model, ModelConfig } from './model.ts'
import { type AttentionInputs, type AttentionShape, byHead, causalAttention, MASKED } from './operations.ts'

/** What attention keeps of a layer: f32 [keyValueHeads, places, size] each; keys have their positions in them. */
export interface KeysValues {
  keys: tf.Tensor
  values: tf.Tensor
}

/** What stages are given besides where keys and values are kept. */
export interface AttentionCache {
  /** How many tokens stand before x, i32 [1]; null where x begins the text. */
  position: tf.Tensor | null
  /** Of each layer, what is kept of the tokens before: so many places count as `position` says. Empty where x begins the text. */
  past: KeysValues[]
  /** Of each layer, x's own. The blocks leave them here. */
  added: KeysValues[]
}

export interface Continuation {
  /** Of what follows the last token, [vocabulary]. */
  logits: tf.Tensor
  /** Of each layer, what the tokens given add to the past. */
  added: KeysValues[]
}

/** The beginning of a text, tokens i32 [1, length]; those after place `last`, i32 [1], stand there for the shape only, and so do their keys and values. */
export function beginText(model: Model, parameters: TensorMap, { tokens, last }: { tokens: tf.Tensor; last: tf.Tensor }): Continuation {
  return through(model, parameters, { tokens, last, cache: { position: null, past: [], added: [] } })
}

/** One more token, i32 [1, 1], after `position`, i32 [1], others, of which `past` is kept. */
export function continueText(
  model: Model,
  parameters: TensorMap,
  { token, position, past }: { token: tf.Tensor; position: tf.Tensor; past: KeysValues[] }
): Continuation {
  return through(model, parameters, { tokens: token, last: null, cache: { position, past, added: [] } })
}

function through(
  model: Model,
  parameters: TensorMap,
  { tokens, last, cache }: { tokens: tf.Tensor; last: tf.Tensor | null; cache: AttentionCache }
): Continuation {
  const hidden = model.stages.slice(0, -1).reduce((x, stage) => stage.forward(parameters, x, parameters, cache), tokens)
  const head = model.stages.at(-1)!
  // The head of all places would cost as much as some layers.
  const logits = head.forward(parameters, last ? tf.gather(hidden, last as tf.Tensor1D, 1) : hidden, parameters)
  return { logits: tf.reshape(logits, [model.config.vocabulary]), added: cache.added }
}

/** The shape of one layer's keys, and of its values, for so many places. */
export function keysShape(config: ModelConfig, places: number): [number, number, number] {
  return [config.family === 'llama' ? config.keyValueHeads : config.heads, places, config.width / config.heads]
}

/** {@link causalAttention} of one text's tokens after those in the cache; leaves their keys and values there. */
export function cachedAttention(
  inputs: AttentionInputs,
  shape: AttentionShape,
  { cache, layer, place = x => x }: { cache: AttentionCache; layer: number; place?: (x: tf.Tensor) => tf.Tensor }
): tf.Tensor {
  const { length, heads, keyValueHeads = heads } = shape
  const width = inputs.queries.shape[1]!
  const size = width / heads
  const keys = tf.reshape(place(byHead(inputs.keys, shape, keyValueHeads)), [keyValueHeads, length, size])
  const values = tf.reshape(byHead(inputs.values, shape, keyValueHeads), [keyValueHeads, length, size])
  cache.added[layer] = { keys, values }
  if (!cache.position) return causalAttention(inputs, shape, place)
  const past = cache.past[layer]!
  const queries = tf.reshape(place(byHead(inputs.queries, shape, heads)), [keyValueHeads, heads / keyValueHeads, size])
  const scores = [
    tf.add(tf.matMul(queries, past.keys, false, true), unfilled(past.keys.shape[1]!, cache.position)),
    tf.matMul(queries, keys, false, true)
  ]
  const weights = tf.softmax(tf.mul(tf.concat(scores, 2), 1 / Math.sqrt(size)))
  const [ofPast, own] = tf.split(weights, [past.keys.shape[1]!, 1], 2) as [tf.Tensor, tf.Tensor]
  return tf.reshape(tf.add(tf.matMul(ofPast, past.values), tf.mul(own, values)), [1, width])
}

/** What is added to scores of places from `position` on, which hold nothing yet: [places]. */
function unfilled(places: number, position: tf.Tensor): tf.Tensor {
  return tf.mul(tf.cast(tf.greaterEqual(placeNumbers(places), position), 'float32'), MASKED)
}

/** `past` with `added`, one place, at `position`; what was there counts no more. */
export function withPlace(past: tf.Tensor, added: tf.Tensor, position: tf.Tensor): tf.Tensor {
  const places = past.shape[1]!
  const here = tf.reshape(tf.cast(tf.equal(placeNumbers(places), position), 'float32'), [places, 1])
  return tf.add(tf.mul(past, tf.sub(1, here)), tf.mul(added, here))
}

function placeNumbers(places: number): tf.Tensor {
  return tf.tensor1d(
    Int32Array.from({ length: places }, (_, i) => i),
    'int32'
  )
}
