// Every number that rounds live by and that a manifest does not set, each with its unit and its reason.

/** Version field of contributions and records; another version is another wire. */
export const MESSAGE_VERSION = 1

/** A round number has room for one round a second over thirty years, and sorts as ten digits. */
export const MAX_ROUND = 999_999_999

/** CIDs in one record: 1,024 of 41 bytes stay under the 64 KiB of a gossip message. */
export const MAX_CONTRIBUTIONS_PER_RECORD = 1_024

/** Letters in a codec's wire name. */
export const MAX_CODEC_NAME_LENGTH = 64

/** k of the round rule when a manifest says nothing: authors accepted in this many records are ranked to close the next. Few enough that the long gone drop out, enough that a bad round or two does not empty the list. */
export const RECENT_ROUNDS = 8

/** Records of this many rounds stay in memory behind the head, so that a split up to this long heals by weight. At 20 s a round that is 85 minutes; longer ones are reported as `fork_too_old`. */
export const FORK_WINDOW_ROUNDS = 256

/** A losing branch whose tip is this many rounds behind the head is forgotten; if it grows after all it is fetched again. */
export const BRANCH_KEEP_ROUNDS = 16

/** Rounds for which every node keeps bodies and anchors when a manifest says nothing. */
export const KEEP_ROUNDS = 8

/** A node that is further behind than this takes an anchor this many records before the newest from others and computes only the rest. The older ones rest on their signers. */
export const RECOMPUTE_ROUNDS = 3

/** Failed computations of one record before its anchor is taken from others: the parent's anchor may be gone from here. */
export const COMPUTE_TRIES = 2

/** Weight of the newest measurement in the estimate of how long an anchor takes to compute. */
export const COMPUTE_SMOOTHING = 0.5

/** Contributions and bodies of a record path that are asked for ahead of the computation. */
export const FETCH_AHEAD_RECORDS = 3

/** Closers whose turn is waited for after the deadline before a node follows a record that closed early and is lighter than what it holds. */
export const CLOSERS_TRIED = 2

/** Live holders that a contribution needs before a closer counts it: two copies in all survive any one death. */
export const HOLDERS_NEEDED = 2

/** Live members that a contribution's holders tell of it, at most: enough to fetch it from several, and that some live on; few enough that what is told of holdings grows with the contributions only, not with the nodes. */
export const HOLDERS_TOLD = 8

/** Holders remembered for one contribution: enough to fetch from several at once, so few that hundreds of members cost nothing. */
export const MAX_HOLDERS = 16

/** Open contributions of one author for one parent record, beside what records list. An honest author that crashed may have signed two; whoever shows each half another one gains nothing by it. */
export const MAX_PER_AUTHOR_AND_PARENT = 2

/** Open contributions in all: twice what fits into a record, and few enough that looking through them at each event costs nothing. */
export const MAX_OPEN_CONTRIBUTIONS = 2_048

/** Contributions to records that we do not have: kept for the moment when the record arrives a little late. */
export const MAX_STRAY_CONTRIBUTIONS = 1_024

/** Rounds that a contribution may be ahead of our head and still be remembered. */
export const MAX_ROUNDS_AHEAD = 8

/** Contributions that had no place here, so that they are not looked at each time that somebody shows them. */
export const MAX_PASSED_OVER = 1_024

/** CIDs that others hold and we have not seen: asked for, and forgotten when nobody answers. */
export const MAX_UNKNOWN_CONTRIBUTIONS = 1_024

/** Records of one closer for one parent: an honest closer that crashed may sign two. */
export const MAX_RECORDS_PER_CLOSER = 2

/** Records outside our own chain, in all: a newcomer's whole chain must fit. */
export const MAX_RECORDS_OFF_CHAIN = 16_384

/** CIDs listed in records outside our own chain, in all: bounds what the records of a flood can say. */
export const MAX_LISTED_OFF_CHAIN = 262_144

/** Fetch timeouts after which a record whose contributions nobody can show is forgotten, and after which who is not ranked closes a round although somebody who is says that it is further on. */
export const GIVE_UP_FETCHES = 10

/** Records whose parents we do not have. */
export const MAX_ORPHAN_RECORDS = 1_024

/** Peers remembered at once. */
export const MAX_PEERS = 4_096

/** Records whose asking is remembered: live peers have one head each, and orphans one parent. */
export const MAX_RECORDS_ASKED = MAX_PEERS + MAX_ORPHAN_RECORDS

/** Our own contributions are watched this many rounds for a change of fate by a fork. */
export const FATE_ROUNDS = 8

/** Our own contributions that are watched: a fork has us make another for the same round, and forks may be many. */
export const MAX_WATCHED = 32

/** Rounds whose ranks are remembered: the open one and the one before it, in a few runs. */
export const REMEMBERED_RANK_ROUNDS = 8
/** Ranks remembered of one round. */
export const MAX_REMEMBERED_RANKS = 4_096

/** Contributions refused by content whose refusal is remembered, so that records that list them are refused too. */
export const MAX_REMEMBERED_REFUSALS = 4_096

/** Gossip topic of one run; meshes of different names do not hear each other. */
export const roundsTopic = (network: string, run: string): string => `/shoal/${network}/rounds/1/${run}`

/** CIDs in one message that says what is held: 18 KiB. Longer lists take several messages. */
export const MAX_HOLDING_PER_MESSAGE = 512
