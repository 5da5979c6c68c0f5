// What the daemon's shell needs from the part that keeps runs, and what it gives that part to work with.
import type {
  CandidateRow,
  CheckpointRow,
  CreateRunRequest,
  ExportCheckpointDocument,
  InvitationRow,
  InviteRequest,
  JoinRunRequest,
  RoundRow,
  RunStatus
} from '../../protocols/control/messages.ts'
import type { Manifest } from '../manifest.ts'

/** What an inviter's operator does. All throw `not_an_inviter` where this node may not, or cannot, invite to the run. */
export interface AdmissionHost {
  /** The text is what the newcomer pastes; it is kept nowhere. */
  invite(run: string, request: InviteRequest): Promise<{ text: string; invitation: InvitationRow }>
  invitations(run: string): Promise<InvitationRow[]>
  /** By id or text. */
  revokeInvitation(run: string, invitation: string): Promise<InvitationRow>
  candidates(run: string): Promise<CandidateRow[]>
  decide(run: string, peer: string, state: 'admitted' | 'refused' | 'revoked'): Promise<CandidateRow>
}

/** Keeps this node's runs: creates, joins, trains, closes rounds. Every method throws an error with a stable code. */
export interface RunHost {
  /** Takes up the runs that were joined when the daemon last stopped; one that fails is tried again for as long as the daemon runs. */
  start(): Promise<void>
  /** Stops trainers and leaves nothing behind that a start would not find. */
  stop(): Promise<void>
  /** Resolves and signs a run's description, stores it and its genesis, and returns the run's id; does not join. */
  create(spec: CreateRunRequest['spec'], options: { baseDir?: string; file?: string; signal?: AbortSignal }): Promise<string>
  /** Joins by id alone: finds members by the DHT where none are known. */
  join(run: string, options: JoinRunRequest & { signal?: AbortSignal }): Promise<void>
  /** Joins as soon as somebody has the run, however long that takes; `list` shows it as joining, with the reason. One that was joined before stays as it is. Rejects with what time does not mend. */
  seek(run: string, options: JoinRunRequest): Promise<void>
  /** Gives up a search for it or a join of it, too, and a run that could not be taken up. Answers how it stands now. */
  leave(run: string): Promise<RunStatus>
  pause(run: string): Promise<void>
  resume(run: string): Promise<void>
  list(): RunStatus[]
  /** `unknown_run` where the node does not know it. */
  inspect(run: string): Promise<{ manifest: Manifest; parameters: number; status: RunStatus }>
  /** Newest first. */
  rounds(run: string, limit: number): Promise<RoundRow[]>
  checkpoints(): Promise<CheckpointRow[]>
  fetchCheckpoint(run: string, round: number | undefined, options: { signal?: AbortSignal }): Promise<CheckpointRow>
  exportCheckpoint(
    run: string,
    round: number | undefined,
    directory: string,
    options: { signal?: AbortSignal }
  ): Promise<Omit<ExportCheckpointDocument, 'schema'>>
  readonly admission: AdmissionHost
  /** Disk space fell below the floor: stop training and storing others' blocks, and say why. */
  pauseForDisk(reason: string): Promise<void>
  /** There is room again. */
  resumeFromDisk(): Promise<void>
  /** Timers stood still for `gapMs` (the process was stopped or the machine slept): sync heads before closing anything. */
  afterClockGap(gapMs: number): void
}
