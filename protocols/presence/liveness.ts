// The rule of who is here: (state, event, now) -> commands. No socket, clock, randomness or waiting. The state is the caller's and is changed.
import { GAP_MS, MAX_PEERS, MAX_RETIRED_SESSIONS, RETIRED_MS, SILENCE_MS } from './constants.ts'

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
  session: number
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

export interface LivePeer {
  session: number
  seq: number
  heardAtMs: number
  /** Null when it was heard since. */
  disconnectedAtMs: number | null
}

export interface PresenceState {
  /** Who is let in where there is room for no more: identities cost nothing, and thousands of them may speak. */
  isKnown: (peer: string) => boolean
  live: Map<string, LivePeer>
  /** Sessions that are over, oldest first. */
  retired: Map<string, { sessions: number[]; atMs: number }>
  tickedAtMs: number | null
  /** Nobody has been silent for long enough before. */
  silentFromMs: number
}

export function createPresenceState(isKnown: PresenceState['isKnown'] = () => false): PresenceState {
  return { isKnown, live: new Map(), retired: new Map(), tickedAtMs: null, silentFromMs: 0 }
}

/** @param nowMs monotonic milliseconds */
export function advancePresence(state: PresenceState, event: PresenceEvent, nowMs: number): PresenceCommand[] {
  switch (event.type) {
    case 'heard':
      return heard(state, event, nowMs)
    case 'disconnected':
      return disconnected(state, event.peer, nowMs)
    case 'unreachable':
      return unreachable(state, event.peer)
    case 'tick':
      return tick(state, nowMs)
    default:
      return event satisfies never
  }
}

function heard(state: PresenceState, { peer, session, seq, leaving }: HeardEvent, nowMs: number): PresenceCommand[] {
  const known = state.live.get(peer)
  if (known?.session === session) {
    if (seq <= known.seq) return []
  } else if (state.retired.get(peer)?.sessions.includes(session)) return []
  if (leaving) {
    retire(state, peer, session, nowMs)
    return known === undefined ? [] : drop(state, peer, 'left')
  }
  const isFull = known === undefined && state.live.size >= MAX_PEERS
  const crowdedOut = isFull ? lastStranger(state, peer) : undefined
  if (isFull && crowdedOut === undefined) return []
  if (known?.session === session) {
    hearAgain(known, seq, nowMs)
    return [{ type: 'take', peer, joined: false }]
  }
  if (known !== undefined) retire(state, peer, known.session, nowMs)
  const room = crowdedOut === undefined ? [] : drop(state, crowdedOut, 'crowded_out')
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
function unreachable(state: PresenceState, peer: string): PresenceCommand[] {
  const known = state.live.get(peer)
  return known === undefined || known.disconnectedAtMs === null ? [] : drop(state, peer, 'unreachable')
}

function tick(state: PresenceState, nowMs: number): PresenceCommand[] {
  const gapMs = state.tickedAtMs === null ? 0 : nowMs - state.tickedAtMs
  state.tickedAtMs = nowMs
  // We were stopped or asleep: what others sent meanwhile is still in our sockets, so their silence is ours.
  if (gapMs > GAP_MS) for (const peer of state.live.values()) peer.heardAtMs += gapMs
  for (const [peer, { atMs }] of state.retired) if (nowMs - atMs > RETIRED_MS) state.retired.delete(peer)
  if (nowMs < state.silentFromMs) return []
  const silent: string[] = []
  state.silentFromMs = nowMs + SILENCE_MS
  for (const [peer, { heardAtMs }] of state.live) {
    if (nowMs - heardAtMs >= SILENCE_MS) silent.push(peer)
    else state.silentFromMs = Math.min(state.silentFromMs, heardAtMs + SILENCE_MS)
  }
  return silent.flatMap(peer => drop(state, peer, 'silent'))
}

function drop(state: PresenceState, peer: string, reason: GoneReason): PresenceCommand[] {
  state.live.delete(peer)
  return [{ type: 'gone', peer, reason }]
}

function retire(state: PresenceState, peer: string, session: number, nowMs: number): void {
  const sessions = [...(state.retired.get(peer)?.sessions ?? []), session].slice(-MAX_RETIRED_SESSIONS)
  // Bounded: the longest known goes first.
  if (!state.retired.has(peer) && state.retired.size >= MAX_PEERS) state.retired.delete(state.retired.keys().next().value!)
  state.retired.set(peer, { sessions, atMs: nowMs })
}
