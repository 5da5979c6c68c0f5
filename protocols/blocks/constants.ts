// Names, limits and waits of the block exchange.
import type { Allowance } from '../purses.ts'

/** Protocol id; meshes of different names do not exchange blocks. */
export const blocksProtocol = (network: string): string => `/shoal/${network}/blocks/1`

/** Milliseconds that an answer waits for others to fill its frame: well within IMPATIENCE_MS. */
export const FLUSH_MS = 100

/** Bytes of the largest block. */
export const MAX_BLOCK_BYTES = 1024 * 1024
/** Bytes of the frames that answers are cut into: below 256 KiB the encryption layer's cost per write shows (0.7 of the rate at 64 KiB). */
export const FRAME_BYTES = 256 * 1024
/** Bytes that may be on their way to us on one stream. libp2p's reader drops a stream with 4 MiB unread. */
export const WINDOW_BYTES = 3 * 1024 * 1024
/** Bytes taken in before the window is opened again by as much: a quarter of it, so that the answering side never runs dry. */
export const CREDIT_STEP_BYTES = 768 * 1024
/** Blocks asked for in one frame. */
export const MAX_WANTS_PER_FRAME = 256
/** Bytes of an asker's frame: the longest list of wants, and room. */
export const MAX_REQUEST_BYTES = 16 * 1024
/** Blocks one stream may have asked for and not got; whoever asks for more is cut off. */
export const MAX_QUEUED_WANTS = 1024
/**
 * Blocks that one peer may ask for, or all of one origin whom no run has accepted: to look for one costs some 0.04 ms, also where it is not here, so that nobody
 * takes more than a tenth of a core with questions. At once all that MAX_STREAMS_PER_PEER streams may owe; whoever asks faster waits. A newcomer that fetches a
 * checkpoint at 100 MB/s asks for a hundred blocks of 1 MiB a second: twenty of them behind one address wait for nothing.
 */
export const WANTS: Allowance = { perSecond: 2_000, burst: 8_192 }
/** Blocks a holder is asked for at first, while the size of what it sends is not known. */
export const FIRST_WANTS = 16
/** Blocks a holder may owe us at once, however small they are. */
export const MAX_OWED_WANTS = 512
/** Holders asked at once in one fetch. */
export const MAX_HOLDERS = 8
/** Milliseconds a holder may send less than MIN_BYTES_PER_SECOND while it owes us a block, dialling included; then its blocks go to others. */
export const STALL_MS = 5_000
/** Milliseconds that wants may wait; who would wait for much longer has given us up by then, and is refused. All that a peer's streams may owe it waits for less. */
export const MAX_DEBT_MS = STALL_MS / 2
/** Bytes a second below which a holder counts as silent: a block would take it a quarter of an hour. Eight holders behind one line of 64 kb/s are just above it. */
export const MIN_BYTES_PER_SECOND = 1024
/** Times a holder may stall or break off in one fetch: on a busy machine the only one who has a body may be silent for a while, and be well. */
export const MAX_BREAKS = 3
/** Bytes a second above which a holder keeps its place though others wait for one: 16 seconds for a block. */
export const KEEP_BYTES_PER_SECOND = 64 * 1024
/** Streams to one peer at once, all fetches together. Of 40 bodies fetched at once from 40 peers, eight holders each, every peer has eight on average. */
export const MAX_STREAMS_PER_PEER = 16
/** Milliseconds after which a holder with nothing to do is asked for what those who lag still owe. */
export const IMPATIENCE_MS = 1_000
/** A holder lags that sends nothing for IMPATIENCE_MS, or takes this many times as long for a block as the one who has nothing to do: asking twice where all are slow would halve what gets through. */
export const LAGGING_FACTOR = 4
/** Milliseconds between looks at the list of holders while a fetch runs. */
export const HOLDERS_POLL_MS = 250
/** Milliseconds for which a peer that sent wrong bytes is asked last. */
export const LIAR_MS = 60_000
/** Milliseconds for which a peer that held up a place in a fetch is asked after those who did not. */
export const SLOW_MS = 60_000
/** Milliseconds for which a peer that gave blocks is asked before those we do not know. */
export const GOOD_MS = 5 * 60_000
/** Peers of whom we remember how they behaved; ids cost nothing, so their number says nothing about the mesh. */
export const MAX_STANDINGS = 1024
/** Milliseconds an idle stream is kept for the next fetch from the same peer. */
export const IDLE_STREAM_MS = 5_000
/** Milliseconds after which the answering side ends a stream on which nothing moves. */
export const SERVE_IDLE_MS = 120_000
