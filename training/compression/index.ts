// Compression of pseudo-gradients: codecs by wire name, and the error feedback around them. Every encoder gives the same bytes on every machine;
// every decoder takes bytes from strangers: it checks sizes, ranges and finiteness, and throws nothing but TrainingError.
export type { Codec, CodecSpec } from './codec.ts'
export { createCodec } from './create-codec.ts'
export { type EncodedDelta, encodeDelta, type NamedTensor } from './encode-delta.ts'
