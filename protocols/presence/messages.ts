// The one message of presence, as dag-cbor in a signed gossip message. Whose it is stands in the gossip signature, not here.
import * as dagCbor from '@ipld/dag-cbor'
import { cidText, DAG_CBOR, parseCid } from '../cids.ts'
import { decodeCbor } from '../decode-cbor.ts'
import { ProtocolError } from '../errors.ts'
import { requireVersion } from '../versions.ts'
import { MAX_HOLDING, MAX_PRESENCE_BYTES, MAX_RUNS, MAX_TEXT_LENGTH, PRESENCE_VERSION } from './constants.ts'

/** "I am here, in these runs; this is how far I am." */
export interface Presence {
  /** Number of the sender's process, higher than those of its processes before: who sends its old messages anew is not believed. */
  session: number
  /** Counts the messages of a session, from 1. */
  seq: number
  /** The sender's wall clock, Unix milliseconds. */
  timeMs: number
  /** True in the last message of a session: "I am leaving". */
  leaving: boolean
  version: string
  agent: string
  runs: PresenceRun[]
}

export interface PresenceRun {
  run: string
  /** The newest record adopted, null before any. */
  head: string | null
  round: number
  /** Such as training, waiting, syncing, observing. */
  state: string
  step: number
  /** CIDs of contributions that the peer holds whole and that others should know of. */
  holding: string[]
}

export function encodePresence(presence: Presence): Uint8Array {
  const { session, seq, timeMs, leaving, version, agent, runs } = presence
  const bytes = dagCbor.encode({
    v: PRESENCE_VERSION,
    session,
    seq,
    timeMs: Math.round(timeMs),
    leaving,
    version,
    agent,
    runs: runs.map(({ run, head, round, state, step, holding }) => ({
      run: parseCid(run),
      head: head === null ? null : parseCid(head),
      round,
      state,
      step,
      holding: holding.map(parseCid)
    }))
  })
  if (bytes.length > MAX_PRESENCE_BYTES) {
    throw new ProtocolError(
      'message_too_large',
      `cannot encode presence of ${bytes.length} bytes: at most ${MAX_PRESENCE_BYTES} are allowed`
    )
  }
  return bytes
}

/** Unknown fields are ignored. @throws ProtocolError bad_message | message_too_large | version_mismatch */
export function decodePresence(bytes: Uint8Array): Presence {
  if (bytes.length > MAX_PRESENCE_BYTES) {
    throw new ProtocolError(
      'message_too_large',
      `cannot decode presence of ${bytes.length} bytes: at most ${MAX_PRESENCE_BYTES} are allowed`
    )
  }
  const message = recordOf(decodeCbor('presence', bytes), 'presence')
  requireVersion('presence', message.v, PRESENCE_VERSION)
  if (typeof message.leaving !== 'boolean') throw wrong('leaving is not true or false')
  if (!Array.isArray(message.runs) || message.runs.length > MAX_RUNS) throw wrong(`runs is not a list of at most ${MAX_RUNS}`)
  return {
    session: countOf(message.session, 'session'),
    seq: countOf(message.seq, 'seq'),
    timeMs: countOf(message.timeMs, 'timeMs'),
    leaving: message.leaving,
    version: textOf(message.version, 'version'),
    agent: textOf(message.agent, 'agent'),
    runs: message.runs.map(entry => runOf(recordOf(entry, 'a run')))
  }
}

function runOf(entry: Record<string, unknown>): PresenceRun {
  if (!Array.isArray(entry.holding) || entry.holding.length > MAX_HOLDING) throw wrong(`holding is not a list of at most ${MAX_HOLDING}`)
  return {
    run: cidText(entry.run, DAG_CBOR),
    head: entry.head === null ? null : cidText(entry.head, DAG_CBOR),
    round: countOf(entry.round, 'round'),
    state: textOf(entry.state, 'state'),
    step: countOf(entry.step, 'step'),
    holding: entry.holding.map(cid => cidText(cid, DAG_CBOR))
  }
}

function recordOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(`${what} is not a map`)
  return value as Record<string, unknown>
}

function countOf(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw wrong(`${what} is not a whole number`)
  return value
}

/** Shown to people, so nothing that moves a terminal's cursor. */
function textOf(value: unknown, what: string): string {
  if (typeof value !== 'string' || value.length > MAX_TEXT_LENGTH || !/^[\x20-\x7e]*$/.test(value))
    throw wrong(`${what} is not text of at most ${MAX_TEXT_LENGTH} plain characters`)
  return value
}

function wrong(why: string): ProtocolError {
  return new ProtocolError('bad_message', `cannot take presence: ${why}`)
}
