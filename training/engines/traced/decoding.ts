// A text gone on with on onnxruntime: two graphs, one that begins it and one for each further token, over arrays in which the keys and values of the tokens
// so far stay. The first graph writes them there itself; of the second only the new places are copied in.
import { TrainingError } from '../../errors.ts'
import { keysShape } from '../../models/decoding.ts'
import { elementCount, type Model, matchParameters, type NamedTensor } from '../../models/model.ts'
import { checkText } from '../batch.ts'
import type { CompiledDecoding } from '../engine.ts'
import { ADDED, INPUTS, keysValuesNames, LAST, PAST, POSITION, RESULT, traceTextBegin, traceTextStep } from './programs.ts'
import { type Binding, bind, outputOf, Session } from './session.ts'

export class TracedDecoding implements CompiledDecoding {
  readonly #model: Model
  readonly #options: { context: number; threads: number }
  readonly #names: string[]
  /** By layer, keys first: what is kept [keyValueHeads, context, size], and where a further token's comes out [keyValueHeads, 1, size]. */
  readonly #kept: Float32Array[]
  readonly #added: Float32Array[]
  /** Compiled when first asked for. */
  #sessions: { begin?: Promise<Session>; step?: Promise<Session> } | null = {}
  #parameters: Record<string, Binding> | null = null
  #position = 0

  constructor(model: Model, options: { context: number; threads: number }) {
    this.#model = model
    this.#options = options
    this.#names = keysValuesNames(model)
    this.#kept = this.#names.map(() => new Float32Array(elementCount(keysShape(model.config, options.context))))
    this.#added = this.#names.map(() => new Float32Array(elementCount(keysShape(model.config, 1))))
  }

  async load(parameters: NamedTensor[]): Promise<void> {
    this.#open()
    this.#parameters = Object.fromEntries(
      matchParameters(this.#model.parameters, parameters).map(({ name, shape, values }) => [name, bind(values.slice(), shape)])
    )
    this.#position = 0
  }

  async begin(tokens: Int32Array): Promise<Float32Array> {
    const { context, threads } = this.#options
    checkText(tokens, this.#model, { position: 0, context })
    const sessions = this.#open()
    const parameters = this.#loaded()
    sessions.begin ??= Session.open(traceTextBegin(this.#model, context), { threads })
    const padded = new Int32Array(context)
    padded.set(tokens)
    const result = outputOf([this.#model.config.vocabulary])
    await (await sessions.begin).run(
      { [INPUTS]: bind(padded, [1, context]), [LAST]: bind(Int32Array.of(tokens.length - 1), [1]), ...parameters },
      { [RESULT]: result.binding, ...this.#bindings(ADDED, this.#kept, context) }
    )
    this.#position = tokens.length
    return result.values
  }

  async next(token: number): Promise<Float32Array> {
    const { context, threads } = this.#options
    const position = this.#position
    // What is kept of a text before would be weighted by 0, and 0 times what is no number is none.
    if (position === 0) return this.begin(Int32Array.of(token))
    checkText(Int32Array.of(token), this.#model, { position, context })
    const sessions = this.#open()
    const parameters = this.#loaded()
    sessions.step ??= Session.open(traceTextStep(this.#model, { context, whole: false }), { threads })
    const result = outputOf([this.#model.config.vocabulary])
    await (await sessions.step).run(
      {
        [INPUTS]: bind(Int32Array.of(token), [1, 1]),
        [POSITION]: bind(Int32Array.of(position), [1]),
        ...this.#bindings(PAST, this.#kept, context),
        ...parameters
      },
      { [RESULT]: result.binding, ...this.#bindings(ADDED, this.#added, 1) }
    )
    const [heads, , size] = keysShape(this.#model.config, context)
    for (const [i, added] of this.#added.entries())
      for (let head = 0; head < heads; head++)
        this.#kept[i]!.set(added.subarray(head * size, (head + 1) * size), (head * context + position) * size)
    this.#position++
    return result.values
  }

  #bindings(prefix: string, arrays: Float32Array[], places: number): Record<string, Binding> {
    const shape = keysShape(this.#model.config, places)
    return Object.fromEntries(this.#names.map((name, i) => [prefix + name, bind(arrays[i]!, shape)]))
  }

  async dispose(): Promise<void> {
    const sessions = Object.values(this.#sessions ?? {})
    this.#sessions = null
    this.#parameters = null
    for (const session of sessions) await (await session).close()
  }

  #open() {
    if (!this.#sessions) throw new TrainingError('engine_disposed', 'Cannot compute: the engine was disposed')
    return this.#sessions
  }

  #loaded(): Record<string, Binding> {
    if (!this.#parameters) throw new TrainingError('not_loaded', 'Cannot compute: no parameters were loaded')
    return this.#parameters
  }
}
