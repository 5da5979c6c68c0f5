// The translation table: what each tfjs operation becomes in ONNX. An operation that is not here cannot be traced, and the error names it.
import { elementCount } from '../../models/model.ts'
import { FUSED } from '../../models/operations.ts'
import { tf } from '../tensorflow.ts'
import { type Attribute, CONTRIB_DOMAIN, elementTypeNumber } from './graph.ts'
import { constant, elementType, graph, graphValue, TRACE_BACKEND, traced } from './tracer.ts'

type Inputs = Record<string, tf.TensorInfo>
type Attributes = Record<string, unknown>

function translate(kernelName: string, translation: (inputs: never, attributes: never) => tf.TensorInfo | tf.TensorInfo[]): void {
  tf.registerKernel({
    kernelName,
    backendName: TRACE_BACKEND,
    kernelFunc: ({ inputs, attrs }) => translation(inputs as never, (attrs ?? {}) as never)
  })
}

/** One node with one output. */
function node(
  operator: string,
  inputs: readonly tf.TensorInfo[],
  shape: number[],
  dtype: tf.DataType = inputs[0]!.dtype,
  attributes: Record<string, Attribute> = {},
  extra: readonly string[] = [],
  domain = ''
): tf.TensorInfo {
  const [name] = graph().node(operator, [...inputs.map(graphValue), ...extra], attributes, 1, domain)
  return traced(name!, shape, dtype)
}

// Element by element.
const BINARY: Record<string, [operator: string, dtype?: tf.DataType]> = {
  [tf.Add]: ['Add'],
  [tf.Sub]: ['Sub'],
  [tf.Multiply]: ['Mul'],
  [tf.RealDiv]: ['Div'],
  [tf.Maximum]: ['Max'],
  [tf.Minimum]: ['Min'],
  [tf.Pow]: ['Pow'],
  [tf.Equal]: ['Equal', 'bool'],
  [tf.Greater]: ['Greater', 'bool'],
  [tf.GreaterEqual]: ['GreaterOrEqual', 'bool'],
  [tf.Less]: ['Less', 'bool'],
  [tf.LessEqual]: ['LessOrEqual', 'bool']
}
for (const [kernel, [operator, dtype]] of Object.entries(BINARY))
  translate(kernel, ({ a, b }: Inputs) =>
    node(operator, [a!, b!], tf.broadcast_util.assertAndGetBroadcastShape(a!.shape, b!.shape), dtype ?? a!.dtype)
  )

const UNARY: Record<string, string> = {
  [tf.Abs]: 'Abs',
  [tf.Erf]: 'Erf',
  [tf.Exp]: 'Exp',
  [tf.Identity]: 'Identity',
  [tf.Log]: 'Log',
  [tf.Neg]: 'Neg',
  [tf.Reciprocal]: 'Reciprocal',
  [tf.Relu]: 'Relu',
  [tf.Sigmoid]: 'Sigmoid',
  [tf.Sqrt]: 'Sqrt',
  [tf.Tanh]: 'Tanh'
}
for (const [kernel, operator] of Object.entries(UNARY)) translate(kernel, ({ x }: Inputs) => node(operator, [x!], x!.shape))
translate(tf.Square, ({ x }: Inputs) => node('Mul', [x!, x!], x!.shape))
translate(tf.Rsqrt, ({ x }: Inputs) => node('Reciprocal', [node('Sqrt', [x!], x!.shape)], x!.shape))
translate(tf.AddN, (inputs: tf.TensorInfo[]) => node('Sum', Object.values(inputs), inputs[0]!.shape))
translate(tf.Cast, ({ x }: Inputs, { dtype }: { dtype: tf.DataType }) =>
  node('Cast', [x!], x!.shape, dtype, { to: elementTypeNumber(elementType(dtype)) })
)
translate(tf.Select, ({ condition, t, e }: Inputs) => node('Where', [condition!, t!, e!], t!.shape, t!.dtype))

