// Presence: who is here, in which runs, how far. Every node says so by gossip every two seconds, at once when something changed, and when it leaves.
//
// liveness.ts decides who is here (pure): a peer is gone when it said goodbye, when its connection closed and it does not answer a ping, or after nine
// seconds of silence; so a dead peer is gone within PRESENCE_TIMEOUT_MS (10 s) everywhere. clocks.ts decides which clocks are worth a warning.
export { type ClockReport, compareClocks } from './clocks.ts'
export { PRESENCE_INTERVAL_MS, PRESENCE_TIMEOUT_MS } from './constants.ts'
export type { GoneReason } from './liveness.ts'
export type { PresenceRun } from './messages.ts'
export { type PresenceChange, type PresenceComponents, type PresenceOptions, PresenceService, type PresentPeer } from './service.ts'
