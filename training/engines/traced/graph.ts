// An ONNX graph while it is written: values by name, nodes in order of computing, and at the end the bytes of a model.
import { createHash } from 'node:crypto'
// The package is CommonJS of a form in which Node finds no named exports.
import onnxProto, { type onnx as Onnx } from 'onnx-proto'
import { elementCount } from '../../models/model.ts'

const { onnx } = onnxProto

export type ElementType = 'float32' | 'int32' | 'int64' | 'bool'
/** onnxruntime's execution providers: a graph is written in the operators that its provider has. */
export type Provider = 'cpu' | 'webgpu'
export type Attribute = number | number[] | string | { float: number }

/** ONNX's numbers for element types (TensorProto.DataType). */
const ELEMENT_TYPES: Record<ElementType, number> = { float32: 1, int32: 6, int64: 7, bool: 9 }
/** Opset 18 has axes as inputs of all reductions and ScatterElements with a reduction; IR 8 is what goes with it. */
const OPSET = 18
const IR_VERSION = 8
/** onnxruntime's own operators. */
export const CONTRIB_DOMAIN = 'com.microsoft'

export function elementTypeNumber(type: ElementType): number {
  return ELEMENT_TYPES[type]
}

/** Writes one graph. Every value has a static shape, but for inputs and outputs that are declared with none: they take tensors of any shape. */
export class GraphWriter {
  readonly provider: Provider
  readonly #nodes: Onnx.INodeProto[] = []
  readonly #initializers: Onnx.ITensorProto[] = []
  readonly #inputs: Onnx.IValueInfoProto[] = []
  readonly #outputs: Onnx.IValueInfoProto[] = []
  readonly #constants = new Map<string, string>()
  #count = 0

  constructor(provider: Provider = 'cpu') {
    this.provider = provider
  }

  get nodeCount(): number {
    return this.#nodes.length
  }

  input(name: string, shape: readonly number[] | null, type: ElementType): void {
    this.#inputs.push(valueInfo(name, shape, type))
  }

  /** Makes a value of the graph an output under a name of its own. */
  output(name: string, value: string, shape: readonly number[] | null, type: ElementType): void {
    this.#nodes.push({ opType: 'Identity', input: [value], output: [name], name: `out${this.#outputs.length}` })
    this.#outputs.push(valueInfo(name, shape, type))
  }

  /** A constant's name; equal constants share one. */
  constant(values: ArrayLike<number>, shape: readonly number[], type: ElementType): string {
    const rawData = rawBytes(values, elementCount(shape), type)
    const key = `${type}[${shape}]${createHash('sha256').update(rawData).digest('hex')}`
    const known = this.#constants.get(key)
    if (known) return known
    const name = `#c${this.#count++}`
    this.#initializers.push({ name, dims: [...shape], dataType: ELEMENT_TYPES[type], rawData })
    this.#constants.set(key, name)
    return name
  }

  /** Whole numbers as ONNX wants shapes, axes and the like. */
  integers(values: readonly number[]): string {
    return this.constant(values, [values.length], 'int64')
  }

  /** Adds a node and gives the names of its outputs. */
  node(operator: string, inputs: readonly string[], attributes: Record<string, Attribute> = {}, outputs = 1, domain = ''): string[] {
    const names = Array.from({ length: outputs }, () => `#v${this.#count++}`)
    this.#nodes.push({
      opType: operator,
      domain,
      input: [...inputs],
      output: names,
      name: `n${this.#nodes.length}`,
      attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value))
    })
    return names
  }

  /** The model's bytes. */
  encode(): Uint8Array {
    const model = onnx.ModelProto.create({
      irVersion: IR_VERSION,
      opsetImport: [
        { domain: '', version: OPSET },
        { domain: CONTRIB_DOMAIN, version: 1 }
      ],
      graph: { name: 'shoal', node: this.#nodes, initializer: this.#initializers, input: this.#inputs, output: this.#outputs }
    })
    return onnx.ModelProto.encode(model).finish()
  }
}

function attribute(name: string, value: Attribute): Onnx.IAttributeProto {
  const types = onnx.AttributeProto.AttributeType
  if (typeof value === 'string') return { name, type: types.STRING, s: new TextEncoder().encode(value) }
  if (typeof value === 'number') return { name, type: types.INT, i: value }
  if (Array.isArray(value)) return { name, type: types.INTS, ints: value }
  return { name, type: types.FLOAT, f: value.float }
}

function valueInfo(name: string, shape: readonly number[] | null, type: ElementType): Onnx.IValueInfoProto {
  const dimensions = shape && { dim: shape.map(size => ({ dimValue: size })) }
  return { name, type: { tensorType: { elemType: ELEMENT_TYPES[type], ...(dimensions ? { shape: dimensions } : {}) } } }
}

/** Little-endian, as every machine that Node runs on is. */
function rawBytes(values: ArrayLike<number>, count: number, type: ElementType): Uint8Array {
  if (values.length !== count) throw new RangeError(`a constant of ${values.length} values has a shape of ${count}`)
  if (type === 'bool') return Uint8Array.from(values)
  const array =
    type === 'float32'
      ? Float32Array.from(values)
      : type === 'int32'
        ? Int32Array.from(values)
        : BigInt64Array.from(Array.from(values), value => BigInt(value))
  return new Uint8Array(array.buffer)
}