// Shapes.
translate(tf.Reshape, ({ x }: Inputs, { shape }: { shape: number[] }) => {
  const full = tf.util.inferFromImplicitShape(shape, elementCount(x!.shape))
  return node('Reshape', [x!], full, x!.dtype, {}, [graph().integers(full)])
})
translate(tf.ExpandDims, ({ input }: Inputs, { dim }: { dim: number }) => {
  const shape = input!.shape.toSpliced(dim < 0 ? input!.shape.length + dim + 1 : dim, 0, 1)
  return node('Reshape', [input!], shape, input!.dtype, {}, [graph().integers(shape)])
})
translate(tf.Transpose, ({ x }: Inputs, { perm }: { perm: number[] }) => {
  const shape = perm.map(axis => x!.shape[axis]!)
  return node('Transpose', [x!], shape, x!.dtype, { perm })
})
translate(tf.Slice, ({ x }: Inputs, { begin, size }: { begin: number[]; size: number[] }) => {
  const shape = size.map((count, axis) => (count === -1 ? x!.shape[axis]! - begin[axis]! : count))
  const ends = begin.map((start, axis) => start + shape[axis]!)
  return node('Slice', [x!], shape, x!.dtype, {}, [graph().integers(begin), graph().integers(ends)])
})
translate(tf.SplitV, ({ x }: Inputs, { numOrSizeSplits, axis }: { numOrSizeSplits: number[] | number; axis: number }) => {
  const along = tf.util.parseAxisParam(axis, x!.shape)[0]!
  const sizes = tf.backend_util.prepareSplitSize(x! as tf.Tensor, numOrSizeSplits, along)
  const names = graph().node('Split', [graphValue(x!), graph().integers(sizes)], { axis: along }, sizes.length)
  return sizes.map((size, part) => traced(names[part]!, x!.shape.with(along, size), x!.dtype))
})
translate(tf.Concat, (inputs: tf.TensorInfo[], { axis }: { axis: number }) => {
  const parts = Object.values(inputs)
  const along = tf.util.parseAxisParam(axis, parts[0]!.shape)[0]!
  const total = parts.reduce((sum, { shape }) => sum + shape[along]!, 0)
  return node('Concat', parts, parts[0]!.shape.with(along, total), parts[0]!.dtype, { axis: along })
})
translate(tf.PadV2, ({ x }: Inputs, { paddings, constantValue }: { paddings: [number, number][]; constantValue: number }) => {
  const shape = x!.shape.map((size, axis) => size + paddings[axis]![0] + paddings[axis]![1])
  const pads = graph().integers([...paddings.map(pair => pair[0]), ...paddings.map(pair => pair[1])])
  return node('Pad', [x!], shape, x!.dtype, {}, [pads, graph().constant([constantValue], [], elementType(x!.dtype))])
})
translate(tf.Tile, ({ x }: Inputs, { reps }: { reps: number[] }) => {
  const shape = x!.shape.map((size, axis) => size * reps[axis]!)
  return node('Tile', [x!], shape, x!.dtype, {}, [graph().integers(reps)])
})
translate(tf.Fill, (_: Inputs, { shape, value, dtype }: { shape: number[]; value: number; dtype?: tf.DataType }) =>
  constant(value, shape, dtype ?? 'float32')
)
translate(tf.ZerosLike, ({ x }: Inputs) => constant(0, x!.shape, x!.dtype))
translate(tf.OnesLike, ({ x }: Inputs) => constant(1, x!.shape, x!.dtype))

// Along axes.
for (const [kernel, operator] of [
  [tf.Sum, 'ReduceSum'],
  [tf.Mean, 'ReduceMean'],
  [tf.Max, 'ReduceMax']
] as const)
  translate(kernel, ({ x }: Inputs, attributes: Attributes) => {
    const axes = tf.util.parseAxisParam((attributes.axis ?? attributes.reductionIndices) as number[], x!.shape)
    if (axes.length === 0) return node('Identity', [x!], x!.shape)
    const keep = attributes.keepDims === true
    const shape = keep ? x!.shape.map((size, axis) => (axes.includes(axis) ? 1 : size)) : x!.shape.filter((_, axis) => !axes.includes(axis))
    return node(operator, [x!], shape, x!.dtype, { keepdims: keep ? 1 : 0 }, [graph().integers(axes)])
  })
translate(tf.Softmax, ({ logits }: Inputs, { dim }: { dim: number }) => node('Softmax', [logits!], logits!.shape, 'float32', { axis: dim }))
translate(tf.GatherV2, ({ x, indices }: Inputs, { axis }: { axis: number }) => {
  const shape = [...x!.shape.slice(0, axis), ...indices!.shape, ...x!.shape.slice(axis + 1)]
  return node('Gather', [x!, indices!], shape, x!.dtype, { axis })
})

// Products. Two-dimensional ones are Gemm, which takes transposed operands as they lie; others are onnxruntime's FusedMatMul for the same reason.
translate(tf.BatchMatMul, ({ a, b }: Inputs, { transposeA, transposeB }: { transposeA: boolean; transposeB: boolean }) => {
  const rows = a!.shape.at(transposeA ? -1 : -2)!
  const columns = b!.shape.at(transposeB ? -2 : -1)!
  if (a!.shape.length === 2 && b!.shape.length === 2)
    return node('Gemm', [a!, b!], [rows, columns], 'float32', { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0 })
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(a!.shape.slice(0, -2), b!.shape.slice(0, -2))
  const shape = [...batch, rows, columns]
  if (!transposeA && !transposeB) return node('MatMul', [a!, b!], shape)
  // WebGPU has no FusedMatMul.
  if (graph().provider === 'webgpu')
    return node('MatMul', [transposeA ? matrixTransposed(a!) : a!, transposeB ? matrixTransposed(b!) : b!], shape)
  return node('FusedMatMul', [a!, b!], shape, 'float32', { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0 }, [], CONTRIB_DOMAIN)
})

