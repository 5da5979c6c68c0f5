// Names, limits and waits of the question who is behind an identity.

export const whoProtocol = (network: string): string => `/shoal/${network}/who/1`

/** Version field of both messages. */
export const WHO_VERSION = 1
/** Milliseconds one question may take. */
export const WHO_TIMEOUT_MS = 5_000
/** Milliseconds between two rounds of questions to a peer that has several connections with us. */
export const TWINS_INTERVAL_MS = 30_000
/** Milliseconds after which a finding that nobody confirmed is dropped: four rounds of questions. */
export const TWINS_FORGET_MS = 4 * TWINS_INTERVAL_MS
/** Connections of one peer that are asked; two nodes that call each other at once have two. */
export const MAX_CONNECTIONS_ASKED = 4
/** Processes told of for one identity. */
export const MAX_TWINS = 4
/** Identities of which we remember that they live twice. */
export const MAX_IDENTITIES = 64
/** Characters of what a host is called. */
export const MAX_HOST_LENGTH = 64
export const MAX_ADDRESSES = 4
export const MAX_ADDRESS_LENGTH = 256
/** Bytes of a message: MAX_TWINS times all that one may say, with room to spare. */
export const MAX_WHO_BYTES = 8 * 1024
