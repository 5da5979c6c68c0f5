/** From a manifest's words about its tokenizer to the tokenizer. */
import { TrainingError } from '../errors.ts'
import { gpt2Tokenizer } from './gpt2-tokenizer.ts'
import type { Tokenizer, TokenizerKind } from './tokenizer.ts'
import { tokenizerFromJson } from './tokenizer-json.ts'
import { bytesTokenizer, trainByteBpe } from './train-bpe.ts'

export interface TokenizerSpec {
  kind: TokenizerKind
  /** Ids of a trained `bpe`, end of text included. @default 512 */
  vocabulary?: number
  /** Text of a tokenizer.json. It is taken for every kind when given, so that all members of a run use the author's ids. */
  json?: string
}

const DEFAULT_BPE_VOCABULARY = 512

/**
 * @param trainingText called only when merges must be trained
 * @throws TrainingError `bad_tokenizer`
 */
export async function resolveTokenizer(spec: TokenizerSpec, trainingText: () => Iterable<string>): Promise<Tokenizer> {
  if (spec.json !== undefined) return tokenizerFromJson(spec.json, spec.kind)
  switch (spec.kind) {
    case 'bytes':
      return bytesTokenizer()
    case 'bpe':
      return trainByteBpe(trainingText(), { vocabulary: spec.vocabulary ?? DEFAULT_BPE_VOCABULARY })
    case 'gpt2':
      return gpt2Tokenizer()
    case 'json':
      throw new TrainingError('bad_tokenizer', 'making a tokenizer of kind json: no tokenizer.json was given', {
        hint: 'name it with tokenizer.file'
      })
    default:
      throw new TrainingError('bad_tokenizer', `making a tokenizer of kind ${JSON.stringify(spec.kind satisfies never)}: unknown`, {
        hint: 'use bytes, bpe, gpt2 or json'
      })
  }
}