function matrixTransposed(x: tf.TensorInfo): tf.TensorInfo {
  const rank = x.shape.length
  const axes = x.shape.map((_, axis) => axis)
  const perm = [...axes.slice(0, -2), rank - 1, rank - 2]
  const shape = perm.map(axis => x.shape[axis]!)
  return node('Transpose', [x], shape, x.dtype, { perm })
}

// The operations of models/operations.ts that have one node here.
translate(FUSED.layerNorm, ({ x, scale, shift }: Inputs, { epsilon }: { epsilon: number }) => {
  const inputs = [x!, scale!, shift!].map(graphValue)
  const [value, mean, inverse] = graph().node('LayerNormalization', inputs, { axis: -1, epsilon: { float: epsilon } }, 3)
  const row = [...x!.shape.slice(0, -1), 1]
  return [traced(value!, x!.shape), traced(mean!, row), traced(inverse!, row)]
})
translate(FUSED.rmsNorm, ({ x, scale }: Inputs, { epsilon }: { epsilon: number }) => {
  if (graph().provider === 'webgpu') {
    // Its SimplifiedLayerNormalization leaves the second output unwritten.
    const square = alongRow('ReduceMean', node('Mul', [x!, x!], x!.shape))
    const shifted = node('Add', [square, constant(epsilon, [], 'float32')], square.shape)
    const inverse = node('Reciprocal', [node('Sqrt', [shifted], square.shape)], square.shape)
    return [node('Mul', [node('Mul', [x!, inverse], x!.shape), scale!], x!.shape), inverse]
  }
  const [value, inverse] = graph().node(
    'SimplifiedLayerNormalization',
    [x!, scale!].map(graphValue),
    { axis: -1, epsilon: { float: epsilon } },
    2
  )
  return [traced(value!, x!.shape), traced(inverse!, [...x!.shape.slice(0, -1), 1])]
})
translate(FUSED.gelu, ({ x }: Inputs) => node('FastGelu', [x!], x!.shape, 'float32', {}, [], CONTRIB_DOMAIN))
translate(FUSED.logSoftmax, ({ x }: Inputs) => {
  if (graph().provider !== 'webgpu') return node('LogSoftmax', [x!], x!.shape, 'float32', { axis: -1 })
  // It has no LogSoftmax.
  const shifted = node('Sub', [x!, alongRow('ReduceMax', x!)], x!.shape)
  const sum = alongRow('ReduceSum', node('Exp', [shifted], x!.shape))
  return node('Sub', [shifted, node('Log', [sum], sum.shape)], x!.shape)
})
translate(FUSED.pick, ({ x, indices }: Inputs) => {
  const rows = indices!.shape[0]!
  const picked = node('GatherElements', [x!, column(indices!)], [rows, 1], 'float32', { axis: 1 })
  return node('Reshape', [picked], [rows], 'float32', {}, [graph().integers([rows])])
})
translate(FUSED.minusOneHot, ({ x, indices }: Inputs) => {
  const ones = constant(-1, [indices!.shape[0]!, 1], 'float32')
  return node('ScatterElements', [x!, column(indices!), ones], x!.shape, 'float32', { axis: 1, reduction: 'add' })
})
/** Tables of up to this many rows are summed into by a product with ones and zeros: scattering takes one number after another. */
const FEW_ROWS = 2048
translate(FUSED.sumRows, ({ updates, indices }: Inputs, { size }: { size: number }) => {
  const [rows, width] = updates!.shape as [number, number]
  const shape = [size, width]
  if (size <= FEW_ROWS) {
    const places = node('Reshape', [indices!], [1, rows], 'int32', {}, [graph().integers([1, rows])])
    const range = tf.engine().makeTensor(
      Int32Array.from({ length: size }, (_, i) => i),
      [size, 1],
      'int32'
    )
    const same = node('Equal', [range, places], [size, rows], 'bool')
    const chosen = node('Cast', [same], [size, rows], 'float32', { to: elementTypeNumber('float32') })
    return node('MatMul', [chosen, updates!], shape)
  }
  // Not ScatterND: with several threads it loses sums where indices repeat. Made by a node and not a constant, so that the sums can be made in its place.
  const zeros = traced(graph().node('ConstantOfShape', [graph().integers(shape)])[0]!, shape)
  const wide = node('Expand', [column(indices!)], [rows, width], 'int32', {}, [graph().integers([rows, width])])
  return node('ScatterElements', [zeros, wide, updates!], shape, 'float32', { axis: 0, reduction: 'add' })
})

/** A reduction over the last axis, which stays as one of size 1. */
function alongRow(operator: string, x: tf.TensorInfo): tf.TensorInfo {
  return node(operator, [x], [...x.shape.slice(0, -1), 1], 'float32', { keepdims: 1 }, [graph().integers([-1])])
}

function column(indices: tf.TensorInfo): tf.TensorInfo {
  const shape = [indices.shape[0]!, 1]
  return node('Reshape', [indices], shape, indices.dtype, {}, [graph().integers(shape)])
}
