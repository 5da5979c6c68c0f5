/** What every tokenizer offers, whoever made it. */

export interface Tokenizer {
  /** `bytes`, `bpe`, `gpt2` or `json`: how it came about. */
  kind: TokenizerKind
  /** Number of token ids, the largest id + 1: the model's vocabulary. */
  vocabulary: number
  /** The id that ends a document, or null where there is none. */
  endOfText: number | null
  /** Token ids of any text. Lone surrogates count as U+FFFD; the text of an added token such as `<|endoftext|>` becomes that token, as in transformers. */
  encode(text: string): Int32Array
  /** Text of token ids. Bytes that are not UTF-8 become U+FFFD. @throws TrainingError `bad_token_id` */
  decode(ids: ArrayLike<number>): string
  /** UTF-8 bytes that token ids stand for; exact for byte-level tokenizers also where a character's bytes are cut apart. @throws TrainingError `bad_token_id` */
  byteLength(ids: ArrayLike<number>): number
  /** The files of a Hugging Face folder from which transformers' AutoTokenizer makes the same tokenizer: name to content. */
  files(): Record<string, string>
}

export type TokenizerKind = 'bytes' | 'bpe' | 'gpt2' | 'json'

/** The documents' tokens in one row, each document followed by the end-of-text token where there is one. */
export function tokenizeDocuments(tokenizer: Tokenizer, documents: Iterable<string>): Int32Array {
  const parts: Int32Array[] = []
  for (const text of documents) {
    parts.push(tokenizer.encode(text))
    if (tokenizer.endOfText !== null) parts.push(Int32Array.of(tokenizer.endOfText))
  }
  return joinTokens(parts)
}

/** All of them in one row. */
export function joinTokens(parts: readonly Int32Array[]): Int32Array {
  const tokens = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    tokens.set(part, at)
    at += part.length
  }
  return tokens
}
