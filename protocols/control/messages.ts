import type { EventType } from './constants.ts'
// Every JSON document of the control API. Field names are stable, times are RFC 3339 in UTC, sizes are bytes, durations name their unit.
// A reader ignores fields it does not know; `schema` is raised only when a field changes its meaning.

/** What each JSON answer of the API starts with. */
export interface Document {
  schema: 1
}

/** The body of every answer that is not a 2xx. */
export interface ErrorDocument extends Document {
  error: ErrorFacts
}

/** The plain shape of an error, the same for every room: what the CLI prints. */
export interface ErrorFacts {
  code: string
  /** The action that failed, the value, the limit. */
  message: string
  /** The way out. */
  hint?: string
  /** Plain data for machines, such as the list of wrong settings. */
  details?: unknown
}

/** HOME/daemon.json: written when the API listens, removed at a clean stop. */
export interface DaemonFile extends Document {
  pid: number
  /** Base address, such as `http://127.0.0.1:4180`. */
  api: string
  peer: string
  startedAt: string
  version: string
}

/** GET /v1/id */
export interface IdDocument extends Document {
  peer: string
  /** Multiaddrs with this node's peer id. */
  addresses: string[]
  network: string
  home: string
  version: string
  /** The exact line that lets another machine join this mesh. */
  join: string
}

export type RunState = 'joining' | 'syncing' | 'training' | 'waiting' | 'paused' | 'failed' | 'left' | 'observing'

/** How this node stands in one run. */
export interface RunStatus {
  run: string
  name: string
  state: RunState
  /** What the run cannot go on without, such as `waiting for 1 more`. */
  waitingFor: string | null
  /** Which members do not see one another, in a sentence; null while all do. */
  split: string | null
  /** Peers that asked this node to be let in and wait for its operator's word. */
  pending: number
  /** Why the state is what it is, where that needs words. */
  reason: string | null
  /** Round of the adopted head; 0 is the genesis. */
  round: number
  head: string | null
  anchor: string | null
  /** Inner steps taken by this node. */
  step: number
  /** Mean training loss of the last steps, nats a token. */
  loss: number | null
  /** Tokens trained on by this node. */
  tokens: number
  tokensPerSecond: number | null
  engine: string | null
  /** Why it computes with that one, such as by how much it is faster than the others here. */
  engineReason: string | null
  /** Peer ids of live members, this node among them. */
  members: string[]
  /** What this node's contributions weighed in the newest rounds; null before the first round. */
  share: ContributionShare | null
  /** The newest round whose record took a contribution of this node. */
  lastAccepted: { round: number; tokens: number; at: string | null } | null
  lastContribution: { round: number; cid: string; result: ContributionResult; taken: TakenContribution | null } | null
  trainer: TrainerStatus
}

/** Accepted tokens, this node's and everybody's, over the newest adopted rounds. */
export interface ContributionShare {
  rounds: number
  ownTokens: number
  allTokens: number
  /** From 0 to 1; null where nothing was accepted at all. */
  share: number | null
}

/** How its trainer process fares. */
export interface TrainerStatus {
  /** Of its process, null while there is none. */
  pid: number | null
  /** Since the daemon started. */
  restarts: number
  /** Why it ended last: `engine_crashed`, `engine_out_of_memory`, `engine_hung`, `engine_failed`, or the code of another error. */
  code: string | null
  reason: string | null
  /** Engines that are not used any more, in that order, until the run is resumed or the daemon started again. */
  givenUp: { engine: string; code: string; reason: string; deaths: number }[]
}

/** What the record that took a contribution has of it. */
export interface TakenContribution {
  /** At most a full round's. */
  tokens: number
  /** Rounds that it came late. */
  age: number
  /** What its change was multiplied by where it was larger by far than others'. */
  scale?: number
}

export type ContributionResult = 'pending' | 'included' | 'late' | 'lost' | 'refused'

export interface PeerRow {
  peer: string
  addresses: string[]
  direction: 'inbound' | 'outbound' | null
  rttMs: number | null
  /** Milliseconds since it last spoke; null until it has. */
  lastSeenMs: number | null
  /** How this node learnt of the peer; `address` was given by hand. */
  foundBy: 'bootstrap' | 'mdns' | 'dht' | 'address' | 'remembered' | 'inbound' | null
  /** It has spoken, is only connected, or is not here and listed for its standing. */
  state: 'present' | 'connected' | 'away'
  /** What this node makes of it. */
  standing: Standing
  runs: { run: string; round: number; state: string }[]
  agent: string | null
}

