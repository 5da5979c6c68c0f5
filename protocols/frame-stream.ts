// What a protocol of this room asks of the network: whole frames both ways with one peer, and a way to answer and to open such streams.
// The daemon makes them of libp2p streams; tests make them of an in-memory pair.

/** A stream of frames with one peer. Frames arrive whole and in order, each at most MAX_FRAME_BYTES. */
export interface FrameStream {
  /** When bytes last came, those of an unfinished frame too: ms of performance.now(). A slow peer is not a silent one. */
  readonly heardMs: number
  /** Bytes that came so far, those of an unfinished frame too. */
  readonly heardBytes: number
  /** The next frame, or null when the peer has ended its side cleanly between two frames. Rejects when the stream broke or `signal` fired. */
  read(options?: { signal?: AbortSignal }): Promise<Uint8Array | null>
  /** Resolves when the frames were handed over and more may be sent; it waits for a slow peer. */
  write(frames: Uint8Array[], options?: { signal?: AbortSignal }): Promise<void>
  /** Ends our side; what was written is still delivered. */
  close(options?: { signal?: AbortSignal }): Promise<void>
  /** Drops the stream at once; both sides' pending calls reject. */
  abort(error: Error): void
}

/** `address`: the far end of the connection, a multiaddr; it is there before the peer has said anything of itself, and also where it never does. */
export type FrameHandler = (stream: FrameStream, peer: string, address: string) => Promise<void>

export interface HandleOptions {
  /** Bytes of the largest frame that an asker may send; four of them may lie unread. @default MAX_FRAME_BYTES */
  frameBytesMax?: number
  /** Streams that one peer may have open with us. @default the node's own limit */
  streamsPerPeer?: number
}

/** The part of a node that protocols with streams need. */
export interface FrameNode {
  /** Answers `protocol` from now on; a handler that rejects has its stream aborted, and the node says why. */
  handle(protocol: string, handler: FrameHandler, options?: HandleOptions): Promise<void>
  unhandle(protocol: string): Promise<void>
  /** Dials the peer if need be. Rejects when it cannot be reached or does not speak `protocol`. */
  openStream(peer: string, protocol: string, options?: { signal?: AbortSignal }): Promise<FrameStream>
}

/** accept: for us and to be forwarded; ignore: neither; reject: neither, and its sender's fault. */
export type GossipVerdict = 'accept' | 'ignore' | 'reject'

/**
 * Sees each message once, before it is forwarded; `from` is the peer whose signature the message carries, which need not be the one that handed it over.
 * Throws a ProtocolError for what is refused: the node drops it, and says whose fault it is.
 */
export type GossipReceiver = (bytes: Uint8Array, from: string) => GossipVerdict | Promise<GossipVerdict>

/** The part of a node that protocols with gossip need. */
export interface GossipNode {
  /** Resolves when handed over, also when nobody listens. At most MAX_GOSSIP_BYTES. */
  publish(topic: string, bytes: Uint8Array): Promise<void>
  subscribe(topic: string, receive: GossipReceiver): void
  unsubscribe(topic: string): void
}

/** Bytes. libp2p's reader drops a stream with more than 4 MiB unread, so frames stay well below. */
export const MAX_FRAME_BYTES = 1024 * 1024

/** Bytes. Facts travel by gossip, bodies by streams: whoever hands gossip on holds it whole. */
export const MAX_GOSSIP_BYTES = 64 * 1024
