// The rule of who lives twice: (state, event, now) -> state. No socket, clock or waiting. The state is the caller's and is changed.
import { MAX_IDENTITIES, MAX_TWINS, TWINS_FORGET_MS } from './constants.ts'
import type { Who } from './messages.ts'

export type TwinsEvent =
  /** What the connections of one peer answered, each for itself, at about the same time. */
  | { type: 'answers'; peer: string; whos: Who[] }
  /** A peer says that our identity is found there as well. */
  | { type: 'told'; by: string; whos: Who[] }
  /** Somebody with our identity was met where nobody had to tell it. */
  | { type: 'met'; who: Who }
  | { type: 'tick' }

/** An identity that lives twice. */
export interface Twin {
  peer: string
  whos: Who[]
  /** The peer that says so; null where this node saw it itself. */
  by: string | null
}

export interface TwinsState {
  readonly self: string
  readonly own: Who
  readonly found: Map<string, Twin & { atMs: number }>
}

export function createTwins(self: string, own: Who): TwinsState {
  return { self, own, found: new Map() }
}

/** @param nowMs monotonic milliseconds */
export function advanceTwins(state: TwinsState, event: TwinsEvent, nowMs: number): void {
  switch (event.type) {
    case 'answers': {
      const whos = distinct(event.whos)
      // One that answers alone is one again: the other's connection would have answered as well, had it been there.
      if (whos.length > 1) note(state, { peer: event.peer, whos, by: null }, nowMs)
      else if (whos.length === 1) state.found.delete(event.peer)
      return
    }
    case 'told': {
      const others = distinct(event.whos).filter(({ session }) => session !== state.own.session)
      // Told of two processes, neither of them this one: that was our earlier life.
      const isOurs = event.whos.some(({ session }) => session === state.own.session)
      if (isOurs && others.length > 0) note(state, { peer: state.self, whos: [state.own, ...others], by: event.by }, nowMs)
      return
    }
    case 'met':
      if (event.who.session !== state.own.session) note(state, { peer: state.self, whos: [state.own, event.who], by: null }, nowMs)
      return
    case 'tick':
      for (const [peer, { atMs }] of state.found) if (nowMs - atMs > TWINS_FORGET_MS) state.found.delete(peer)
      return
    default:
      event satisfies never
  }
}

function note(state: TwinsState, twin: Twin, nowMs: number): void {
  // There is always room for our own: identities cost nothing, and one process can answer as two.
  if (state.found.size >= MAX_IDENTITIES && !state.found.has(twin.peer) && twin.peer !== state.self) return
  state.found.set(twin.peer, { ...twin, whos: twin.whos.slice(0, MAX_TWINS), atMs: nowMs })
}

function distinct(whos: readonly Who[]): Who[] {
  return [...new Map(whos.map(who => [who.session, who])).values()]
}