export type Standing = 'good' | 'probation' | 'banned'

/** What this node makes of one peer, and why. */
export interface StandingRow {
  peer: string
  standing: Standing
  /** A reason code, or the operator's words. */
  reason: string | null
  byOperator: boolean
  /** Of a ban; null: for ever, or none. */
  until: string | null
  /** They fade; probation begins at 20, a ban at 90. */
  points: number
  /** Bans by this node itself within the last month. */
  bans: number
  /** Oldest first. */
  offences: { ts: string; code: string; points: number; subject: string | null }[]
  /** What long-accepted authors say of it. */
  opinions: { author: string; run: string; round: number; code: string }[]
}

/** POST /v1/peers/ban */
export interface BanRequest {
  peer: string
  /** Milliseconds; left out: for ever. */
  forMs?: number
  reason?: string
}
/** The answer of ban and unban (POST /v1/peers/unban with a peer). */
export interface StandingDocument extends Document {
  standing: StandingRow
}

export type HealthLevel = 'ok' | 'warn' | 'fail'

export interface HealthRow {
  level: HealthLevel
  code: string
  message: string
  /** What to do about it, one sentence or command. */
  fix: string | null
}

/** Payload bytes since the daemon started. */
export interface TrafficRow {
  sent: number
  received: number
  /** All bytes that passed sockets: headers, encryption and libp2p's own words too. */
  wire: { sent: number; received: number }
  /** Bytes a second that are sent at most; null where there is no cap. */
  maxUpload: number | null
}

export type NodeState = 'starting' | 'ready' | 'stopping'

/** GET /v1/status */
export interface StatusDocument extends Document {
  node: { peer: string; upSeconds: number; version: string; network: string; state: NodeState }
  runs: RunStatus[]
  peers: PeerRow[]
  traffic: TrafficRow
  health: HealthRow[]
}

/** GET /v1/peers */
export interface PeersDocument extends Document {
  peers: PeerRow[]
}

/** POST /v1/peers/connect */
export interface ConnectDocument extends Document {
  peer: string
}

/** GET /v1/runs */
export interface RunsDocument extends Document {
  runs: RunStatus[]
}

/** GET /v1/runs/:run; the manifest is the resolved one, as plain data. */
export interface RunDocument extends Document {
  run: string
  /** Trainable numbers of its model. */
  parameters: number
  manifest: Record<string, unknown>
  status: RunStatus
}

/** POST /v1/runs and POST /v1/runs/validate */
export interface CreateRunRequest {
  /** A run's description: its YAML or JSON text (then errors name their line), or the parsed value. */
  spec: unknown
  /** Absolute folder from which relative paths in the description are read; only where the description names files. */
  baseDir?: string
  /** The name that errors use for the description. */
  file?: string
}
export interface CreateRunDocument extends Document {
  run: string
}
export interface ValidateRunDocument extends Document {
  /** The description with every default filled in. */
  spec: Record<string, unknown>
  warnings: string[]
}

/** POST /v1/runs/:run/join */
export interface JoinRunRequest {
  /** Absolute paths of corpora, or `sotu:ERA`, for a run whose data is private. */
  data?: string[]
  /** False: follow rounds and hold anchors, train nothing. */
  train?: boolean
  engine?: string
  threads?: number
  /** Of others' contributions this node looks at so many for itself, 0 to 1. @default the daemon's setting */
  audit?: number
  /** The text of an invitation to this run. */
  invitation?: string
  /** What the inviter's operator is shown of this node. */
  name?: string
}
/** POST /v1/runs/join: by an invitation alone. */
export interface JoinByInvitationRequest extends JoinRunRequest {
  invitation: string
}
/** The answer of join, leave, pause and resume. */
export interface RunActionDocument extends Document {
  status: RunStatus
}

/** POST /v1/runs/:run/invitations */
export interface InviteRequest {
  /** Milliseconds from now; null: it never expires. @default seven days */
  expiresMs?: number | null
  /** Peers that may come in by it. @default 1 */
  uses?: number
  /** The only peer that may. */
  peer?: string
}
/** An invitation that this node handed out. Its secret is not kept. */
export interface InvitationRow {
  id: string
  createdAt: string
  expiresAt: string | null
  uses: number
  usedBy: string[]
  peer: string | null
  state: 'open' | 'used_up' | 'expired' | 'revoked'
}
export interface InviteDocument extends Document {
  run: string
  /** What the newcomer pastes. It holds a secret and is shown only here. */
  text: string
  invitation: InvitationRow
}
/** GET /v1/runs/:run/invitations, oldest first. */
export interface InvitationsDocument extends Document {
  run: string
  invitations: InvitationRow[]
}

