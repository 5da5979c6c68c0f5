// The numbers of trust, each with its unit and its reason. They are one node's own: no two nodes need the same.

/** Gossip topic of one run's opinions; meshes of different names do not hear each other. */
export const trustTopic = (network: string, run: string): string => `/shoal/${network}/trust/1/${run}`

/** Version field of opinions. */
export const OPINION_VERSION = 1

/** Letters in an opinion's reason code. */
export const MAX_CODE_LENGTH = 64

/** Points of what no honest program does: signed bytes that are not what they say. Four of them within an hour are a ban. */
export const LIE = 25
/** Points of what a fault explains as well: a model that diverged, a disk that lost something, a restart from an old backup. */
export const FAULT = 10
/** Points of a contribution that made the loss worse by more than an audit's margin: the sample is small, and honest text differs. So they are probation at most. */
export const HARM = 15

/**
 * How much worse, as a part of the loss, a contribution may make this node's text before its audit calls it harmful. One node's steps on its own text may
 * serve another's text a little worse; reversed or random ones at the size that a run allows make it worse by far more, while a model still learns.
 */
export const AUDIT_MARGIN = 0.05

/** Points from which a peer is on probation, and below which it is not any more: one lie is enough, one fault is not. */
export const PROBATION_AT = 20
export const GOOD_BELOW = 10
/** Points from which a peer is banned: four lies, of which those an hour old have faded a little. */
export const BAN_AT = 90

/** Milliseconds in which points halve: a lie is no probation any more after eight hours, a fault a day goes unnoticed. */
export const HALF_LIFE_MS = 6 * 60 * 60_000

/** Milliseconds of a first ban; each further one lasts four times as long, up to a week. Identities cost nothing, so longer ones only hit who was repaired. */
export const BAN_FIRST_MS = 60 * 60_000
export const BAN_FACTOR = 4
export const BAN_MAX_MS = 7 * 24 * 60 * 60_000
/** Points that are left when a ban ends: on probation, and half-way to the next. */
export const POINTS_AFTER_BAN = 50
/** Milliseconds without a ban after which the next is a first one again. */
export const BANS_FORGOTTEN_MS = 30 * 24 * 60 * 60_000

/** Peers whose conduct is remembered: those with the fewest points go first, banned ones last. */
export const MAX_JUDGED = 4_096
/** Of them, peers whom no run's history had accepted: ids cost nothing, so they push out only one another. */
export const MAX_STRANGERS = 1_024
/** The newest offences of a peer that are kept to be told. */
export const MAX_MARKS = 16

/** Milliseconds for which an opinion counts: who still holds it says it again before. */
export const OPINION_VALID_MS = 60 * 60_000
export const OPINION_REPEAT_MS = 20 * 60_000
/** Milliseconds within which another opinion of one author about the same peer is no news: half of when an honest one says it again. */
export const OPINION_NEWS_MS = OPINION_REPEAT_MS / 2
/** Opinions that this node says in OPINION_REPEAT_MS: no more of one author count anywhere, and its heads and records go out of the same purse. */
export const MAX_SAID = 8
/** Rounds that an opinion may be about, back from the head: further back nobody here knows who had been accepted before. */
export const OPINION_ROUNDS = 128
/** Opinions of one author that count at once, peers that others have opinions about, and authors heard about one of them: half of a thousand. */
export const MAX_OPINIONS_PER_AUTHOR = 8
export const MAX_ACCUSED = 256
export const MAX_ACCUSERS = 512
/**
 * Distinct authors whose opinions put a peer on probation here, and keep it there: two at least, and half of those who were accepted in the last rounds. Nobody
 * waits for who is on probation, so with fewer a clique of liars could have all honest members close without one another; of the accepted, fewer than half lie.
 */
export const ACCUSERS_LEAST = 2
export const ACCUSERS_SHARE = 1 / 2
