// A tfjs backend that computes nothing: each operation that runs on it becomes a node of an ONNX graph. The gradient tape runs on it as on any backend,
// so forward, backward and optimizer of a model are recorded from the one program that other engines run eagerly.
import { TrainingError } from '../../errors.ts'
import { elementCount } from '../../models/model.ts'
import { type TensorMap, tf } from '../tensorflow.ts'
import { type ElementType, GraphWriter, type Provider } from './graph.ts'

export const TRACE_BACKEND = 'shoal-trace'

/** What stands behind a traced tensor: the name of a graph value, or numbers that become a constant when a node first uses them. */
interface TracedData {
  name: string | null
  values: ArrayLike<number> | null
  shape: number[]
  dtype: tf.DataType
  references: number
}

class TraceBackend extends tf.KernelBackend {
  readonly #data = new tf.DataStorage<TracedData>(this, tf.engine())
  graph: GraphWriter | null = null

  get(dataId: object): TracedData {
    return this.#data.get(dataId)
  }

  add(name: string | null, values: ArrayLike<number> | null, shape: number[], dtype: tf.DataType): object {
    const dataId = {}
    this.#data.set(dataId, { name, values, shape, dtype, references: 1 })
    return dataId
  }

  override write(values: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType): object {
    return this.add(null, values as unknown as ArrayLike<number>, shape, dtype)
  }

  override move(dataId: object, values: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType, references: number): void {
    this.#data.set(dataId, { name: null, values: values as unknown as ArrayLike<number>, shape, dtype, references })
  }

  override readSync(): never {
    throw new TrainingError('untraceable_operation', 'Cannot trace a program that reads the value of a tensor', {
      hint: 'Values are known only when the graph runs'
    })
  }

  override read(): never {
    return this.readSync()
  }

  override numDataIds(): number {
    return this.#data.numDataIds()
  }

  override refCount(dataId: object): number {
    return this.#data.has(dataId) ? this.#data.get(dataId).references : 0
  }

  override incRef(dataId: object): void {
    this.#data.get(dataId).references++
  }

  decRef(dataId: object): void {
    if (this.#data.has(dataId)) this.#data.get(dataId).references--
  }

  override disposeData(dataId: object, force = false): boolean {
    if (!this.#data.has(dataId)) return true
    this.decRef(dataId)
    if (!force && this.#data.get(dataId).references > 0) return false
    this.#data.delete(dataId)
    return true
  }

  override memory() {
    return { unreliable: true, reasons: ['traced tensors hold no memory'] }
  }

  override floatPrecision(): 32 {
    return 32
  }

  override epsilon(): number {
    return 1e-7
  }
}

const backend = new TraceBackend()
tf.registerBackend(TRACE_BACKEND, () => backend)

/** The graph being written; only within {@link trace}. */
export function graph(): GraphWriter {
  if (!backend.graph) throw new Error('a traced operation ran outside trace()')
  return backend.graph
}

/** The graph value behind a tensor; numbers become a constant. */
export function graphValue({ dataId, shape, dtype }: tf.TensorInfo): string {
  const data = backend.get(dataId)
  data.name ??= graph().constant(data.values!, shape, elementType(dtype))
  return data.name
}

export function traced(name: string, shape: number[], dtype: tf.DataType = 'float32'): tf.TensorInfo {
  return { dataId: backend.add(name, null, shape, dtype), shape, dtype }
}

export function constant(value: number, shape: number[], dtype: tf.DataType): tf.TensorInfo {
  const values = new (dtype === 'float32' ? Float32Array : Int32Array)(elementCount(shape)).fill(value)
  return { dataId: backend.add(null, values, shape, dtype), shape, dtype }
}

export function elementType(dtype: tf.DataType): ElementType {
  if (dtype === 'float32' || dtype === 'int32' || dtype === 'bool') return dtype
  throw new TrainingError('untraceable_operation', `Cannot trace a tensor of type ${dtype}: float32, int32 and bool can be traced`)
}

export interface TracedInput {
  /** With 'any' the graph takes a tensor of any shape; the program gets one of [1] and must treat each number alike. */
  shape: number[] | 'any'
  type: 'float32' | 'int32'
}

/**
 * Records a program as an ONNX model.
 *
 * @param inputs the graph's inputs, given to the program as tensors
 * @param program pure tfjs operations; what it returns are the graph's outputs by name
 * @param provider what the graph will run on @default 'cpu'
 * @throws TrainingError 'untraceable_operation' naming the operation for which there is no translation
 */
export function trace(
  inputs: Record<string, TracedInput>,
  program: (inputs: TensorMap) => TensorMap,
  provider?: Provider
): { bytes: Uint8Array; nodes: number } {
  // None is chosen in a process that has computed nothing yet.
  const previous = (tf.getBackend() as string | undefined) ?? 'cpu'
  // The backend needs no waiting for, so this takes effect before it returns.
  void tf.setBackend(TRACE_BACKEND)
  const writer = new GraphWriter(provider)
  const anyShape = Object.values(inputs).some(({ shape }) => shape === 'any')
  backend.graph = writer
  try {
    tf.tidy(() => {
      const given: TensorMap = {}
      for (const [name, { shape, type }] of Object.entries(inputs)) {
        writer.input(name, shape === 'any' ? null : shape, type)
        given[name] = tf.engine().makeTensorFromTensorInfo(traced(name, shape === 'any' ? [1] : shape, type))
      }
      for (const [name, tensor] of Object.entries(program(given)))
        writer.output(name, graphValue(tensor), anyShape ? null : tensor.shape, elementType(tensor.dtype))
    })
    return { bytes: writer.encode(), nodes: writer.nodeCount }
  } catch (error) {
    const operation = /kernel '(\w+)'/i.exec(error instanceof Error ? error.message : '')?.[1]
    if (!operation) throw error
    throw new TrainingError('untraceable_operation', `Cannot trace the operation ${operation}: there is no ONNX translation of it`, {
      hint: 'Write the model in operations that training/engines/traced/kernels.ts translates, or add it there',
      details: { operation },
      cause: error
    })
  } finally {
    backend.graph = null
    void tf.setBackend(previous)
  }
}