/** Who asked this node for admission, and what was said. */
export interface CandidateRow {
  peer: string
  state: 'pending' | 'admitted' | 'refused' | 'revoked'
  since: string
  askedAt: string
  address: string | null
  /** What it calls itself. */
  name: string | null
  /** An invitation's id, or another inviter; null: this node's operator. */
  by: string | null
}
/** GET /v1/runs/:run/candidates */
export interface CandidatesDocument extends Document {
  run: string
  candidates: CandidateRow[]
}
/** POST /v1/runs/:run/candidates: the operator's word about a peer. */
export interface DecideRequest {
  peer: string
  state: 'admitted' | 'refused' | 'revoked'
}
export interface CandidateDocument extends Document {
  run: string
  candidate: CandidateRow
}
/** POST /v1/runs/:run/invitations/revoke */
export interface InvitationDocument extends Document {
  run: string
  invitation: InvitationRow
}

/** One adopted round. */
export interface RoundRow {
  round: number
  record: string
  anchor: string
  closer: string
  contributors: { peer: string; tokens: number; loss: number; age: number }[]
  /** From the parent's adoption to this record's, on this node. */
  seconds: number | null
  /** Payload bytes of the contributions' bodies. */
  bytes: number
  adoptedAt: string | null
  /** Median of the losses that the contributors say they had, weighted by tokens. */
  loss: number | null
}

/** GET /v1/runs/:run/rounds?limit=N, newest first. */
export interface RoundsDocument extends Document {
  run: string
  rounds: RoundRow[]
}

/** One thing that happened on this node. */
export interface NodeEvent {
  /** Rises by one for each event, across restarts. */
  id: number
  /** RFC 3339, UTC. */
  ts: string
  type: EventType
  run?: string
  round?: number
  peer?: string
  /** A stable reason or kind, such as `norm_too_large`. */
  code?: string
  /** One plain sentence. */
  message: string
  data?: Record<string, unknown>
}

/** GET /v1/why?subject=PEER|ROUND|CID */
export interface WhyDocument extends Document {
  subject: string
  /** What a reason code says, where the subject is one of a round's; else null. */
  meaning: string | null
  /** Where the subject is a peer's whole id. */
  standing?: StandingRow
  /** The newest that are about it, oldest first. */
  events: NodeEvent[]
  /** Older ones that are about it, too, and not among these. */
  leftOut: number
}

/** GET /v1/events?since=ID|TIME&limit=N&type=TYPE without `Accept: text/event-stream`. */
export interface EventsDocument extends Document {
  events: NodeEvent[]
  /** Id of the newest event of any type when they were looked up, 0 when there was none: where a reader goes on who was given all, from there or from the last event here. */
  last: number
}

export interface CheckpointRow {
  run: string
  round: number
  record: string
  anchor: string
  bytes: number
}

/** GET /v1/checkpoints */
export interface CheckpointsDocument extends Document {
  checkpoints: CheckpointRow[]
}

/** POST /v1/checkpoints/fetch */
export interface FetchCheckpointRequest {
  run: string
  round?: number
}
export interface FetchCheckpointDocument extends Document {
  checkpoint: CheckpointRow
}

/** POST /v1/checkpoints/export */
export interface ExportCheckpointRequest {
  run: string
  round?: number
  /** Absolute; made if missing. */
  directory: string
}
export interface ExportCheckpointDocument extends Document {
  directory: string
  run: string
  round: number
  anchor: string
  files: string[]
}

/** GET /v1/logs?tail=N; `follow=1` streams the same lines as server-sent events. */
export interface LogsDocument extends Document {
  lines: string[]
}

/** One setting and where its value came from. */
export interface SettingRow {
  key: string
  value: unknown
  from: 'flag' | 'env' | 'file' | 'profile' | 'default'
  default: unknown
  /** What the setting is for and why the default is what it is. */
  reason: string
  /** The environment variable that sets it. */
  env: string
  /** The daemon's flag that sets it, if there is one. */
  flag: string | null
}

/** GET /v1/config */
export interface ConfigDocument extends Document {
  home: string
  /** The file that was read, null when there was none. */
  file: string | null
  settings: SettingRow[]
}

/** POST /v1/shutdown */
export interface ShutdownDocument extends Document {
  stopping: true
}

/** GET /livez and /readyz; the second is 503 while a check fails. */
export interface ReadyDocument extends Document {
  ready: boolean
  /** Checks that fail, by name. */
  failed: string[]
}
