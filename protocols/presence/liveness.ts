// The rule of who is here: (state, event, now) -> commands. No socket, clock, randomness or waiting. The state is the caller's and is changed.
import { RecentMap } from '../recent-map.ts'
import { GAP_MS, GONE_MS, MAX_PEERS, SILENCE_MS } from './constants.ts'

export type PresenceEvent =
  | HeardEvent
  /** The last connection with the peer closed. */
  | { type: 'disconnected'; peer: string }
  /** Asked by 'check', the peer did not answer. */
  | { type: 'unreachable'; peer: string }
  | { type: 'tick' }

export interface HeardEvent {
  type: 'heard'
  peer: string
  /** Higher in each process of the peer than in those before it. */
  session: number
  /** Higher in each message of a session. */
  seq: number
  leaving: boolean
}

export type GoneReason = 'left' | 'silent' | 'unreachable' | 'crowded_out'

export type PresenceCommand =
  /** The message is news: take its content. */
  | { type: 'take'; peer: string; joined: boolean }
  | { type: 'gone'; peer: string; reason: GoneReason }
  /** See whether the peer still answers, and say 'unreachable' if not. */
  | { type: 'check'; peer: string }

/** Which of a peer's messages was its newest: what comes later and is older was sent anew by somebody else. */
export type Newest = Pick<HeardEvent, 'session' | 'seq'>

interface GonePeer extends Newest {
  atMs: number
}

export interface LivePeer extends Newest {
  heardAtMs: number
  /** Null when it was heard since. */
  disconnectedAtMs: number | null
}

export interface PresenceState {
  /** Who is let in where there is room for no more: identities cost nothing, and thousands of them may speak. */
  isKnown: (peer: string) => boolean
  live: Map<string, LivePeer>
  /** Of those who are gone: a flood of strangers makes none be forgotten who is known. */
  gone: Record<'known' | 'strangers', RecentMap<string, GonePeer>>
  tickedAtMs: number | null
  /** Nobody has been silent for long enough before. */
  silentFromMs: number
}

export function createPresenceState(isKnown: PresenceState['isKnown'] = () => false): PresenceState {
  const gone = { known: new RecentMap<string, GonePeer>(MAX_PEERS), strangers: new RecentMap<string, GonePeer>(MAX_PEERS) }
  return { isKnown, live: new Map(), gone, tickedAtMs: null, silentFromMs: 0 }
}

/** @param nowMs monotonic milliseconds */
export function advancePresence(state: PresenceState, event: PresenceEvent, nowMs: number): PresenceCommand[] {
  switch (event.type) {
    case 'heard':
      return heard(state, event, nowMs)
    case 'disconnected':
      return disconnected(state, event.peer, nowMs)
    case 'unreachable':
      return unreachable(state, event.peer, nowMs)
    case 'tick':
      return tick(state, nowMs)
    default:
      return event satisfies never
  }
}

function heard(state: PresenceState, { peer, session, seq, leaving }: HeardEvent, nowMs: number): PresenceCommand[] {
  const known = state.live.get(peer)
  const newest = known ?? newestOfGone(state, peer, nowMs)
  if (newest !== undefined && (session < newest.session || (session === newest.session && seq <= newest.seq))) return []
  if (leaving) return leave(state, peer, { session, seq: Number.POSITIVE_INFINITY }, nowMs)
  const isFull = known === undefined && state.live.size >= MAX_PEERS
  const crowdedOut = isFull ? lastStranger(state, peer) : undefined
  if (isFull && crowdedOut === undefined) return []
  if (known?.session === session) {
    hearAgain(known, seq, nowMs)
    return [{ type: 'take', peer, joined: false }]
  }
  const room = crowdedOut === undefined ? [] : drop(state, crowdedOut, 'crowded_out', nowMs)
  state.live.set(peer, { session, seq, heardAtMs: nowMs, disconnectedAtMs: null })
  return [...room, { type: 'take', peer, joined: known === undefined }]
}

/** Who makes room for a known peer: of the others, who came last. */
function lastStranger({ isKnown, live }: PresenceState, peer: string): string | undefined {
  return isKnown(peer) ? [...live.keys()].reverse().find(other => !isKnown(other)) : undefined
}

/** One more message, newer than those before, of the session that counts already. */
export function hearAgain(live: LivePeer, seq: number, nowMs: number): void {
  live.seq = seq
  live.heardAtMs = nowMs
  live.disconnectedAtMs = null
}

/** The process may be gone, or only the connection: worth asking at once. */
function disconnected(state: PresenceState, peer: string, nowMs: number): PresenceCommand[] {
  const known = state.live.get(peer)
  if (known === undefined) return []
  known.disconnectedAtMs = nowMs
  return [{ type: 'check', peer }]
}

/** Unreachable from here and silent since: gone. A peer that others relay to us stays. */
function unreachable(state: PresenceState, peer: string, nowMs: number): PresenceCommand[] {
  const known = state.live.get(peer)
  return known === undefined || known.disconnectedAtMs === null ? [] : drop(state, peer, 'unreachable', nowMs)
}

function tick(state: PresenceState, nowMs: number): PresenceCommand[] {
  const gapMs = state.tickedAtMs === null ? 0 : nowMs - state.tickedAtMs
  state.tickedAtMs = nowMs
  // We were stopped or asleep: what others sent meanwhile is still in our sockets, so their silence is ours.
  if (gapMs > GAP_MS) for (const peer of state.live.values()) peer.heardAtMs += gapMs
  if (nowMs < state.silentFromMs) return []
  const silent: string[] = []
  state.silentFromMs = nowMs + SILENCE_MS
  for (const [peer, { heardAtMs }] of state.live) {
    if (nowMs - heardAtMs >= SILENCE_MS) silent.push(peer)
    else state.silentFromMs = Math.min(state.silentFromMs, heardAtMs + SILENCE_MS)
  }
  return silent.flatMap(peer => drop(state, peer, 'silent', nowMs))
}

/** A goodbye is the last message of its session, whatever its number. */
function leave(state: PresenceState, peer: string, last: Newest, nowMs: number): PresenceCommand[] {
  const commands = state.live.has(peer) ? drop(state, peer, 'left', nowMs) : []
  remember(state, peer, last, nowMs)
  return commands
}

function drop(state: PresenceState, peer: string, reason: GoneReason, nowMs: number): PresenceCommand[] {
  const { session, seq } = state.live.get(peer)!
  state.live.delete(peer)
  remember(state, peer, { session, seq }, nowMs)
  return [{ type: 'gone', peer, reason }]
}

function newestOfGone({ gone }: PresenceState, peer: string, nowMs: number): Newest | undefined {
  const newest = gone.known.get(peer) ?? gone.strangers.get(peer)
  return newest !== undefined && nowMs - newest.atMs < GONE_MS ? newest : undefined
}

function remember({ gone, isKnown }: PresenceState, peer: string, newest: Newest, atMs: number): void {
  gone.known.delete(peer)
  gone.strangers.delete(peer)
  gone[isKnown(peer) ? 'known' : 'strangers'].set(peer, { ...newest, atMs })
}
