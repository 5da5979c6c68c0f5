/**
 * Tokenizers out of a Hugging Face tokenizer.json. A byte-level BPE with GPT-2's pattern (what Shoal trains and exports) is run by our own encoder, which is exact and fast;
 * every other kind (WordPiece, Unigram, other patterns) by @huggingface/tokenizers, at about 0.08 M tokens a second.
 */
import * as v from 'valibot'
import { TrainingError } from '../errors.ts'
import { bytesOfSymbols, createByteLevelBpe, tokenizerConfig } from './byte-level-bpe.ts'
import { END_OF_TEXT, MAX_TOKENIZER_JSON_BYTES, MAX_VOCABULARY } from './constants.ts'
import type { Tokenizer, TokenizerKind } from './tokenizer.ts'

/** Names under which published tokenizers keep their end of text, most telling first. */
const END_OF_TEXT_NAMES = [END_OF_TEXT, '<|end_of_text|>', '</s>', '<eos>', '<|im_end|>', '[SEP]']

/** No minus zero: written again it is another number. */
const TokenId = v.pipe(
  v.number(),
  v.integer(),
  v.minValue(0),
  v.maxValue(MAX_VOCABULARY - 1),
  v.check(id => !Object.is(id, -0))
)
/** Not `v.record`: it drops the keys `prototype` and `constructor`, and both are words of GPT-2. */
const Vocabulary = v.custom<Record<string, number>>(
  value => typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(id => v.is(TokenId, id))
)
const AddedTokens = v.array(
  v.looseObject({
    id: TokenId,
    content: v.string(),
    single_word: v.optional(v.boolean(), false),
    lstrip: v.optional(v.boolean(), false),
    rstrip: v.optional(v.boolean(), false)
  })
)
const TokenizerFile = v.looseObject({
  added_tokens: v.optional(v.nullable(AddedTokens), []),
  model: v.looseObject({
    type: v.optional(v.picklist(['BPE', 'WordPiece', 'Unigram'])),
    vocab: v.union([Vocabulary, v.array(v.unknown())])
  })
})
const nothing = v.optional(v.nullable(v.literal('')))
const ByteLevelFile = v.looseObject({
  added_tokens: v.optional(v.nullable(AddedTokens), []),
  normalizer: v.optional(v.null()),
  pre_tokenizer: v.looseObject({
    type: v.literal('ByteLevel'),
    add_prefix_space: v.literal(false),
    use_regex: v.optional(v.literal(true))
  }),
  decoder: v.looseObject({ type: v.literal('ByteLevel') }),
  model: v.looseObject({
    type: v.optional(v.literal('BPE')),
    dropout: v.optional(v.nullable(v.literal(0))),
    continuing_subword_prefix: nothing,
    end_of_word_suffix: nothing,
    byte_fallback: v.optional(v.literal(false)),
    ignore_merges: v.optional(v.literal(false)),
    vocab: Vocabulary,
    merges: v.array(v.union([v.string(), v.tuple([v.string(), v.string()])]))
  })
})

/**
 * A tokenizer from the text of a tokenizer.json.
 * @param kind what the tokenizer calls itself; it changes no id
 * @throws TrainingError `bad_tokenizer`
 */
export async function tokenizerFromJson(tokenizerJson: string, kind: TokenizerKind = 'json'): Promise<Tokenizer> {
  const json = parseJson(tokenizerJson)
  const file = v.safeParse(TokenizerFile, json)
  if (!file.success) throw bad(`it is not one: ${v.flatten(file.issues).root?.[0] ?? v.getDotPath(file.issues[0])}`)
  const byteLevel = v.safeParse(ByteLevelFile, json)
  const ours = byteLevel.success ? ownByteLevel(byteLevel.output, kind) : null
  return ours ?? (await foreignTokenizer(json as object, file.output, tokenizerJson))
}

