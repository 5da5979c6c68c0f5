// Peers that this node was connected with, kept in its home: it finds the mesh again when whoever it was told of at first is gone.
import type { Records } from '../storage/index.ts'
import type { PeerInfo, RememberedPeer, ShoalNode } from './node.ts'
import { byReach, parseAddress, peerInAddress } from './node-addresses.ts'

/** A row of the table `peers`; its key is the peer id. */
export interface KnownPeer {
  network: string
  /** Dialable, with the peer id at the end. */
  addresses: string[]
  /** Unix milliseconds. */
  lastSeenMs: number
}

/** Peers kept, those seen last: as many as a node connects with by itself, and any one of them leads to the others. */
export const KNOWN_PEERS_MAX = 64
/** Addresses kept of one peer: a machine has a few interfaces. */
export const KNOWN_ADDRESSES_MAX = 8
const ADDRESS_CHARACTERS_MAX = 320
/** Milliseconds from a new connection to the write, so that a mesh that meets is one write; a crash within them loses who came last. */
const SAVE_SOON_MS = 2_000
/** Milliseconds between writes of when those who stay were last seen. */
const SAVE_INTERVAL_MS = 10 * 60_000

/** Lays those who are here now over those known, and keeps the KNOWN_PEERS_MAX that were seen last. Pure. */
export function keepNewest(known: ReadonlyMap<string, KnownPeer>, here: ReadonlyMap<string, KnownPeer>): Map<string, KnownPeer> {
  const newestFirst = [...new Map([...known, ...here])].sort(
    ([peer, a], [other, b]) => b.lastSeenMs - a.lastSeenMs || (peer < other ? -1 : 1)
  )
  return new Map(newestFirst.slice(0, KNOWN_PEERS_MAX))
}

/** What can be dialled of a peer's own words about where it listens, each with its id, those in reach of other machines first. Pure. */
export function dialableAddresses({ peer, direction, addresses, listening }: PeerInfo): string[] {
  // The far end of a connection that it opened is a port that nobody listens on.
  const said = [...(direction === 'outbound' ? addresses : []), ...byReach(listening)]
  const whole = said.filter(text => text.length <= ADDRESS_CHARACTERS_MAX).flatMap(text => withPeer(text, peer))
  return [...new Set(whole)].slice(0, KNOWN_ADDRESSES_MAX)
}

export interface KnownPeersOptions {
  /** The mesh's name: peers of another one are kept, and not given. */
  network: string
  /** Told of a failed write; the next one tries again. */
  onError?: (error: unknown) => void
}

/** The table `peers` of one daemon's life: read before the node starts, written while it runs. */
export class KnownPeers {
  readonly #records: Records
  readonly #options: KnownPeersOptions
  #known: Map<string, KnownPeer>
  /** Peers whose row on disk is not what is known. */
  readonly #changed = new Set<string>()
  #node: Pick<ShoalNode, 'peers' | 'onEvent'> | undefined
  #forget: () => void = () => {}
  #soon: NodeJS.Timeout | undefined
  #interval: NodeJS.Timeout | undefined
  #saving: Promise<void> = Promise.resolve()

  private constructor(records: Records, options: KnownPeersOptions, known: Map<string, KnownPeer>) {
    this.#records = records
    this.#options = options
    this.#known = known
  }

  static async open({ records }: { records: Records }, options: KnownPeersOptions): Promise<KnownPeers> {
    const known = new Map<string, KnownPeer>()
    for await (const [peer, row] of records.table<KnownPeer>('peers').entries()) known.set(peer, row)
    return new KnownPeers(records, options, known)
  }

  /** Those of our network, the last seen first. */
  remembered(): RememberedPeer[] {
    return [...keepNewest(this.#known, new Map())]
      .filter(([, { network }]) => network === this.#options.network)
      .map(([peer, { addresses }]) => ({ peer, addresses }))
  }

  /** Writes from now on down who is connected. */
  watch(node: Pick<ShoalNode, 'peers' | 'onEvent'>): void {
    this.#node = node
    this.#forget = node.onEvent(event => {
      if (event.type !== 'connected') return
      // At once, for a peer that says goodbye before the write is gone from the node's list; the disk can wait.
      this.#look()
      this.#soon ??= setTimeout(() => void this.#save(), SAVE_SOON_MS)
    })
    this.#interval = setInterval(() => void this.#save(), SAVE_INTERVAL_MS)
  }

  /** Writes once more. */
  async stop(): Promise<void> {
    this.#forget()
    clearInterval(this.#interval)
    await this.#save()
  }

  #save(): Promise<void> {
    clearTimeout(this.#soon)
    this.#soon = undefined
    this.#saving = this.#saving.then(() => this.#write()).catch(error => this.#options.onError?.(error))
    return this.#saving
  }

  async #write(): Promise<void> {
    this.#look()
    const changed = [...this.#changed]
    if (changed.length === 0) return
    const table = 'peers' as const
    await this.#records.batch(
      changed.map(key => {
        const value = this.#known.get(key)
        return value === undefined ? { type: 'delete' as const, table, key } : { type: 'put' as const, table, key, value }
      })
    )
    for (const peer of changed) this.#changed.delete(peer)
  }

  /** Who is connected now is known from now on. */
  #look(): void {
    const { network } = this.#options
    const here = new Map<string, KnownPeer>()
    for (const info of this.#node?.peers() ?? []) {
      const addresses = dialableAddresses(info)
      if (addresses.length > 0) here.set(info.peer, { network, addresses, lastSeenMs: Date.now() })
    }
    const kept = keepNewest(this.#known, here)
    for (const peer of this.#known.keys()) if (!kept.has(peer)) this.#changed.add(peer)
    for (const peer of here.keys()) if (kept.has(peer)) this.#changed.add(peer)
    this.#known = kept
  }
}

function withPeer(text: string, peer: string): string[] {
  if (!/^\/(ip4|ip6|dns|dns4|dns6)\/[^/]+\/tcp\/\d+(\/p2p\/[^/]+)?$/.test(text)) return []
  try {
    const named = peerInAddress(parseAddress(text))
    return named === undefined ? [`${text}/p2p/${peer}`] : named === peer ? [text] : []
  } catch {
    return []
  }
}
