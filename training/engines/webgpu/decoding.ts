// A text gone on with on a GPU: the keys and values of its tokens stay there, what moves is a token and the logits.
import { TrainingError } from '../../errors.ts'
import { type Model, matchParameters, type NamedTensor } from '../../models/model.ts'
import { checkText } from '../batch.ts'
import type { CompiledDecoding } from '../engine.ts'
import { ADDED, INPUTS, keysValuesNames, LAST, PAST, POSITION, RESULT, traceTextBegin, traceTextStep } from '../traced/programs.ts'
import type { Device, DeviceInput, DeviceSession } from './device.ts'
import { Residents } from './residents.ts'

export class WebgpuDecoding implements CompiledDecoding {
  readonly #device: Device
  readonly #model: Model
  readonly #context: number
  readonly #names: string[]
  readonly #residents: Residents
  /** Compiled when first asked for. */
  #graphs: { begin?: DeviceSession; step?: DeviceSession } | null = {}
  #loaded = false
  #position = 0

  constructor({ device, model }: { device: Device; model: Model }, context: number) {
    this.#device = device
    this.#model = model
    this.#context = context
    this.#names = keysValuesNames(model)
    this.#residents = new Residents(device)
  }

  async load(parameters: NamedTensor[]): Promise<void> {
    this.#open()
    await this.#residents.upload(matchParameters(this.#model.parameters, parameters))
    this.#loaded = true
    this.#position = 0
  }

  async begin(tokens: Int32Array): Promise<Float32Array> {
    checkText(tokens, this.#model, { position: 0, context: this.#context })
    const graphs = this.#open()
    graphs.begin ??= await this.#device.compile(traceTextBegin(this.#model, this.#context, 'webgpu'), this.#named(ADDED))
    const padded = new Int32Array(this.#context)
    padded.set(tokens)
    const logits = await this.#run(graphs.begin, {
      [INPUTS]: { values: padded, shape: [1, this.#context] },
      [LAST]: { values: Int32Array.of(tokens.length - 1), shape: [1] }
    })
    this.#position = tokens.length
    return logits
  }

  async next(token: number): Promise<Float32Array> {
    const position = this.#position
    if (position === 0) return this.begin(Int32Array.of(token))
    checkText(Int32Array.of(token), this.#model, { position, context: this.#context })
    const graphs = this.#open()
    const step = () => traceTextStep(this.#model, { context: this.#context, whole: true }, 'webgpu')
    graphs.step ??= await this.#device.compile(step(), this.#named(ADDED))
    const logits = await this.#run(graphs.step, {
      [INPUTS]: { values: Int32Array.of(token), shape: [1, 1] },
      [POSITION]: { values: Int32Array.of(position), shape: [1] },
      ...this.#residents.inputs(this.#named(PAST))
    })
    this.#position++
    return logits
  }

  /** Runs a graph that gives the keys and values of all of the text, which then are the past. */
  async #run(graph: DeviceSession, inputs: Record<string, DeviceInput>): Promise<Float32Array> {
    if (!this.#loaded) throw new TrainingError('not_loaded', 'Cannot compute: no parameters were loaded')
    const parameters = this.#residents.inputs(this.#model.parameters.map(({ name }) => name))
    const { resident, host } = await graph.run({ ...parameters, ...inputs })
    for (const name of this.#names) this.#residents.replace(PAST + name, resident[ADDED + name]!)
    return host[RESULT]!
  }

  #named(prefix: string): string[] {
    return this.#names.map(name => prefix + name)
  }

  async dispose(): Promise<void> {
    const graphs = this.#graphs
    this.#graphs = null
    this.#residents.dispose()
    for (const graph of Object.values(graphs ?? {})) await graph.close()
  }

  #open() {
    if (!this.#graphs) throw new TrainingError('engine_disposed', 'Cannot compute: the engine was disposed')
    return this.#graphs
  }
}
