// Streams that others opened with us: how many there may be, and which one gives way. The rule; the node ends those that it names.

/** Streams of one protocol that one peer may have open with us, over all its connections, where the protocol names no other number. */
export const STREAMS_PER_PEER = 32
/** Streams of one protocol in all. One that serves blocks holds up to 2.3 MiB, so that all of them together hold less than 300. */
export const STREAMS_IN_ALL = 128

interface Inbound {
  peer: string
  /** When bytes last came or went; ms of performance.now(). */
  movedMs(): number
}

/** The open streams of one protocol. */
export class InboundStreams<S extends Inbound> {
  readonly #open = new Set<S>()
  readonly #perPeer: number

  constructor(perPeer: number = STREAMS_PER_PEER) {
    this.#perPeer = perPeer
  }

  get size(): number {
    return this.#open.size
  }

  /**
   * Takes a stream in. Gives the one that must end for it: itself where its peer has as many as it may; where all places are taken, that of the peer
   * with most streams (so that nobody crowds others out), and of these the one on which nothing moved for longest.
   */
  add(stream: S): S | null {
    const peers = new Map<string, number>()
    for (const { peer } of this.#open) peers.set(peer, (peers.get(peer) ?? 0) + 1)
    if ((peers.get(stream.peer) ?? 0) >= this.#perPeer) return stream
    this.#open.add(stream)
    if (this.#open.size <= STREAMS_IN_ALL) return null
    peers.set(stream.peer, (peers.get(stream.peer) ?? 0) + 1)
    const most = Math.max(...peers.values())
    const victim = [...this.#open].filter(({ peer }) => peers.get(peer) === most).sort((a, b) => a.movedMs() - b.movedMs())[0]!
    this.#open.delete(victim)
    return victim
  }

  remove(stream: S): void {
    this.#open.delete(stream)
  }
}
