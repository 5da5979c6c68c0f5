// A tensor as it is stored and sent: name, dtype, shape, little-endian bytes; and the way to float32 and back.
import assert from 'node:assert/strict'
import { StorageError } from './errors.ts'

/** Bytes of one value, by the names that safetensors uses. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8
} as const
export type Dtype = keyof typeof DTYPE_BYTES

export interface TensorInfo {
  name: string
  dtype: Dtype
  /** [] for a scalar. */
  shape: number[]
}

export interface StoredTensor extends TensorInfo {
  /** Little-endian, row-major, as many bytes as dtype and shape say. */
  bytes: Uint8Array
}

// Typed arrays speak the host's byte order; every platform that Node is built for today, but for s390x, is little-endian.
assert.equal(new Uint8Array(new Uint16Array([1]).buffer)[0], 1, 'Shoal needs a little-endian machine')

/** Bytes that dtype and shape say, or null when that is no safe integer. */
export function tensorBytes(dtype: Dtype, shape: readonly number[]): number | null {
  let bytes: number = DTYPE_BYTES[dtype]
  if (shape.includes(0)) return 0 // Before multiplying: [2^40, 2^40, 0] is empty, not too large.
  for (const size of shape) {
    bytes *= size
    if (!Number.isSafeInteger(bytes)) return null
  }
  return bytes
}

/** A float32 tensor over the same memory as `values`: change one and both change. */
export function storedTensor(name: string, shape: number[], values: Float32Array): StoredTensor {
  const count = shape.reduce((product, size) => product * size, 1)
  if (count !== values.length) {
    throw new StorageError('safetensors_offsets', `${name} has ${values.length} values; its shape [${shape}] says ${count}`)
  }
  return { name, dtype: 'F32', shape, bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) }
}

/**
 * A tensor's values as float32 (F32, F16, BF16, F64). F32 shares the tensor's memory where alignment permits.
 *
 * @throws StorageError `safetensors_dtype` for integers and 8-bit floats, `safetensors_offsets` when bytes and shape differ
 */
export function floatsOf(tensor: StoredTensor): Float32Array {
  const { name, dtype, shape, bytes } = tensor
  if (bytes.byteLength !== tensorBytes(dtype, shape)) {
    throw new StorageError(
      'safetensors_offsets',
      `${name} has ${bytes.byteLength} bytes; ${dtype} [${shape}] says ${tensorBytes(dtype, shape)}`
    )
  }
  switch (dtype) {
    case 'F32':
      return view(bytes, Float32Array)
    case 'F64':
      return Float32Array.from(view(bytes, Float64Array))
    case 'F16':
      return Float32Array.from(view(bytes, Uint16Array), halfToFloat)
    case 'BF16':
      return brainFloats(view(bytes, Uint16Array))
    default:
      throw new StorageError('safetensors_dtype', `${name} has dtype ${dtype}; only F32, F16, BF16 and F64 are read as floats`)
  }
}

interface Typed<A> {
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): A
  readonly BYTES_PER_ELEMENT: number
}

function view<A>(bytes: Uint8Array, type: Typed<A>): A {
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes)
  return new type(aligned.buffer, aligned.byteOffset, aligned.byteLength / type.BYTES_PER_ELEMENT)
}

/** IEEE 754 binary16: sign 1, exponent 5 (bias 15), fraction 10. */
function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

/** bfloat16 is the upper half of a float32. */
function brainFloats(halves: Uint16Array): Float32Array {
  const bits = Uint32Array.from(halves, half => half << 16)
  return new Float32Array(bits.buffer)
}
