// The control API's fixed numbers and names, each with its reason.

/** Stands in every document; raised only when a field changes its meaning or goes away, never when one is added. */
export const CONTROL_SCHEMA = 1

/** Where a daemon says who it is and where its API listens: JSON {@link import('./messages.ts').DaemonFile}, under the node's home. */
export const DAEMON_FILE = 'daemon.json'

/** The API's bearer token, another one in each life of the daemon: one line of base64url, mode 0600, under the node's home. */
export const TOKEN_FILE = 'api-token'

/** Milliseconds a client waits for the head of an answer unless told otherwise: a busy two-core machine answers in well under one second. */
export const REQUEST_TIMEOUT_MS = 30_000

/** Bytes of one server-sent event that a client accepts; the server's events are far below 64 KiB. */
export const MAX_EVENT_BYTES = 1 << 20

/** Bytes of one JSON answer that a client accepts. */
export const MAX_ANSWER_BYTES = 64 << 20

/** Milliseconds between the server's heartbeats on an open stream. */
export const HEARTBEAT_MS = 10_000

/** Heartbeats that a reader misses before it gives up: a busy machine delays one, and who waits longer waits for a daemon that hangs. */
export const MISSED_HEARTBEATS = 3

/** Rounds or events that one request answers at most: some MiB of JSON, well under MAX_ANSWER_BYTES. */
export const MAX_ROWS = 10_000

/** Milliseconds that an invitation may be good or a ban may last at most: a year; whatever is longer has no end. */
export const MAX_SPAN_MS = 366 * 24 * 60 * 60_000

/** An invitation's text begins with it, so that a command sees at once that it was given one. */
export const INVITATION_PREFIX = 'shoal-'

/** The moments of a round at which a node can be lost, as `phase` events tell them; a daemon can be made to stay in one, so that it can be killed exactly there. */
export const PHASES = [
  'training',
  'encoding',
  'stored',
  'announced',
  'fetching',
  'closing',
  'published',
  'computing',
  'storing',
  'adopting'
] as const
export type Phase = (typeof PHASES)[number]

/** Kinds of events on a node. */
export const EVENT_TYPES = [
  'phase',
  'round',
  'peer',
  'admission',
  'trust',
  'audit',
  'refused',
  'checkpoint',
  'trainer',
  'health',
  'run'
] as const
export type EventType = (typeof EVENT_TYPES)[number]
