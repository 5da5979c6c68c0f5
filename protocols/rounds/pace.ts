// When a node contributes, and how far its trainer may run ahead of what the network has answered.
// The trainer's steps are counted from its last snapshot: what it has done since then is what the next contribution will say.

export interface PaceRules {
  /** H: inner steps after which a node contributes. */
  innerSteps: number
  /** Steps that the trainer may take past its snapshot; 0 is synchronous: contribute, then wait for the anchor. */
  maxStepsAhead: number
  deadlineMs: number
}

export interface PaceStart {
  /** Monotonic ms. */
  now: number
  /** Steps since the last snapshot, as restored. */
  steps?: number
  /** The head, and whether we have contributed to it already (before a restart). */
  head?: string
  contributed?: boolean
}

export type PaceEvent =
  | { type: 'tick' }
  /** The trainer has taken this many steps since its last snapshot, all told. */
  | { type: 'steps'; steps: number }
  /** We have a head (again), adopted just now; its round + 1 is open. */
  | { type: 'adopted'; head: string; round: number }
  /** A contribution was signed: the snapshot was taken, and `steps` were taken since. */
  | { type: 'contributed'; head: string; steps: number }
  /** It could not be made; try again no sooner than `retryMs`. */
  | { type: 'contributeFailed'; retryMs: number }
  /** From the decision to contribute until another node said that it holds it. */
  | { type: 'uploaded'; ms: number }
  /** Whether a contribution could be made now: false while there is no head, no disk, or training is paused. */
  | { type: 'ready'; ready: boolean }

export type PaceCommand =
  /** Take a snapshot and contribute it to this round. Answer: `contributed` or `contributeFailed`. */
  | { type: 'contribute'; round: number; head: string }
  /** The trainer may take steps until there are this many since its snapshot. */
  | { type: 'allowSteps'; until: number }
  /** It has got there and waits. */
  | { type: 'wait'; reason: 'at_leash' | 'not_ready' }

export interface PaceState {
  rules: PaceRules
  steps: number
  head: string | null
  round: number
  adoptedAt: number
  contributedTo: string | null
  contributing: boolean
  retryAt: number
  ready: boolean
  uploadMs: number | null
  allowed: number | null
  waiting: string | null
  /** Monotonic ms at which a tick will have something to do. */
  nextAt: number
}

/** Until an upload was measured, this part of the deadline is kept for it. */
const FIRST_UPLOAD_SHARE = 0.25
/** No estimate keeps more than this part of the deadline from training. */
const MOST_UPLOAD_SHARE = 0.75
/** Weight of the newest measurement in the estimate. */
const UPLOAD_SMOOTHING = 0.5

export function createPace(rules: PaceRules, start: PaceStart): PaceState {
  return {
    rules,
    steps: start.steps ?? 0,
    head: start.head ?? null,
    round: 0,
    adoptedAt: start.now,
    contributedTo: start.contributed === true ? (start.head ?? null) : null,
    contributing: false,
    retryAt: 0,
    ready: true,
    uploadMs: null,
    allowed: null,
    waiting: null,
    nextAt: start.now
  }
}

/** Takes one event at monotonic time `now` (ms). The state is changed in place. */
export function advancePace(state: PaceState, event: PaceEvent, now: number): { state: PaceState; commands: PaceCommand[] } {
  take(state, event, now)
  const commands: PaceCommand[] = []
  state.nextAt = Number.POSITIVE_INFINITY
  if (contributesNow(state, now)) {
    state.contributing = true
    commands.push({ type: 'contribute', round: state.round, head: state.head! })
  }
  const until = allowance(state)
  if (until !== state.allowed) commands.push({ type: 'allowSteps', until })
  state.allowed = until
  const waiting = state.steps < until ? null : state.ready && state.head !== null ? 'at_leash' : 'not_ready'
  if (waiting !== null && waiting !== state.waiting) commands.push({ type: 'wait', reason: waiting })
  state.waiting = waiting
  return { state, commands }
}

function take(state: PaceState, event: PaceEvent, now: number): void {
  switch (event.type) {
    case 'tick':
      return
    case 'steps':
      state.steps = event.steps
      return
    case 'adopted':
      state.head = event.head
      state.round = event.round + 1
      state.adoptedAt = now
      return
    case 'contributed':
      state.contributing = false
      state.contributedTo = event.head
      state.steps = event.steps
      return
    case 'contributeFailed':
      state.contributing = false
      state.retryAt = now + event.retryMs
      return
    case 'uploaded':
      state.uploadMs = state.uploadMs === null ? event.ms : state.uploadMs + UPLOAD_SMOOTHING * (event.ms - state.uploadMs)
      return
    case 'ready':
      state.ready = event.ready
      return
    default:
      event satisfies never
  }
}

/** At H steps, or when the rest of the deadline is needed for the upload, whichever is first; never without a step. */
function contributesNow(state: PaceState, now: number): boolean {
  if (!state.ready || state.head === null || state.contributing || state.contributedTo === state.head || state.steps === 0) return false
  if (now < state.retryAt) {
    state.nextAt = state.retryAt
    return false
  }
  const { innerSteps, deadlineMs } = state.rules
  const upload = Math.min(state.uploadMs ?? FIRST_UPLOAD_SHARE * deadlineMs, MOST_UPLOAD_SHARE * deadlineMs)
  const latestAt = state.adoptedAt + deadlineMs - upload
  if (state.steps >= innerSteps || now >= latestAt) return true
  state.nextAt = latestAt
  return false
}

/** While a contribution is still to be made, H steps; when the round has it, the leash. Encoding counts as made: training goes on beside it. */
function allowance(state: PaceState): number {
  const { innerSteps, maxStepsAhead } = state.rules
  const made = state.head !== null && state.contributedTo === state.head
  if (made) return maxStepsAhead
  // The snapshot is about to be taken: steps counted from the last one may go on as far as both allow.
  if (state.contributing) return Math.max(state.steps, maxStepsAhead)
  return Math.max(innerSteps, maxStepsAhead)
}
