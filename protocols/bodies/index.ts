// Bodies: how the tensors of an anchor or a contribution become blocks, so that one stage, or one chunk, can be fetched and agreed on alone.
//
// root   dag-cbor { v: 1, stages: [{ name, index: CID }] }            its CID is the body's name (an anchor's root)
// stage  dag-cbor { v: 1, tensors: [{ name, shape, size, chunks: [CID] }] }   size in bytes
// chunk  raw bytes, exactly 1 MiB each but a tensor's last
//
// Nothing is signed here: whoever names a root signs that name. An anchor's tensors are little-endian f32, outer state stands beside them as
// `outer.momentum/<tensor>`; a contribution's tensors are its codec's bytes.
export { chunkTensor, encodeBody, type TensorBytes } from './chunks.ts'
export { CHUNK_BYTES } from './constants.ts'
export {
  type BodyRoot,
  type BodyTensor,
  chunkLength,
  decodeBodyRoot,
  decodeStageIndex,
  type EncodedBlock,
  encodeBodyRoot,
  encodeStageIndex,
  type StageIndex
} from './messages.ts'
export { type FetchBlocks, fetchBody, type GetBlock, listBodyBlocks, type WalkOptions } from './walk.ts'
