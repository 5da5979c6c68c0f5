// What the rules are told and what they ask for: plain data, so that a simulation and a daemon drive them alike.
import type { Contribution, RoundRecord } from './messages.ts'
import type { ReasonCode } from './reasons.ts'

/** The part of a manifest that rounds go by. */
export interface RunRules {
  /** CID of the signed manifest; it stands for record 0. */
  run: string
  /** CID of the genesis anchor. */
  genesisAnchor: string
  /** The ids named in the manifest: they are record 0's authors. */
  genesisPeers: string[]
  /** Everybody, exactly these peers, or whoever has one of these inviters' word may author contributions and records. */
  admission: 'open' | string[] | InvitationRules
  /** Distinct contributors that a record needs. */
  quorum: number
  deadlineMs: number
  graceMs: number
  fetchTimeoutMs: number
  maxTokensPerRound: number
  /** Tokens of one inner step. Left out: any number of tokens goes with any number of steps. */
  tokensPerStep?: number
  /** Steps that one contribution may be made of. Left out: any number. */
  maxSteps?: number
  /** k: authors accepted in this many records are ranked to close the next. Default RECENT_ROUNDS. */
  recentRounds?: number
  /** R: rounds for which every node keeps bodies and anchors. Default KEEP_ROUNDS. */
  keepRounds?: number
}

/** Admission by invitation: the peers that record 0 names and the inviters need nobody's word. */
export interface InvitationRules {
  inviters: string[]
  /** How many rounds beyond a contribution's own its grant may reach: a later one is not valid yet. */
  grantRounds: number
}

/** One contribution of a record, as whoever computes the anchor needs it. */
export interface Part {
  cid: string
  /** 0, or 1 when it was made for the round before. */
  age: 0 | 1
  peer: string
  /** Claimed tokens, at most maxTokensPerRound: the weight to sum with. */
  tokens: number
}

export type RoundEvent =
  /** Time passes. Send one at least every second, and at the moment that `viewOf(state).nextAt` names if that is sooner. */
  | { type: 'tick' }
  /** There was a gap in our own timers: answered with `syncHeads`; nothing is closed until `synced`. */
  | { type: 'paused' }
  /** Every reachable peer was asked for its head, and what it said has been told. */
  | { type: 'synced' }
  /** Presence of a peer (or of ourselves: then only `trains` counts). `trains`: its state for this run is training; left out where only the head was asked for. */
  | { type: 'peerLive'; peer: string; head: string; round: number; trains?: boolean }
  | { type: 'peerGone'; peer: string }
  /** What this node makes of a peer, for itself. watched: never waited for. shunned: as if it were not there, and its work is neither fetched ahead nor counted by us; records of others that list it are as valid as ever. */
  | { type: 'standing'; peer: string; standing: 'good' | 'watched' | 'shunned' }
  /** A contribution whose envelope was verified, our own included. */
  | { type: 'contribution'; cid: string; contribution: Contribution }
  /** Its body is whole and checked here. */
  | { type: 'contributionHeld'; cid: string }
  | { type: 'contributionRefused'; cid: string; reason: ReasonCode }
  | { type: 'holding'; peer: string; contributions: readonly string[] }
  /** A record whose envelope was verified, our own included. */
  | { type: 'record'; cid: string; record: RoundRecord }
  /** Its anchor was computed (or fetched, after `fetchAnchor`) and is on disk. */
  | { type: 'recordComputed'; cid: string; anchor: string }
  /** It could not be fetched or computed now. `missing`: its contributions whose bodies are not whole here after all. */
  | { type: 'recordUnavailable'; cid: string; missing?: string[] }
  /** `missing`: contributions of the list whose bodies are not whole here after all; the next try fetches them again or goes without. */
  | { type: 'closeFailed'; round: number; reason: ReasonCode; missing?: string[] }

export type RoundCommand =
  /** Get the envelope if it is unknown (answer: `contribution`); with `body`, get and check the body too (`contributionHeld` or `contributionRefused`). From disk first. */
  | { type: 'fetchContribution'; cid: string; author: string | null; holders: string[]; body: boolean }
  /** Contributions that we hold, and nobody else as far as we know: to be told to all at once. The rest goes with presence: `holdingToTell`. */
  | { type: 'announceHolding'; contributions: readonly string[] }
  /** Get this record from those who announced it, with the ancestors that were not told yet, oldest first. It is told even if it was told before: the rules may have forgotten it. */
  | { type: 'fetchRecord'; cid: string; holders: string[] }
  /** Get the anchor of a record as it is, without computing it: we are too far behind. Answer: `recordComputed` or `recordUnavailable`. */
  | { type: 'fetchAnchor'; cid: string; round: number; anchor: string; holders: string[] }
  /** Compute the anchor, sign and store the record, then tell `record` and `recordComputed`; or `closeFailed`. Do not publish yet. */
  | { type: 'close'; round: number; parent: string; parentAnchor: string; contributions: Part[] }
  /** Compute the anchor of somebody's record. Answer: `recordComputed` or `recordUnavailable`. */
  | { type: 'compute'; cid: string; record: RoundRecord; parentAnchor: string; contributions: Part[] }
  /** Gossip our own record. */
  | { type: 'publish'; cid: string }
  /**
   * The head is now this record. `ancestor` is the newest record that the old head and the new one share (the old head itself when `fork` is false). Fates of own contributions may be told again when a fork changes them.
   */
  | {
      type: 'adopt'
      cid: string
      round: number
      anchor: string
      previous: string
      fork: boolean
      ancestor: { cid: string; round: number }
      contributions: Part[]
      own: { cid: string; fate: Fate }[]
    }
  | { type: 'syncHeads' }
  | { type: 'report'; code: ReasonCode; subject: string; peer?: string; round?: number; detail?: string }

/** included: in a record of our chain. late: its round closed without it; the next may take it. lost: neither; its change goes back into the model. */
export type Fate = 'included' | 'late' | 'lost'
