// The wire of sync, dag-cbor frames. Records themselves travel as blocks.
import * as dagCbor from '@ipld/dag-cbor'
import { cidText, DAG_CBOR, parseCid } from '../cids.ts'
import { decodeCbor } from '../decode-cbor.ts'
import { ProtocolError } from '../errors.ts'
import { requireVersion } from '../versions.ts'
import { MAX_CHAIN, MAX_SYNC_BYTES, SYNC_VERSION } from './constants.ts'

/** "What is your newest record of this run?" or "which records of your chain follow, from this round on?" */
export type SyncRequest = { ask: 'head'; run: string } | { ask: 'chain'; run: string; fromRound: number; limit: number }

/** A record and the round it closed; the run id stands for record 0. */
export interface Head {
  head: string
  round: number
}

/** "This is mine", or null: "I am not in that run". */
export type HeadAnswer = Head | null

/** "These follow, oldest first, at most as many as you asked for", or null: "I am not in that run". */
export type ChainAnswer = { records: string[] } | null

export function encodeSyncRequest(request: SyncRequest): Uint8Array {
  return dagCbor.encode({ v: SYNC_VERSION, ...request, run: parseCid(request.run) })
}

/** @throws ProtocolError bad_message | message_too_large | version_mismatch */
export function decodeSyncRequest(bytes: Uint8Array): SyncRequest {
  const message = decodeMap(bytes)
  const run = cidText(message.run, DAG_CBOR)
  if (message.ask === 'head') return { ask: 'head', run }
  if (message.ask !== 'chain') throw wrong('it asks neither for head nor for chain')
  const fromRound = countOf(message.fromRound, 'fromRound', Number.MAX_SAFE_INTEGER)
  return { ask: 'chain', run, fromRound, limit: countOf(message.limit, 'limit', MAX_CHAIN) }
}

export function encodeHeadAnswer(answer: HeadAnswer): Uint8Array {
  return dagCbor.encode({
    v: SYNC_VERSION,
    known: answer !== null,
    ...(answer === null ? {} : { head: parseCid(answer.head), round: answer.round })
  })
}

/** @throws ProtocolError bad_message | message_too_large | version_mismatch */
export function decodeHeadAnswer(bytes: Uint8Array): HeadAnswer {
  const message = decodeMap(bytes)
  if (message.known !== true) return null
  return { head: cidText(message.head, DAG_CBOR), round: countOf(message.round, 'round', Number.MAX_SAFE_INTEGER) }
}

export function encodeChainAnswer(answer: ChainAnswer): Uint8Array {
  return dagCbor.encode({ v: SYNC_VERSION, known: answer !== null, ...(answer === null ? {} : { records: answer.records.map(parseCid) }) })
}

/** @throws ProtocolError bad_message | message_too_large | version_mismatch */
export function decodeChainAnswer(bytes: Uint8Array): ChainAnswer {
  const message = decodeMap(bytes)
  if (message.known !== true) return null
  if (!Array.isArray(message.records) || message.records.length > MAX_CHAIN) throw wrong(`records is not a list of at most ${MAX_CHAIN}`)
  return { records: message.records.map(cid => cidText(cid, DAG_CBOR)) }
}

function decodeMap(bytes: Uint8Array): Record<string, unknown> {
  if (bytes.length > MAX_SYNC_BYTES) {
    throw new ProtocolError(
      'message_too_large',
      `cannot decode a sync message of ${bytes.length} bytes: at most ${MAX_SYNC_BYTES} are allowed`
    )
  }
  const value = decodeCbor('a sync message', bytes)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('it is not a map')
  const message = value as Record<string, unknown>
  requireVersion('a sync message', message.v, SYNC_VERSION)
  return message
}

function countOf(value: unknown, what: string, limit: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > limit)
    throw wrong(`${what} is not a whole number up to ${limit}`)
  return value
}

function wrong(why: string): ProtocolError {
  return new ProtocolError('bad_message', `cannot take a sync message: ${why}`)
}
