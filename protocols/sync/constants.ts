// Names, limits and waits of sync.
import type { Allowance } from '../purses.ts'

/** Protocol id; meshes of different names do not sync. */
export const syncProtocol = (network: string): string => `/shoal/${network}/sync/1`

/** Version field of the messages. */
export const SYNC_VERSION = 1
/** Record CIDs in one answer: 41 KiB. */
export const MAX_CHAIN = 1_024
/** Bytes of each of them. */
export const RECORD_CID_BYTES = 41
/** Bytes of a message. */
export const MAX_SYNC_BYTES = 64 * 1024
/** Bytes of a request's frame. */
export const MAX_REQUEST_BYTES = 1024
/** Streams of one peer: it asks for a head and a page of a chain, of a few runs. */
export const STREAMS_PER_PEER = 8
/** Requests of one peer: each reads up to MAX_CHAIN rows from the disk. A newcomer asks for sixteen pages in a row, and each node for heads when it missed something. */
export const REQUESTS: Allowance = { perSecond: 10, burst: 64 }
/**
 * Bytes a second of chains for all together whom a run has not accepted, and how many seconds' worth they may draw at once: ids cost nothing, so none has a purse of its own.
 * Three newcomers learn the longest chain at once, and hundreds one of a hundred rounds.
 */
export const STRANGERS_BYTES_PER_SECOND = 128 * 1024
export const STRANGERS_BURST_SECONDS = 16
/** The part of it that one origin may draw, or one page where that is more: a newcomer learns the longest chain at once, and one machine with many ids leaves the rest to others. */
export const ORIGIN_SHARE = 1 / 3
/** The part of an upload cap that this may be at most: the rest is for blocks. Of the lowest cap, 16 kB/s, a whole answer still fits into the seconds above. */
export const STRANGERS_SHARE = 1 / 4
/** Milliseconds a peer may take for one answer, dialling included. */
export const ANSWER_TIMEOUT_MS = 5_000
/** Peers asked for their heads by who is in the run: presence tells the others'. */
export const MAX_ASKED = 16
/**
 * Peers asked by who is in no run, and knows none of them: whoever made a thousand identities, against twenty who are honest, is among nobody but his own in one
 * question of twelve. An answer has some hundred bytes.
 */
export const NEWCOMER_ASKS = 128
/** Peers asked at once for their heads: where all are silent the most that may be asked take four answers' timeouts. */
export const ASKED_AT_ONCE = 32
