// Names, limits and waits of admission, each with its unit and its reason.

/** Protocol id; meshes of different names do not admit each other's nodes. */
export const admissionProtocol = (network: string): string => `/shoal/${network}/admission/1`

/** Version field of grants, requests, answers and invitations. */
export const ADMISSION_VERSION = 1

/** Bytes of a request or an answer: a grant has about 330, the rest a few dozen. */
export const MAX_ADMISSION_BYTES = 2_048

/** Streams that one peer may have open: it asks for a run at a time, of which it is in a few. */
export const STREAMS_PER_PEER = 8

/** Bytes of the secret in an invitation: nobody guesses 128 bits. */
export const SECRET_BYTES = 16

/** Characters of the name that a node may give itself when it asks. */
export const MAX_NAME_LENGTH = 64

/** Addresses of the inviter in an invitation, and bytes of each: a machine has a few interfaces, and the text is to be pasted. */
export const MAX_INVITATION_ADDRESSES = 4
export const MAX_ADDRESS_LENGTH = 256

/** Characters of an invitation's text: four addresses of the largest size. */
export const MAX_INVITATION_LENGTH = 2_048

/** Rounds that a grant may reach into the future when a manifest says nothing: what a peer whose admission was revoked may stay at most. At 20 s a round that is 85 minutes. */
export const GRANT_ROUNDS = 256

/** An inviter signs for a quarter less than that, so that the grant is valid, too, where its holder is a few rounds behind or goes back to another branch. */
export const GRANT_SLACK = 0.25

/** The part of `grantRounds` that is left when a grant is renewed: any inviter that lives within that many rounds will do. */
export const RENEW_AT = 0.5

/** Milliseconds that an inviter may take to answer, dialling included. */
export const ANSWER_TIMEOUT_MS = 10_000

/** Inviters asked at once: each strangers' request is a line on an operator's screen. */
export const MAX_INVITERS_ASKED = 8

/** Inviters that a manifest may name. */
export const MAX_INVITERS = 64

/** Strangers that wait for an operator's word, in all and from one address: a crowd of new identities from one machine leaves room for others. */
export const MAX_PENDING = 64
export const MAX_PENDING_PER_ADDRESS = 8

/**
 * Milliseconds after which a stranger that does not ask any more makes room for another: who waits asks every 5 s, and a machine that restarts or loses its
 * network is back within minutes. One that was forgotten, also because this inviter itself was away, asks again and waits as before.
 */
export const PENDING_KEEP_MS = 10 * 60_000

/** Milliseconds between two writes of when a waiting stranger asked last. */
export const PENDING_NOTE_MS = 60_000

/** Requests of one peer for one run that are answered in so many ms: who tries a few invitations by hand stays far below. */
export const MAX_ASKS = 10
export const ASK_WINDOW_MS = 10_000

/** Peers remembered for when they asked last. */
export const MAX_ASKERS = 1_024

/** Invitations of one run that can still be used, and those that cannot and are kept to say why. */
export const MAX_INVITATIONS = 256
export const MAX_SPENT_INVITATIONS = 256

/** Uses of one invitation. */
export const MAX_USES = 1_000

/** Peers of one run whose admission an inviter keeps: as many as a manifest may list. */
export const MAX_ADMITTED = 4_096

/** Revocations by other inviters of peers that were never let in here; the oldest goes. Their authors may know each other's peers, but fill no place of ours. */
export const MAX_HEARSAY = 1_024
