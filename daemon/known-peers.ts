// Peers that this node was connected with, kept in its home: it finds the mesh again when whoever it was told of at first is gone.
import type { Records } from '../storage/index.ts'
import type { PeerInfo, RememberedPeer, ShoalNode } from './node.ts'
import { byReach, parseAddress, peerInAddress } from './node-addresses.ts'
import { originOf } from './origins.ts'

/** A row of the table `peers`; its key is the peer id. */
export interface KnownPeer {
  network: string
  /** Dialable, with the peer id at the end. */
  addresses: string[]
  /** Where it was connected from: its own words about where it listens prove nothing. */
  origin: string | null
  /** A run of this node had taken its work. */
  accepted: boolean
  /** This node called it, and not for having remembered it. */
  sought: boolean
  /** Unix milliseconds. */
  firstSeenMs: number
  /** Unix milliseconds. */
  lastSeenMs: number
}

/** As older daemons wrote it, too. */
type StoredPeer = Pick<KnownPeer, 'network' | 'addresses' | 'lastSeenMs'> & Partial<KnownPeer>

/** Peers kept: as many as a node connects with by itself, and any one of them leads to the others. */
export const KNOWN_PEERS_MAX = 64
/** Of them, those seen last, whoever they are: else members that are gone for good would keep out everybody who came since. */
export const NEWEST_PEERS_MAX = 16
/** Peers of one origin before others have their places: ids cost nothing, addresses something. */
export const ORIGIN_PEERS_MAX = 8
/** Addresses kept of one peer: a machine has a few interfaces. */
export const KNOWN_ADDRESSES_MAX = 8
const ADDRESS_CHARACTERS_MAX = 320
/** Milliseconds from a new connection to the write, so that a mesh that meets is one write; a crash within them loses who came last. */
const SAVE_SOON_MS = 2_000
/** Milliseconds between writes of when those who stay were last seen. */
const SAVE_INTERVAL_MS = 10 * 60_000
const DAY_MS = 24 * 60 * 60_000

/**
 * Lays those who are here now over those known, and keeps KNOWN_PEERS_MAX. Any number of ids may be connected at once, and whoever made them must not own all
 * places: most go to those whom a run took, then to those whom this node called, then to who was seen for longest. Pure.
 */
export function keepBest(
  known: ReadonlyMap<string, KnownPeer>,
  here: ReadonlyMap<string, KnownPeer>,
  nowMs = Date.now()
): Map<string, KnownPeer> {
  const past = [...known].map(([peer, row]): [string, KnownPeer] => [peer, ofThisClock(row, nowMs)])
  const merged = [...past, ...here].reduce((all, [peer, row]) => all.set(peer, withPast(row, all.get(peer))), new Map<string, KnownPeer>())
  const all = [...merged]
  const daysAway = ({ lastSeenMs }: KnownPeer): number => Math.floor((nowMs - lastSeenMs) / DAY_MS)
  const seenForMs = ({ firstSeenMs, lastSeenMs }: KnownPeer): number => lastSeenMs - firstSeenMs
  const best = all.toSorted(
    ([, a], [, b]) =>
      Number(b.accepted) - Number(a.accepted) ||
      Number(b.sought) - Number(a.sought) ||
      daysAway(a) - daysAway(b) ||
      seenForMs(b) - seenForMs(a)
  )
  const newest = all.toSorted(([, a], [, b]) => b.lastSeenMs - a.lastSeenMs || seenForMs(b) - seenForMs(a))
  const kept = new Map<string, KnownPeer>()
  const ofOrigin = new Map<string | null, number>()
  const take = (rows: [string, KnownPeer][], most: number, perOrigin: number): void => {
    for (const [peer, row] of rows) {
      if (kept.size >= most) return
      const before = ofOrigin.get(row.origin) ?? 0
      if (kept.has(peer) || before >= perOrigin) continue
      ofOrigin.set(row.origin, before + 1)
      kept.set(peer, row)
    }
  }
  take(best, KNOWN_PEERS_MAX - NEWEST_PEERS_MAX, ORIGIN_PEERS_MAX)
  take(newest, KNOWN_PEERS_MAX, ORIGIN_PEERS_MAX)
  take(best, KNOWN_PEERS_MAX, KNOWN_PEERS_MAX)
  return kept
}

/** A clock that was once far ahead makes nobody the newest for ever: when it was, nobody knows. */
function ofThisClock(row: KnownPeer, nowMs: number): KnownPeer {
  return row.lastSeenMs > nowMs + DAY_MS ? { ...row, firstSeenMs: 0, lastSeenMs: 0 } : row
}

/** What a peer once was to this node it stays. */
function withPast(row: KnownPeer, before: KnownPeer | undefined): KnownPeer {
  if (before === undefined) return row
  return {
    ...row,
    accepted: row.accepted || before.accepted,
    sought: row.sought || before.sought,
    firstSeenMs: before.lastSeenMs === 0 ? row.firstSeenMs : Math.min(row.firstSeenMs, before.firstSeenMs)
  }
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
  /** Whether a run of this node has taken a peer's work. @default of nobody */
  isAccepted?: (peer: string) => boolean
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
    for await (const [peer, row] of records.table<StoredPeer>('peers').entries()) {
      known.set(peer, {
        ...{ origin: originOf(row.addresses[0] ?? ''), accepted: false, sought: false, firstSeenMs: row.lastSeenMs },
        ...row
      })
    }
    return new KnownPeers(records, options, known)
  }

  /** Those of our network, the best first. */
  remembered(): RememberedPeer[] {
    return [...keepBest(this.#known, new Map())]
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
    const { network, isAccepted } = this.#options
    const here = new Map<string, KnownPeer>()
    for (const info of this.#node?.peers() ?? []) {
      const addresses = dialableAddresses(info)
      if (addresses.length === 0) continue
      here.set(info.peer, {
        ...{ network, addresses, origin: originOf(info.addresses[0] ?? '') },
        accepted: isAccepted?.(info.peer) === true,
        sought: info.direction === 'outbound' && info.foundBy !== 'remembered',
        ...{ firstSeenMs: info.connectedAtMs, lastSeenMs: Date.now() }
      })
    }
    const kept = keepBest(this.#known, here)
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
