// Blocks: bytes named by their hash, pulled from whoever has them, several holders at once.
//
// Whoever wants blocks opens one stream to each holder, asks for many at a time and gives credit for at most 3 MiB (messages.ts). The store
// checks every block against its name before it keeps it. A holder that says nothing for a while, or sends other bytes, loses its turn and its blocks
// are asked of the others; what the store already has is never asked for, so a broken fetch goes on where it stood.
//
// fetch.ts runs a fetch, wants.ts decides who is asked for what, standings.ts who is asked first, serving.ts answers, pace.ts makes blocks wait where there is a cap,
// service.ts wires all that to a node and a store.
export { blocksProtocol, MAX_BLOCK_BYTES, MAX_STREAMS_PER_PEER } from './constants.ts'
export type { HolderFailure } from './fetch.ts'
export { askToSend, bytesLeft, createUpload, pacedFrameBytes, type UploadState } from './pace.ts'
export { BlockExchange, type BlockExchangeComponents, type BlockExchangeOptions, type BlockTraffic, type FetchOptions } from './service.ts'
