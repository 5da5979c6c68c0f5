// A text gone on with operation by operation: the keys and values of its tokens stay on the backend and grow with each token.
import { beginText, type Continuation, continueText } from '../models/decoding.ts'
import { type Model, matchParameters, type NamedTensor } from '../models/model.ts'
import { checkText } from './batch.ts'
import type { CompiledDecoding } from './engine.ts'
import { type TensorMap, tf } from './tensorflow.ts'
import { Residents, tidy } from './tfjs-residents.ts'

export class TfjsDecoding implements CompiledDecoding {
  readonly #model: Model
  readonly #context: number
  readonly #residents: Residents
  #position = 0

  constructor({ backend, model }: { backend: string; model: Model }, context: number) {
    this.#model = model
    this.#context = context
    this.#residents = new Residents(backend)
  }

  async load(parameters: NamedTensor[]): Promise<void> {
    const given = matchParameters(this.#model.parameters, parameters)
    this.#residents.section(() => this.#residents.upload(given))
    this.#position = 0
  }

  async begin(tokens: Int32Array): Promise<Float32Array> {
    checkText(tokens, this.#model, { position: 0, context: this.#context })
    return this.#compute(tokens.length, parameters =>
      beginText(this.#model, parameters, {
        tokens: tf.tensor2d(tokens, [1, tokens.length], 'int32'),
        last: tf.tensor1d([tokens.length - 1], 'int32')
      })
    )
  }

  async next(token: number): Promise<Float32Array> {
    const position = this.#position
    if (position === 0) return this.begin(Int32Array.of(token))
    checkText(Int32Array.of(token), this.#model, { position, context: this.#context })
    return this.#compute(position + 1, tensors => {
      const past = Array.from({ length: this.#model.config.layers }, (_, layer) => ({
        keys: tensors[KEYS + layer]!,
        values: tensors[VALUES + layer]!
      }))
      const { logits, added } = continueText(this.#model, tensors, {
        token: tf.tensor2d([token], [1, 1], 'int32'),
        position: tf.tensor1d([position], 'int32'),
        past
      })
      const longer = past.map(({ keys, values }, layer) => ({
        keys: tf.concat([keys, added[layer]!.keys], 1),
        values: tf.concat([values, added[layer]!.values], 1)
      }))
      return { logits, added: longer }
    })
  }

  /** `program` gives the keys and values of all of the text, which is then `length` tokens long. */
  #compute(length: number, program: (tensors: TensorMap) => Continuation): Float32Array {
    return this.#residents.section(() =>
      tidy(() => {
        const { logits, added } = program(this.#residents.tensors)
        this.#residents.replace(
          Object.fromEntries(
            added.flatMap(({ keys, values }, layer) => [
              [KEYS + layer, keys],
              [VALUES + layer, values]
            ])
          )
        )
        this.#position = length
        return (logits.dataSync() as Float32Array).slice()
      })
    )
  }

  async dispose(): Promise<void> {
    this.#residents.dispose()
  }
}

// Beside the parameters, whose names never look like these.
const KEYS = '#keys/'
const VALUES = '#values/'
