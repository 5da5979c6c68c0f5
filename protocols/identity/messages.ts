// The two messages: "who are you? and this is who else I found under your identity", and "this is me".
import * as dagCbor from '@ipld/dag-cbor'
import { decodeCbor } from '../decode-cbor.ts'
import { ProtocolError } from '../errors.ts'
import { requireVersion } from '../versions.ts'
import { MAX_ADDRESS_LENGTH, MAX_ADDRESSES, MAX_HOST_LENGTH, MAX_TWINS, MAX_WHO_BYTES, WHO_VERSION } from './constants.ts'

/** One process behind an identity. */
export interface Who {
  /** Random number of the process. */
  session: number
  /** What its machine is called: not by its name, which a stranger who asks need not know. */
  host: string
  /** Where it listens. */
  addresses: string[]
}

/** @param twins all that were found under the asked one's identity, none where that is only one */
export function encodeQuestion(twins: Who[]): Uint8Array {
  return dagCbor.encode({ v: WHO_VERSION, twins: twins.slice(0, MAX_TWINS).map(bounded) })
}

/** @throws ProtocolError bad_message | message_too_large | version_mismatch */
export function decodeQuestion(bytes: Uint8Array): Who[] {
  const { twins } = decoded(bytes)
  if (!Array.isArray(twins) || twins.length > MAX_TWINS) throw wrong(`twins is not a list of at most ${MAX_TWINS}`)
  return twins.map(whoOf)
}

export function encodeAnswer(who: Who): Uint8Array {
  return dagCbor.encode({ v: WHO_VERSION, ...bounded(who) })
}

/** @throws ProtocolError bad_message | message_too_large | version_mismatch */
export function decodeAnswer(bytes: Uint8Array): Who {
  return whoOf(decoded(bytes))
}

function bounded({ session, host, addresses }: Who): Who {
  const short = addresses.filter(address => address.length <= MAX_ADDRESS_LENGTH).slice(0, MAX_ADDRESSES)
  return { session, host: host.slice(0, MAX_HOST_LENGTH), addresses: short }
}

function decoded(bytes: Uint8Array): Record<string, unknown> {
  if (bytes.length > MAX_WHO_BYTES) {
    throw new ProtocolError('message_too_large', `cannot decode who of ${bytes.length} bytes: at most ${MAX_WHO_BYTES} are allowed`)
  }
  const message = mapOf(decodeCbor('who', bytes))
  requireVersion('who', message.v, WHO_VERSION)
  return message
}

function whoOf(value: unknown): Who {
  const { session, host, addresses } = mapOf(value)
  if (typeof session !== 'number' || !Number.isSafeInteger(session) || session < 0) throw wrong('session is not a whole number')
  if (!Array.isArray(addresses) || addresses.length > MAX_ADDRESSES) throw wrong(`addresses is not a list of at most ${MAX_ADDRESSES}`)
  return { session, host: textOf(host, MAX_HOST_LENGTH), addresses: addresses.map(address => textOf(address, MAX_ADDRESS_LENGTH)) }
}

function mapOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('not a map')
  return value as Record<string, unknown>
}

/** Shown to people, so nothing that moves a terminal's cursor. */
function textOf(value: unknown, lengthMax: number): string {
  if (typeof value !== 'string' || value.length > lengthMax || !/^[\x20-\x7e]*$/.test(value)) {
    throw wrong(`not text of at most ${lengthMax} plain characters`)
  }
  return value
}

function wrong(why: string): ProtocolError {
  return new ProtocolError('bad_message', `cannot take who: ${why}`)
}
