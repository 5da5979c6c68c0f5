// When members count as missing, and what makes a split of it.

/** Milliseconds between two looks. */
export const LOOK_INTERVAL_MS = 5_000
/** Milliseconds between two looks that mean that this node stood still. */
export const GAP_MS = 3 * LOOK_INTERVAL_MS
/** Milliseconds between two questions to the DHT, and two calls to one peer, while somebody is missing. */
export const ASK_INTERVAL_MS = 30_000
/** The same while nobody is missing: it shows those who were never met. */
export const ASK_QUIET_INTERVAL_MS = 5 * 60_000
/** Milliseconds one question to the DHT may take. */
export const ASK_TIMEOUT_MS = 20_000
/** Milliseconds one call may take. */
export const CALL_TIMEOUT_MS = 5_000
/** Peers called in one look. */
export const MAX_CALLS = 8
/** Records whose authors count as members. */
export const RECENT_RECORDS = 8
/** Milliseconds of absence before a member counts as missing: half as much again as presence takes to see that one is gone. */
export const MISSING_MS = 15_000
/** Milliseconds for which the DHT may name somebody who is gone: as long as a provider record lives, until the next sweep of those that ended, a question more, and a minute. */
export const STALE_NAME_MS = 18 * 60_000
/** Milliseconds within which members vanish who vanish for one reason: presence notices each within ten seconds of it. */
export const AT_ONCE_MS = 15_000
/** Milliseconds for which whose work a record has counts as its author, however many records follow: longer than one that is cut off takes to be missed. */
export const AUTHOR_MS = 60_000
/** Milliseconds for which a live peer may stand on a record that is not in our chain: longer than any choice between two records takes. */
export const OTHER_BRANCH_MS = 60_000
/**
 * Milliseconds after which those who were never heard of again are taken for gone, and the alarm ends; so does one of strangers alone, whoever they are. Whom
 * the DHT goes on naming is missed for as long as it answers calls, else for STALE_NAME_MS more.
 */
export const FORGET_MS = 60 * 60_000
/** Peers followed for one run; ids cost nothing. */
export const MAX_FOLLOWED = 1_024
