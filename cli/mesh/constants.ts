// The mesh runner's times, each with its reason.

/** Milliseconds between looks at something that gives no event: short beside a daemon's start, long beside a look's cost. */
export const POLL_MS = 50

/** Milliseconds between reads of each node's status, for the live table and as a net below the event streams. */
export const STATUS_POLL_MS = 1000

/** Milliseconds in which a daemon's API must answer: a cold start takes 2 s of a processor, and a dozen at once on a busy machine share it with all else. */
export const DAEMON_START_LIMIT_MS = 180_000

/** Milliseconds that a daemon gets to stop cleanly before it is killed. */
export const STOP_LIMIT_MS = 10_000

/** Milliseconds without a change of any head after which the mesh counts as settled: longer than a close that was already under way. */
export const SETTLE_QUIET_MS = 1500

/** Milliseconds between two tries of a request that the mesh is not ready for, such as joining a run nobody is known to have. */
export const RETRY_MS = 300

/** Milliseconds for one read of a status: a daemon that needs longer is looked at again at the next turn. */
export const STATUS_LIMIT_MS = 5000
