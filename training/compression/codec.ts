// What a codec is: a pseudo-gradient's values to bytes and back, the same bytes on every machine.

/** What a manifest says of a codec. Settings that a codec does not have are refused. */
export interface CodecSpec {
  name: 'f32' | 'f16' | 'int8' | 'topk'
  /** topk: the part of each block that is kept, in (0, 1]. @default 1/64 */
  density?: number
  /** int8, topk: values per block, a power of two from 16 to 65536. @default 256 (int8), 4096 (topk) */
  blockSize?: number
  /** topk: how kept values are written. @default 'f16' */
  value?: 'f32' | 'f16' | 'int8'
}

/**
 * Encodes values in flat (row-major) order, in blocks of `blockValues` that do not depend on one another: the bytes of any run of whole blocks
 * decode alone, so that a large tensor can be read slice by slice. Sizes are exact: a count of values has one size in bytes.
 */
export interface Codec {
  /** The wire name: the spec's name, with its settings after slashes where they are not the default. `createCodec(name)` gives the codec again. */
  readonly name: string
  /** True where decode(encode(x)) is x to the bit: no residual is ever left. */
  readonly lossless: boolean
  /** Values in a block, a power of two; 1 where each value stands alone. */
  readonly blockValues: number
  /** @throws TrainingError non_finite, shape_mismatch */
  encode(values: Float32Array, shape: readonly number[]): Uint8Array
  /** @throws TrainingError bad_codec_bytes (wrong size, order or range), non_finite, shape_mismatch (impossible shape) */
  decode(bytes: Uint8Array, shape: readonly number[]): Float32Array
  /** Bytes that `count` values take: exact, also the most that a reader needs to accept. */
  maxBytes(count: number): number
}
