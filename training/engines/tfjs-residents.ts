// What eager engines hold on to between calls, kept apart from the tensors of a computation.
import { TrainingError } from '../errors.ts'
import type { NamedTensor } from '../models/model.ts'
import { type TensorMap, tf } from './tensorflow.ts'

/** Tensors that live on one backend; everything on it happens in synchronous sections, so two engines of one process do not meet. */
export class Residents {
  readonly #backend: string
  #tensors: TensorMap | null = null
  #disposed = false

  constructor(backend: string) {
    this.#backend = backend
  }

  section<T>(body: () => T): T {
    if (this.#disposed) throw new TrainingError('engine_disposed', 'Cannot compute: the engine was disposed')
    // The backend is initialised, so this takes effect before it returns; choosing it anew is costly, hence the question.
    if (tf.getBackend() !== this.#backend) void tf.setBackend(this.#backend)
    return body()
  }

  get tensors(): TensorMap {
    if (!this.#tensors) throw new TrainingError('not_loaded', 'Cannot compute: no parameters were loaded')
    return this.#tensors
  }

  /** Takes over the tensors given, kept out of any tidy, and disposes those they replace. */
  replace(tensors: TensorMap): void {
    const previous = this.#tensors
    for (const tensor of Object.values(tensors)) tf.keep(tensor)
    this.#tensors = { ...previous, ...tensors }
    for (const name of Object.keys(tensors)) previous?.[name]?.dispose()
  }

  upload(tensors: readonly NamedTensor[]): void {
    // Backends may keep the array itself, so each gets one of its own.
    this.replace(Object.fromEntries(tensors.map(({ name, shape, values }) => [name, tf.tensor(values.slice(), shape, 'float32')])))
  }

  download(names: readonly string[]): NamedTensor[] {
    return names.map(name => {
      const tensor = this.tensors[name]!
      return { name, shape: [...tensor.shape], values: (tensor.dataSync() as Float32Array).slice() }
    })
  }

  dispose(): void {
    for (const tensor of Object.values(this.#tensors ?? {})) tensor.dispose()
    this.#tensors = null
    this.#disposed = true
  }
}

/** tf.tidy for a body that returns plain data. */
export function tidy<T>(body: () => T): T {
  let result: T
  tf.tidy(() => {
    result = body()
  })
  return result!
}
