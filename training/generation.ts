/** Text out of a model: token after token, sampled with a seeded generator and given out as soon as it is whole characters. */

import { setImmediate as othersTurn } from 'node:timers/promises'
import { createRandom, type Random } from './data/random.ts'
import type { Tokenizer } from './data/tokenizer.ts'
import type { CompiledDecoding } from './engines/engine.ts'
import { TrainingError } from './errors.ts'

export interface GenerateOptions {
  /** Loaded with the parameters. */
  decoding: Pick<CompiledDecoding, 'begin' | 'next'>
  tokenizer: Tokenizer
  /** Tokens that the model sees at most, for which `decoding` was compiled. When they are full, it goes on from their later half. */
  context: number
  /** May be empty, and longer than the context: the model then sees its end. */
  prompt: string
  /** Tokens to draw at most; the end-of-text token ends it earlier. */
  tokens: number
  /** 0 always takes the likeliest token. @default 1 */
  temperature?: number
  /** Draw from so many likeliest tokens only; 0 is all. @default 0 */
  topK?: number
  /** The same seed gives the same text. @default 0 */
  seed?: number
  signal?: AbortSignal
}

/**
 * The text that follows the prompt, in pieces (the prompt is not repeated).
 * @throws TrainingError `bad_generation` for settings that make no sense; what the engine throws
 */
export async function* generate(options: GenerateOptions): AsyncGenerator<string> {
  const { decoding, tokenizer, context, prompt, tokens, temperature = 1, topK = 0, seed = 0, signal } = options
  checkSettings({ tokens, temperature, topK })
  const random = createRandom(`generate/${seed}`)
  // What the model sees: the text's end.
  let window = startOf(prompt, tokenizer).slice(-context)
  let begun = false
  const given = new TextStream(tokenizer)
  for (let drawn = 0; drawn < tokens; drawn++) {
    // Some engines compute on this thread: without a turn for timers and signals nothing could stop them.
    await othersTurn()
    signal?.throwIfAborted()
    const logits = begun ? await decoding.next(window.at(-1)!) : await decoding.begin(Int32Array.from(window))
    const token = draw(known(logits, tokenizer.vocabulary), temperature, topK, random)
    if (token === tokenizer.endOfText) break
    begun = window.length < context
    if (!begun) window = window.slice(Math.ceil(context / 2))
    window.push(token)
    const text = given.push(token)
    if (text !== '') yield text
  }
  const rest = given.end()
  if (rest !== '') yield rest
}

/** An empty prompt begins after an end of text, as a document does; without that token, after token 0. */
function startOf(prompt: string, tokenizer: Tokenizer): number[] {
  const ids = Array.from(tokenizer.encode(prompt))
  return ids.length > 0 ? ids : [tokenizer.endOfText ?? 0]
}

/** A model may have more rows than the tokenizer has ids (padded vocabularies): those are never drawn. */
function known(logits: Float32Array, vocabulary: number): Float32Array {
  if (logits.length < vocabulary) {
    throw new TrainingError('bad_generation', `generating: the model knows ${logits.length} tokens, the tokenizer ${vocabulary}`, {
      hint: 'use the tokenizer that lies beside the checkpoint'
    })
  }
  return logits.subarray(0, vocabulary)
}

function draw(logits: Float32Array, temperature: number, topK: number, random: Random): number {
  const likeliest = logits.reduce((best, logit, id) => (logit > logits[best]! ? id : best), 0)
  if (temperature === 0) return likeliest
  const most = logits[likeliest]!
  const least = topK > 0 && topK < logits.length ? logits.toSorted().at(-topK)! : -Infinity
  const weights = Array.from(logits, logit => (logit >= least ? Math.exp((logit - most) / temperature) : 0))
  let left = random.fraction() * weights.reduce((sum, weight) => sum + weight, 0)
  for (const [id, weight] of weights.entries()) {
    left -= weight
    if (left < 0 && weight > 0) return id
  }
  return likeliest // rounding left a crumb, or a logit is not a number
}

function checkSettings({ tokens, temperature, topK }: { tokens: number; temperature: number; topK: number }): void {
  const wrong =
    !Number.isInteger(tokens) || tokens < 0
      ? `tokens is ${tokens}, must be a whole number from 0`
      : !Number.isFinite(temperature) || temperature < 0
        ? `temperature is ${temperature}, must be 0 or more`
        : !Number.isInteger(topK) || topK < 0
          ? `topK is ${topK}, must be a whole number from 0`
          : null
  if (wrong !== null) throw new TrainingError('bad_generation', `generating: ${wrong}`)
}

/**
 * Tokens to text without half characters: a piece is given out once what follows the last piece no longer ends in U+FFFD. Two lengths of the same few
 * tokens are decoded and compared, because some tokenizers write a token differently at the start of a text.
 */
class TextStream {
  readonly #tokenizer: Tokenizer
  readonly #ids: number[] = []
  #from = 0
  #given = 0

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer
  }

  push(id: number): string {
    this.#ids.push(id)
    const text = this.#tail()
    if (text.endsWith('\ufffd')) return ''
    this.#from = this.#given
    this.#given = this.#ids.length
    return text
  }

  end(): string {
    return this.#tail()
  }

  #tail(): string {
    const before = this.#tokenizer.decode(this.#ids.slice(this.#from, this.#given))
    return this.#tokenizer.decode(this.#ids.slice(this.#from)).slice(before.length)
  }
}
