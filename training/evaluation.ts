/** How well a model knows a text: nats a token, and nats and bits a UTF-8 byte, which compare across tokenizers. */

import { setImmediate as othersTurn } from 'node:timers/promises'
import type { Tokenizer } from './data/tokenizer.ts'
import type { CompiledForward } from './engines/engine.ts'
import { TrainingError } from './errors.ts'

export interface EvaluateOptions {
  /** Loaded with the parameters, compiled for [batch, context]. */
  forward: Pick<CompiledForward, 'losses'>
  tokenizer: Tokenizer
  texts: Iterable<string>
  context: number
  batch: number
  /** Look at so many windows only, evenly spaced over the texts: the same ones each time. @default all */
  maxWindows?: number
  signal?: AbortSignal
}

export interface Evaluation {
  /** Tokens whose prediction was scored. */
  tokens: number
  /** UTF-8 bytes of those tokens. */
  bytes: number
  natsPerToken: number
  natsPerByte: number
  bitsPerByte: number
  perplexity: number
}

/** A stretch of one text: `tokens` has one token more than are scored, the first being what the model sees before it predicts anything. */
interface Window {
  tokens: Int32Array
  bytes: number
}

/**
 * Scores every token of the texts once. Each text begins after an end-of-text token (without one its first token is seen, not scored) and is cut into
 * windows of `context` tokens, so a prediction has at most that much before it and half of it on average.
 * @throws TrainingError `corpus_empty` when there is nothing to score; what the engine throws
 */
export async function evaluate({ forward, tokenizer, texts, context, batch, maxWindows, signal }: EvaluateOptions): Promise<Evaluation> {
  const windows = spread([...windowsOf(texts, tokenizer, context)], maxWindows ?? Infinity)
  if (windows.length === 0)
    throw new TrainingError('corpus_empty', 'evaluating: the texts have no token to score', { hint: 'give a longer text' })
  let [nats, tokens, bytes] = [0, 0, 0]
  for (let first = 0; first < windows.length; first += batch) {
    // The engine computes on this thread and the whole may take minutes: timers, signals and sockets get a turn, without which nothing could stop it.
    await othersTurn()
    signal?.throwIfAborted()
    const rows = windows.slice(first, first + batch)
    nats += await scoreRows(forward, rows, batch, context)
    for (const row of rows) {
      tokens += row.tokens.length - 1
      bytes += row.bytes
    }
  }
  const natsPerToken = nats / tokens
  const natsPerByte = nats / bytes
  return { tokens, bytes, natsPerToken, natsPerByte, bitsPerByte: natsPerByte / Math.LN2, perplexity: Math.exp(natsPerToken) }
}

function* windowsOf(texts: Iterable<string>, tokenizer: Tokenizer, context: number): Iterable<Window> {
  for (const text of texts) {
    const ids = tokenizer.encode(text)
    const before = tokenizer.endOfText === null ? [] : [tokenizer.endOfText]
    const tokens = new Int32Array(before.length + ids.length)
    tokens.set(before)
    tokens.set(ids, before.length)
    for (let at = 0; at + 1 < tokens.length; at += context) {
      const window = tokens.subarray(at, at + context + 1)
      yield { tokens: window, bytes: tokenizer.byteLength(window.subarray(1)) }
    }
  }
}

function spread(windows: Window[], most: number): Window[] {
  if (windows.length <= most) return windows
  return Array.from({ length: most }, (_, i) => windows[Math.floor((i * windows.length) / most)]!)
}

/** Sum of the losses of a batch of windows. Short windows and missing rows are filled with token 0, whose losses are left out; what comes later never changes what came before. */
async function scoreRows(forward: Pick<CompiledForward, 'losses'>, rows: Window[], batch: number, context: number): Promise<number> {
  const inputs = new Int32Array(batch * context)
  const targets = new Int32Array(batch * context)
  for (const [row, { tokens }] of rows.entries()) {
    inputs.set(tokens.subarray(0, -1), row * context)
    targets.set(tokens.subarray(1), row * context)
  }
  const losses = await forward.losses(inputs, targets)
  let nats = 0
  for (const [row, { tokens }] of rows.entries()) {
    for (let i = 0; i + 1 < tokens.length; i++) nats += losses[row * context + i]!
  }
  return nats
}
