// Names, limits and waits of sync.

/** Protocol id; meshes of different names do not sync. */
export const syncProtocol = (network: string): string => `/shoal/${network}/sync/1`

/** Version field of the messages. */
export const SYNC_VERSION = 1
/** Record CIDs in one answer: 40 KiB. */
export const MAX_CHAIN = 1_024
/** Bytes of a message. */
export const MAX_SYNC_BYTES = 64 * 1024
/** Milliseconds a peer may take for one answer, dialling included. */
export const ANSWER_TIMEOUT_MS = 5_000
/** Peers asked at once for their heads. */
export const MAX_ASKED = 16
