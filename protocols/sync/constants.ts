// Names, limits and waits of sync.
import type { Allowance } from '../purses.ts'

/** Protocol id; meshes of different names do not sync. */
export const syncProtocol = (network: string): string => `/shoal/${network}/sync/1`

/** Version field of the messages. */
export const SYNC_VERSION = 1
/** Record CIDs in one answer: 40 KiB. */
export const MAX_CHAIN = 1_024
/** Bytes of a message. */
export const MAX_SYNC_BYTES = 64 * 1024
/** Bytes of a request's frame. */
export const MAX_REQUEST_BYTES = 1024
/** Streams of one peer: it asks for a head and a page of a chain, of a few runs. */
export const STREAMS_PER_PEER = 8
/** Requests of one peer: each reads up to MAX_CHAIN rows from the disk. A newcomer asks for sixteen pages in a row, and each node for heads when it missed something. */
export const REQUESTS: Allowance = { perSecond: 10, burst: 64 }
/** Milliseconds a peer may take for one answer, dialling included. */
export const ANSWER_TIMEOUT_MS = 5_000
/** Peers asked at once for their heads. */
export const MAX_ASKED = 16
