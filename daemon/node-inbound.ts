// Streams that others opened with us: how many there may be, and which one gives way. The rule; the node ends those that it names.

/** Streams of one protocol that one peer may have open with us, over all its connections, where the protocol names no other number. */
export const STREAMS_PER_PEER = 32
/** Streams of one protocol in all. One that serves blocks holds up to 2.3 MiB, so that all of them together hold less than 300. */
export const STREAMS_IN_ALL = 128

/** Of these, those that strangers keep where members want them. */
const STREAMS_OF_STRANGERS = STREAMS_IN_ALL / 2

export interface Inbound {
  peer: string
  /** Who pays for it: itself where it is accepted, else its origin (see payerOf). It may be accepted meanwhile. */
  payer(): string
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
   * Takes a stream in. Gives the one that must end for it: itself where its peer has as many as it may; where all places are taken, one of strangers
   * where these have more than their share, then of who pays for most, of the peer of these with most, and of its streams the one on which nothing
   * moved for longest: so that nobody crowds others out, under however many names.
   */
  add(stream: S): S | null {
    const ofPeer = [...this.#open].filter(({ peer }) => peer === stream.peer).length
    if (ofPeer >= this.#perPeer) return stream
    this.#open.add(stream)
    if (this.#open.size <= STREAMS_IN_ALL) return null
    const open = [...this.#open].map(stream => ({ stream, peer: stream.peer, payer: stream.payer() }))
    const ofStrangers = open.filter(({ peer, payer }) => payer !== peer)
    const candidates = ofStrangers.length > STREAMS_OF_STRANGERS ? ofStrangers : open
    const ofPayer = ofMost(candidates, ({ payer }) => payer)
    const [victim] = ofMost(ofPayer, ({ peer }) => peer).sort((a, b) => a.stream.movedMs() - b.stream.movedMs())
    this.#open.delete(victim!.stream)
    return victim!.stream
  }

  remove(stream: S): void {
    this.#open.delete(stream)
  }
}

/** Those of whoever has most of them; of all who have as many. */
function ofMost<T>(all: readonly T[], ownerOf: (one: T) => string): T[] {
  const counts = new Map<string, number>()
  for (const one of all) counts.set(ownerOf(one), (counts.get(ownerOf(one)) ?? 0) + 1)
  const most = Math.max(...counts.values())
  return all.filter(one => counts.get(ownerOf(one)) === most)
}
