// The wire of admission: the grant that a contribution carries, and what a newcomer and an inviter say to each other, dag-cbor frames.
import * as dagCbor from '@ipld/dag-cbor'
import type { PrivateKey } from '@libp2p/interface'
import { cidText, DAG_CBOR, parseCid } from '../cids.ts'
import { ProtocolError } from '../errors.ts'
import { decodeMap, ed25519KeyOf, openBlock, peekBlock, signBlock } from '../signed-block.ts'
import { requireVersion, versionText } from '../versions.ts'
import { ADMISSION_VERSION, MAX_ADMISSION_BYTES, MAX_NAME_LENGTH, SECRET_BYTES } from './constants.ts'

/** "This peer may take part in the run up to this round": said by an inviter whom the manifest names. */
export interface Grant {
  /** CID of the signed manifest. */
  run: string
  /** Whoever may take part, base58. */
  peer: string
  /** Whoever says so and signs it, base58. */
  inviter: string
  /** The last round that a contribution under it may be made for. */
  untilRound: number
}

/** A grant with the signed block that proves it. */
export interface SignedGrant extends Grant {
  bytes: Uint8Array
}

const GRANT = 'shoal/grant/1'
/** As of rounds: ten digits. */
const MAX_ROUND = 999_999_999

/** Payload bytes of a grant: dag-cbor, the run as a link. */
export function encodeGrant({ run, peer, inviter, untilRound }: Grant): Uint8Array {
  return dagCbor.encode({ v: ADMISSION_VERSION, run: parseCid(run), peer, inviter, untilRound })
}

/** @throws ProtocolError bad_message. Unknown fields are ignored. */
export function decodeGrant(payload: Uint8Array): Grant {
  const map = decodeMap('a grant', payload)
  // Not by another code: what is wrong with a grant is wrong with the contribution that carries it, for everybody.
  if (map.v !== ADMISSION_VERSION) throw bad('v', `${ADMISSION_VERSION}, not ${versionText(map.v)}`)
  return {
    run: cidText(map.run, DAG_CBOR),
    peer: peerOf(map.peer),
    inviter: peerOf(map.inviter),
    untilRound: integer(map, 'untilRound', 1, MAX_ROUND)
  }
}

/** Signs as the inviter named in it. @throws ProtocolError wrong_signer | bad_message */
export async function signGrant(grant: Grant, privateKey: PrivateKey): Promise<SignedGrant> {
  const payload = encodeGrant(grant)
  const { bytes } = await signBlock(GRANT, payload, privateKey)
  return { ...decodeGrant(payload), bytes }
}

/** @throws ProtocolError message_too_large | bad_message | bad_signature */
export async function openGrant(bytes: Uint8Array): Promise<SignedGrant> {
  const { payload } = await openBlock(GRANT, bytes)
  return { ...decodeGrant(payload), bytes }
}

/** The same without a look at the signature: for whoever checks that, or has. @throws ProtocolError message_too_large | bad_message */
export function peekGrant(bytes: Uint8Array): SignedGrant {
  return { ...decodeGrant(peekBlock(GRANT, bytes).payload), bytes }
}

/** What a node says to an inviter. */
export type AdmissionRequest =
  /** "May I take part? I was given this secret; I hold this grant." */
  | { say: 'admit'; run: string; name: string | null; secret: Uint8Array | null; grant: Uint8Array | null }
  /** "I have taken back my word for this peer." From one inviter to another. */
  | { say: 'revoked'; run: string; peer: string }

/** What an inviter answers. A code is one of the reasons for which admission is refused. */
export type AdmissionAnswer = { is: 'granted'; grant: Uint8Array } | { is: 'pending' } | { is: 'refused'; code: string } | { is: 'noted' }

export function encodeAdmissionRequest(request: AdmissionRequest): Uint8Array {
  const { say, run } = request
  const rest = request.say === 'admit' ? { name: request.name, secret: request.secret, grant: request.grant } : { peer: request.peer }
  return dagCbor.encode({ v: ADMISSION_VERSION, say, run: parseCid(run), ...rest })
}

/** @throws ProtocolError bad_message | message_too_large | version_mismatch */
export function decodeAdmissionRequest(bytes: Uint8Array): AdmissionRequest {
  const map = boundedMap('a request for admission', bytes)
  const run = cidText(map.run, DAG_CBOR)
  if (map.say === 'revoked') return { say: 'revoked', run, peer: peerOf(map.peer) }
  if (map.say !== 'admit') throw bad('say', 'admit or revoked')
  const secret = bytesOrNull(map, 'secret', SECRET_BYTES)
  if (secret !== null && secret.byteLength !== SECRET_BYTES) throw bad('secret', `${SECRET_BYTES} bytes`)
  return { say: 'admit', run, name: nameOrNull(map.name), secret, grant: bytesOrNull(map, 'grant', MAX_ADMISSION_BYTES) }
}

export function encodeAdmissionAnswer(answer: AdmissionAnswer): Uint8Array {
  return dagCbor.encode({ v: ADMISSION_VERSION, ...answer })
}

/** @throws ProtocolError bad_message | message_too_large | version_mismatch */
export function decodeAdmissionAnswer(bytes: Uint8Array): AdmissionAnswer {
  const map = boundedMap('an answer about admission', bytes)
  switch (map.is) {
    case 'granted': {
      const grant = bytesOrNull(map, 'grant', MAX_ADMISSION_BYTES)
      if (grant === null) throw bad('grant', 'the bytes of a signed grant')
      return { is: 'granted', grant }
    }
    case 'pending':
    case 'noted':
      return { is: map.is }
    case 'refused':
      if (typeof map.code !== 'string' || !/^[a-z][a-z0-9_]{0,63}$/.test(map.code)) throw bad('code', 'a reason code')
      return { is: 'refused', code: map.code }
    default:
      throw bad('is', 'granted, pending, refused or noted')
  }
}

type Fields = Record<string, unknown>

function boundedMap(what: string, bytes: Uint8Array): Fields {
  if (bytes.byteLength > MAX_ADMISSION_BYTES) {
    throw new ProtocolError(
      'message_too_large',
      `cannot decode ${what} of ${bytes.byteLength} bytes: at most ${MAX_ADMISSION_BYTES} are allowed`
    )
  }
  const map = decodeMap(what, bytes)
  requireVersion(what, map.v, ADMISSION_VERSION)
  return map
}

function peerOf(value: unknown): string {
  ed25519KeyOf(value)
  return value as string
}

function integer(map: Fields, field: string, least: number, most: number): number {
  const value = map[field]
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most)
    throw bad(field, `an integer from ${least} to ${most}`)
  return value
}

function bytesOrNull(map: Fields, field: string, most: number): Uint8Array | null {
  const value = map[field]
  if (value === null || value === undefined) return null
  if (!(value instanceof Uint8Array) || value.byteLength === 0 || value.byteLength > most)
    throw bad(field, `at most ${most} bytes, or null`)
  return value
}

/** Shown on an operator's terminal: letters, digits and what stands in host names, so that it can neither steer the terminal nor look like a sentence of ours. */
function nameOrNull(value: unknown): string | null {
  if (value === null || value === undefined) return null
  if (typeof value !== 'string' || value.length > MAX_NAME_LENGTH || !/^[\p{L}\p{N}][\p{L}\p{N} ._@-]*$/u.test(value))
    throw bad('name', `a name of at most ${MAX_NAME_LENGTH} letters, digits, blanks and . _ @ -`)
  return value
}

function bad(field: string, wanted: string): ProtocolError {
  return new ProtocolError('bad_message', `cannot decode the field "${field}": it must be ${wanted}`, { details: { field } })
}
