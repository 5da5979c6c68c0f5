// Storage: bytes that stay true. Records in Level, blocks in files, tensors in safetensors, checkpoints as Hugging Face folders.
// It knows no peer and no model, and has no state outside the folders it is given.
//
//   const store = await openStore(home)                           // takes the home's lock
//   await store.blocks.put(cid, bytes, { durable: true })
//   await store.records.table('heads').put(run, { head: cid }, { sync: true })
//   await store.close()
export { type BlockStore, checkHash, openBlockFiles, type PutOptions } from './block-store.ts'
export { type NewCheckpoint, type OpenCheckpoint, openCheckpoint, writeCheckpoint } from './checkpoints.ts'
export { BLOCK_BYTES_MAX, RESERVED_BYTES } from './constants.ts'
export { fileFailure, StorageError, type StorageErrorCode } from './errors.ts'
export { makeFolder } from './folders.ts'
export { freeBytes } from './free-bytes.ts'
export { removeLeftovers, temporaryPath } from './leftovers.ts'
export { type KeyRange, orderedKey, type RecordOperation, type Records, type Table, type TableName, type WriteOptions } from './records.ts'
export {
  encodeSafetensors,
  type OpenSafetensors,
  openSafetensors,
  readSafetensors,
  readSafetensorsFile,
  type SafetensorsFile,
  safetensorsBytes,
  type TensorSource,
  writeSafetensorsFile
} from './safetensors.ts'
export type { SafetensorsLimits } from './safetensors-header.ts'
export { openStore, type Store } from './store.ts'
export { type Dtype, floatsOf, type StoredTensor, storedTensor, type TensorInfo } from './tensors.ts'
export { syncDirectory, type WriteFileOptions, writeFileAtomic, writeFileWhole } from './write-file-atomic.ts'