/** Our encoder over the file's vocabulary, or null when it is of a kind that ours does not do. */
function ownByteLevel({ model, added_tokens }: v.InferOutput<typeof ByteLevelFile>, kind: TokenizerKind): Tokenizer | null {
  const added = added_tokens ?? []
  if (added.some(token => token.lstrip || token.rstrip || token.single_word)) return null
  const addedIds = new Map(added.map(({ id, content }) => [content, id]))
  const ids = new Map(Object.entries(model.vocab))
  const size = Object.values(model.vocab).reduce((most, id) => Math.max(most, id + 1), 0)
  const pieces = new Array<Uint8Array | undefined>(size).fill(undefined)
  for (const [symbols, id] of Object.entries(model.vocab)) {
    const addedId = addedIds.get(symbols)
    if (addedId === id) continue
    const piece = bytesOfSymbols(symbols)
    // One text with two ids, or two texts with one.
    if (addedId !== undefined || piece === undefined || pieces[id] !== undefined) return null
    pieces[id] = piece
  }
  if (added.some(({ id }) => pieces[id] !== undefined)) return null
  if (new Set(pieces.filter(piece => piece?.length === 1).map(piece => piece![0])).size < 256) return null
  const merges = model.merges.map((pair, rank) => {
    const [left, right, ...rest] = typeof pair === 'string' ? pair.split(' ') : pair
    const merge = { left: ids.get(left!), right: ids.get(right ?? ''), merged: ids.get(`${left}${right}`) }
    if (rest.length > 0 || merge.left === undefined || merge.right === undefined || merge.merged === undefined) {
      throw bad(`merge ${rank} (${JSON.stringify(pair)}) names tokens that the vocabulary lacks`)
    }
    return { left: merge.left, right: merge.right, merged: merge.merged }
  })
  return createByteLevelBpe(kind, { pieces, merges, added: added.map(({ id, content }) => ({ id, content })) })
}

async function foreignTokenizer(json: object, file: v.InferOutput<typeof TokenizerFile>, text: string): Promise<Tokenizer> {
  const { Tokenizer: Foreign } = await import('@huggingface/tokenizers')
  const added = file.added_tokens ?? []
  const endName = END_OF_TEXT_NAMES.find(name => added.some(({ content }) => content === name)) ?? null
  const tokenizer = (() => {
    try {
      return new Foreign(
        { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...json },
        { clean_up_tokenization_spaces: false }
      )
    } catch (cause) {
      throw bad(`@huggingface/tokenizers does not take it: ${cause instanceof Error ? cause.message : String(cause)}`, cause)
    }
  })()
  const ids = [...tokenizer.get_vocab(true).values(), ...added.map(({ id }) => id)]
  const vocabulary = ids.reduce((most, id) => Math.max(most, id + 1), 0)
  if (vocabulary === 0 || vocabulary > MAX_VOCABULARY) throw bad(`it has ${vocabulary} ids, must be 1 to ${MAX_VOCABULARY}`)
  const decode = (ids: ArrayLike<number>): string => {
    const list = Array.from(ids)
    const wrong = list.find(id => !Number.isInteger(id) || id < 0 || id >= vocabulary)
    if (wrong !== undefined) throw new TrainingError('bad_token_id', `decoding: no token has the id ${wrong}`, { details: { id: wrong } })
    return list.length === 0 ? '' : tokenizer.decode(list, { skip_special_tokens: false, clean_up_tokenization_spaces: false })
  }
  return {
    kind: 'json',
    vocabulary,
    endOfText: added.find(({ content }) => content === endName)?.id ?? null,
    encode: text => Int32Array.from(tokenizer.encode(text.toWellFormed(), { add_special_tokens: false }).ids),
    decode,
    byteLength: ids => new TextEncoder().encode(decode(ids)).length,
    files: () => ({ 'tokenizer.json': text, 'tokenizer_config.json': tokenizerConfig(endName) })
  }
}

function parseJson(text: string): unknown {
  if (text.length > MAX_TOKENIZER_JSON_BYTES) throw bad(`it has ${text.length} characters, at most ${MAX_TOKENIZER_JSON_BYTES}`)
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw bad('it is not JSON', cause)
  }
}

function bad(why: string, cause?: unknown): TrainingError {
  return new TrainingError('bad_tokenizer', `reading a tokenizer.json: ${why}`, {
    hint: 'give the tokenizer.json of a Hugging Face model, or use kind: bytes, bpe or gpt2',
    cause
  })
}
