// Names, limits and waits of presence.

/** Gossip topic; meshes of different names do not see each other. */
export const presenceTopic = (network: string): string => `/shoal/${network}/presence/1`

/** Version field of the message. */
export const PRESENCE_VERSION = 1
/** Milliseconds between two messages of one node. */
export const PRESENCE_INTERVAL_MS = 2_000
/** Milliseconds within which a dead peer is gone everywhere: the stated bound. */
export const PRESENCE_TIMEOUT_MS = 10_000
/** Milliseconds of silence after which a peer is gone; less than the bound by two ticks. Four messages may be lost. */
export const SILENCE_MS = 9_000
/** Milliseconds between looks at who is silent. */
export const TICK_MS = 500
/** Milliseconds between two ticks that mean that we slept ourselves; then nobody else's silence counts for that time. */
export const GAP_MS = 3_000
/** Milliseconds in which a peer whose connection closed must answer a ping. */
export const CHECK_TIMEOUT_MS = 2_000
/** Milliseconds between two messages at least, however often something changes. */
export const MIN_INTERVAL_MS = 100
/** Milliseconds after a new connection before we speak: the other side must have said which topics it listens to. */
export const GREETING_DELAY_MS = 300
/** Milliseconds after our last word before we greet who came: identities cost nothing, and what one newcomer makes each node say goes to all. */
export const GREETING_INTERVAL_MS = 1_000
/** Milliseconds to let the goodbye out before streams close. */
export const GOODBYE_MS = 150
/**
 * Milliseconds for which a peer that is gone is remembered, so that its earlier messages do not bring it back. Not for ever: an identity may go on with a process
 * older than its newest, where that was a copy which was stopped, or on a machine whose clock is behind.
 */
export const GONE_MS = 300_000
/** Peers that are here at once; and of those who are gone, known ones and strangers, as many each of whom the last words are remembered. */
export const MAX_PEERS = 4_096
/** Runs in one message. */
export const MAX_RUNS = 32
/** Runs remembered of one peer besides those that we are in: whoever looks for a run finds its members, and strangers cannot fill our memory with names. */
export const MAX_OTHER_RUNS = 8
/** Contributions that a run's entry may name as held. */
export const MAX_HOLDING = 128
/** The same for all runs of one message together, so that it stays under MAX_PRESENCE_BYTES. */
export const MAX_HOLDING_IN_ALL = 512
/** UTF-16 units of a version, an agent, a run's state. */
export const MAX_TEXT_LENGTH = 64
/** Bytes of a message. */
export const MAX_PRESENCE_BYTES = 48 * 1024
/** Milliseconds by which a clock may differ from the mesh's median before it is worth a warning. */
export const CLOCK_SKEW_MS = 60_000
