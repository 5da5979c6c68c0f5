// What the benchmark's parent and its peers' processes tell each other.

/** To a peer's process. */
export type PeerOrder =
  | { type: 'open'; home: string; index: number; peers: number; values: number }
  /** Connect to these and say when all peers are in sight. */
  | { type: 'meet'; addresses: string[] }
  /** Lay out what a trainer would have left on disk. */
  | { type: 'prepare'; round: number; codec: string }
  /** Encode, exchange, close, agree. */
  | { type: 'go'; round: number }
  /** How far the anchor is from the exact mean. */
  | { type: 'measure'; round: number }

/** From a peer's process: each order is answered once. */
export type PeerReport =
  | { type: 'open'; peer: string; address: string }
  | { type: 'meet' }
  | { type: 'prepare' }
  | { type: 'go'; outcome: PeerOutcome }
  | { type: 'measure'; maxAbsError: number }
  | { type: 'failed'; message: string }

/** One peer's view of one round; times on the machine's monotonic clock, which its processes share. */
export interface PeerOutcome {
  /** Milliseconds, when encoding began. */
  startedMs: number
  /** Milliseconds, when the root was computed and on disk. */
  finishedMs: number
  anchor: string
  /** Payload bytes, streams and gossip. */
  bytesSent: number
  bytesReceived: number
}
