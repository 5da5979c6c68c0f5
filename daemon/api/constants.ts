// The control API's limits, each with its unit and reason.

/** Only this machine reaches the API. */
export const API_HOST = '127.0.0.1'

/** Bytes of a request's body: a run's description has at most 256 KiB, and JSON may double that. */
export const MAX_BODY_BYTES = 1 << 20

/** Milliseconds in which a whole request must arrive: local clients need one. */
export const REQUEST_TIMEOUT_MS = 15_000

/** Milliseconds in which a request's head must arrive. */
export const HEADERS_TIMEOUT_MS = 10_000

/** Connections at once: more than any set of scripts needs, far fewer than file descriptors. */
export const MAX_CONNECTIONS = 256

/** Streams at once: each costs a timer and a read per event. */
export const MAX_STREAMS = 64

/** Events that `why` answers with, the newest: what people read, not what there is. */
export const MAX_WHY = 200

/** Events read from the log in one go for a stream. */
export const STREAM_PAGE = 500

/** Bytes that may wait for a slow reader of log lines before lines are left out. */
export const MAX_WAITING_BYTES = 1 << 20

/** Milliseconds that open requests get to finish when the daemon stops. */
export const CLOSE_GRACE_MS = 2000
