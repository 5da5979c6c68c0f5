// What the DHT writes down: who has what, in bounded room. libp2p's own store has no bound, and looks at all that there is for each question.
import { randomInt } from 'node:crypto'
import { NotFoundError } from '@libp2p/interface'

interface Key {
  toString(): string
}
interface Pair {
  key: Key
  value: Uint8Array
}

export interface ProviderLimits {
  /** Records of one peer: a node announces its runs, of which presence names 32. */
  ofPeer: number
  /** Records in all. */
  inAll: number
  /** Providers of one thing that are told to who asks: as many as a search is content with. */
  told: number
}
const LIMITS: ProviderLimits = { ofPeer: 64, inAll: 4_096, told: 20 }
/** Characters of a hash that names something, in base 32; those of our runs have 55. */
const MAX_CONTENT_CHARS = 128
/** Records that are looked at without letting others work. */
const RECORDS_AT_ONCE = 64

/**
 * The part of libp2p's `Datastore` that kad-dht uses, for the keys `/dht/provider/CONTENT/PEER`; others are refused. Where there is no more room, the peer
 * with most records, and of these the one that was silent longest, gives up its oldest.
 */
export class ProviderRecords {
  readonly #limits: ProviderLimits
  /** By peer and content; whoever spoke last, and what it said last, come last. */
  readonly #ofPeers = new Map<string, Map<string, Pair>>()
  readonly #ofContents = new Map<string, Map<string, Pair>>()
  #size = 0

  constructor(limits: ProviderLimits = LIMITS) {
    this.#limits = limits
  }

  get size(): number {
    return this.#size
  }

  put(key: Key, value: Uint8Array): Key {
    const { content = '', peer = '' } = placeOf(key) ?? {}
    if (peer === '' || content.length > MAX_CONTENT_CHARS) throw new RangeError('no record of a provider')
    this.#drop(content, peer)
    const pair = { key, value }
    const own = this.#ofPeers.get(peer) ?? new Map<string, Pair>()
    if (own.size >= this.#limits.ofPeer) this.#dropOldest(peer)
    this.#ofPeers.delete(peer)
    this.#ofPeers.set(peer, own.set(content, pair))
    const providers = this.#ofContents.get(content) ?? new Map<string, Pair>()
    this.#ofContents.set(content, providers.set(peer, pair))
    this.#size++
    if (this.#size > this.#limits.inAll) this.#dropOldest(this.#greediest())
    return key
  }

  get(key: Key): Uint8Array {
    const pair = this.#at(key)
    if (pair === undefined) throw new NotFoundError()
    return pair.value
  }

  has(key: Key): boolean {
    return this.#at(key) !== undefined
  }

  delete(key: Key): void {
    const { content = '', peer = '' } = placeOf(key) ?? {}
    this.#drop(content, peer)
  }

  /** All records, or those of one thing: some of them where they are many, by lot. */
  async *query({ prefix }: { prefix: string }): AsyncGenerator<Pair> {
    const place = placeOf(prefix)
    if (place === null) return
    const pairs = place.content === undefined ? this.#all() : this.#some(place.content)
    for (const [index, pair] of pairs.entries()) {
      if (index % RECORDS_AT_ONCE === RECORDS_AT_ONCE - 1) await new Promise(resolve => setImmediate(resolve))
      yield pair
    }
  }

  #all(): Pair[] {
    return [...this.#ofPeers.values()].flatMap(own => [...own.values()])
  }

  #some(content: string): Pair[] {
    const pairs = [...(this.#ofContents.get(content)?.values() ?? [])]
    if (pairs.length <= this.#limits.told) return pairs
    return Array.from({ length: this.#limits.told }, () => pairs.splice(randomInt(pairs.length), 1)[0]!)
  }

  #at(key: Key): Pair | undefined {
    const { content = '', peer = '' } = placeOf(key) ?? {}
    return this.#ofPeers.get(peer)?.get(content)
  }

  #greediest(): string {
    let [greediest, most] = ['', 0]
    for (const [peer, { size }] of this.#ofPeers) if (size > most) [greediest, most] = [peer, size]
    return greediest
  }

  #dropOldest(peer: string): void {
    const [oldest] = this.#ofPeers.get(peer)?.keys() ?? []
    if (oldest !== undefined) this.#drop(oldest, peer)
  }

  #drop(content: string, peer: string): void {
    const own = this.#ofPeers.get(peer)
    const providers = this.#ofContents.get(content)
    if (own?.delete(content) !== true) return
    providers?.delete(peer)
    this.#size--
    if (own.size === 0) this.#ofPeers.delete(peer)
    if (providers?.size === 0) this.#ofContents.delete(content)
  }
}

/** What a key, or the beginning of one, names; null where it is none of a provider. */
function placeOf(key: Key): { content: string | undefined; peer: string | undefined } | null {
  const parts = /^\/dht\/provider(?:\/([^/]+)(?:\/([^/]+))?)?$/.exec(key.toString())
  return parts === null ? null : { content: parts[1], peer: parts[2] }
}
