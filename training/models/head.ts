// The last stage of every family: normalise, then one product with the head's matrix or with the embedding that it shares.
import { type TensorMap, tf } from '../engines/tensorflow.ts'
import { TrainingError } from '../errors.ts'
import type { ParameterSpec, Stage } from './model.ts'
import { linear } from './operations.ts'
import { matrix } from './parameters.ts'

export interface HeadOptions {
  vocabulary: number
  width: number
  tiedEmbeddings: boolean
  /** Names of the token embedding and of the head's own matrix, both [vocabulary, width]. */
  embedding: string
  head: string
  /** Parameters of the last normalisation, and what it does to rows [batch * length, width]. */
  normalisation: ParameterSpec[]
  normalise(parameters: TensorMap, rows: tf.Tensor): tf.Tensor
}

/** The stage `head`: hidden states [batch, length, width] to logits [batch, length, vocabulary]. */
export function headStage({ vocabulary, width, tiedEmbeddings, embedding, head, normalisation, normalise }: HeadOptions): Stage {
  return {
    name: 'head',
    parameters: [...normalisation, ...(tiedEmbeddings ? [] : [matrix(head, [vocabulary, width])])],
    borrows: tiedEmbeddings ? [embedding] : [],
    forward(parameters, x, shared) {
      const [batch, length] = x.shape as [number, number, number]
      const weights = tiedEmbeddings ? shared?.[embedding] : parameters[head]
      if (!weights) throw new TrainingError('bad_parameters', `Cannot compute the head: ${tiedEmbeddings ? embedding : head} is missing`)
      const rows = normalise(parameters, tf.reshape(x, [batch * length, width]))
      return tf.reshape(linear(rows, weights), [batch, length, vocabulary])
    }
  }
}
