// What becomes of a trainer that ends or falls silent: when it is started again, with which engines, and when that stops making sense.
// Pure: (state, event, now) -> state and commands. The supervisor owns the process and the clock.
import type { Death } from './deaths.ts'

export interface RecoveryRules {
  /** Waits before restarts in ms, by the deaths since the trainer was last well: quick at first, since most are a crash of a driver, then slow, so that a broken machine is not kept busy. */
  restartWaitsMs: readonly number[]
  /** A trainer that was ready for so long is taken for well again, in ms. */
  wellAfterMs: number
  /** Deaths of one engine, with no well trainer between them, after which it is given up. */
  crashesMax: number
  /** From its start to its first step a trainer may be silent for so long, in ms: it reads its text, compiles, and nobody knows yet how long a step takes. */
  firstStepMs: number
  /** Later for so long... */
  silentMs: number
  /** ...or for so many of its slowest recent steps, whichever is more. */
  silentSteps: number
}

export const RECOVERY_RULES: RecoveryRules = {
  restartWaitsMs: [500, 2_000, 10_000, 30_000, 60_000],
  wellAfterMs: 120_000,
  crashesMax: 3,
  firstStepMs: 30 * 60_000,
  // Between two steps it may write its state: 2 GB for GPT-2, twice, on a slow disk.
  silentMs: 5 * 60_000,
  silentSteps: 20
}

/** Steps that are remembered to know how long one may take: about a round's of a slow trainer. */
const STEPS_REMEMBERED = 10
/** The most that one look adds to a silence, in ms: a daemon that was stopped itself has not listened meanwhile. */
export const LOOK_MS_MAX = 2_000

const NO_CRASHES = { engine: null, count: 0 }

/** An engine that was given up, and why. */
export interface GivenUp {
  engine: string
  code: string
  reason: string
  /** How often it died. */
  deaths: number
}

export interface RecoveryState {
  readonly rules: RecoveryRules
  /** stopped: nobody wants a trainer. paused: no engine is left. */
  phase: 'stopped' | 'running' | 'waiting' | 'paused'
  givenUp: GivenUp[]
  /** Deaths since a trainer was last well, for the wait... */
  deaths: number
  /** ...and how many of the newest were of one engine and its fault, for giving it up. */
  crashes: { engine: string | null; count: number }
  readyAt: number | null
  restartAt: number
  /** How long it has been silent though something is expected of it. */
  silentMs: number
  lookedAt: number
  idle: boolean
  stepsMs: number[]
}

export type RecoveryEvent =
  /** A trainer is wanted, with whatever engine works: those given up are tried again. */
  | { type: 'wanted' }
  | { type: 'unwanted' }
  | { type: 'ready' }
  | { type: 'step'; ms: number }
  /** It has nothing to do. */
  | { type: 'idle' }
  /** It said anything else: silence counts from now. */
  | { type: 'heard' }
  /** It was told to do something: silence counts from now where it had nothing to do, and goes on where it has not answered yet. */
  | { type: 'asked' }
  | { type: 'died'; death: Death }
  /** Time passes. */
  | { type: 'tick' }

export type RecoveryCommand =
  | { type: 'start'; without: string[] }
  /** It has been silent for too long. */
  | { type: 'kill'; silentMs: number }
  | { type: 'restartIn'; ms: number }
  | { type: 'givenUp'; engine: GivenUp }
  | { type: 'paused' }

export function createRecovery(rules: RecoveryRules = RECOVERY_RULES): RecoveryState {
  return {
    rules,
    phase: 'stopped',
    givenUp: [],
    deaths: 0,
    crashes: NO_CRASHES,
    readyAt: null,
    restartAt: 0,
    silentMs: 0,
    lookedAt: 0,
    idle: false,
    stepsMs: []
  }
}

/** Takes one event at monotonic time `now` (ms). The state is changed in place. */
export function advanceRecovery(
  state: RecoveryState,
  event: RecoveryEvent,
  now: number
): { state: RecoveryState; commands: RecoveryCommand[] } {
  return { state, commands: take(state, event, now) }
}

function take(state: RecoveryState, event: RecoveryEvent, now: number): RecoveryCommand[] {
  switch (event.type) {
    case 'wanted':
      if (state.phase === 'running' || state.phase === 'waiting') return []
      Object.assign(state, createRecovery(state.rules))
      return start(state, now)
    case 'unwanted':
      state.phase = 'stopped'
      return []
    case 'died':
      return state.phase === 'running' ? died(state, event.death, now) : []
    case 'tick':
      if (state.phase === 'waiting' && now >= state.restartAt) return start(state, now)
      return state.phase === 'running' ? listen(state, now) : []
    case 'ready':
      state.readyAt = now
      break
    case 'step':
      state.stepsMs = [...state.stepsMs, event.ms].slice(-STEPS_REMEMBERED)
      break
    case 'asked':
      // A mesh goes on without a trainer that hangs, and tells it of each round: only its own reports are a sign of life.
      if (state.idle) state.silentMs = 0
      state.idle = false
      return []
    case 'idle':
    case 'heard':
      break
    default:
      event satisfies never
  }
  state.silentMs = 0
  state.idle = event.type === 'idle'
  return []
}

function start(state: RecoveryState, now: number): RecoveryCommand[] {
  Object.assign(state, { phase: 'running', readyAt: null, silentMs: 0, lookedAt: now, idle: false, stepsMs: [] })
  return [{ type: 'start', without: state.givenUp.map(({ engine }) => engine) }]
}

function died(state: RecoveryState, death: Death, now: number): RecoveryCommand[] {
  const { restartWaitsMs, wellAfterMs, crashesMax } = state.rules
  if (state.readyAt !== null && now - state.readyAt >= wellAfterMs) Object.assign(state, { deaths: 0, crashes: NO_CRASHES })
  if (death.blame !== null)
    state.crashes = { engine: death.engine, count: state.crashes.engine === death.engine ? state.crashes.count + 1 : 1 }
  if (death.engine === null && death.code === 'engine_unavailable') {
    state.phase = 'paused'
    return [{ type: 'paused' }]
  }
  const commands: RecoveryCommand[] = []
  const isSpent = death.blame === 'engine_for_good' || (death.blame === 'engine' && state.crashes.count >= crashesMax)
  // One that was used though it was given up gets neither a second entry nor another quick start.
  if (death.engine !== null && isSpent && !state.givenUp.some(({ engine }) => engine === death.engine)) {
    const engine = { engine: death.engine, code: death.code, reason: death.reason, deaths: state.crashes.count }
    state.givenUp.push(engine)
    // The next one deserves a quick start.
    Object.assign(state, { deaths: 0, crashes: NO_CRASHES })
    commands.push({ type: 'givenUp', engine })
  }
  const ms = restartWaitsMs[Math.min(state.deaths, restartWaitsMs.length - 1)]!
  state.deaths++
  state.phase = 'waiting'
  state.restartAt = now + ms
  return [...commands, { type: 'restartIn', ms }]
}

/** Kills what has been silent for too long. Asked again with each tick, should the first signal not do. */
function listen(state: RecoveryState, now: number): RecoveryCommand[] {
  const { rules, stepsMs } = state
  if (!state.idle) state.silentMs += Math.min(now - state.lookedAt, LOOK_MS_MAX)
  state.lookedAt = now
  const allowed = stepsMs.length === 0 ? rules.firstStepMs : Math.max(rules.silentMs, rules.silentSteps * Math.max(...stepsMs))
  return state.silentMs > allowed ? [{ type: 'kill', silentMs: state.silentMs }] : []
}
