// The wire of rounds: contributions and records, how they become signed blocks, and how bytes from a peer are checked and bounded on the way back.
import * as dagCbor from '@ipld/dag-cbor'
import type { PrivateKey } from '@libp2p/interface'
import { CID } from 'multiformats/cid'
import { openGrant, peekGrant, type SignedGrant } from '../admission/messages.ts'
import { ProtocolError } from '../errors.ts'
import { decodeMap, ed25519KeyOf, openBlock, type SignedBlock, signBlock } from '../signed-block.ts'
import { versionText } from '../versions.ts'
import { MAX_CODEC_NAME_LENGTH, MAX_CONTRIBUTIONS_PER_RECORD, MAX_ROUND, MESSAGE_VERSION } from './constants.ts'

/** "In this round, from this record on, I took these steps; here is where my compressed change lies." */
export interface Contribution {
  /** CID of the signed manifest. */
  run: string
  /** The round it was made for: its parent's round + 1. */
  round: number
  /** CID of the record whose anchor the steps started from; the run id stands for record 0. */
  parent: string
  /** Author, base58. */
  peer: string
  /** Tokens trained on, at least 1. */
  tokens: number
  /** Inner steps, at least 1. */
  steps: number
  /** Mean training loss over those steps, nats a token. */
  loss: number
  /** Wire name of the codec of the body's tensors. */
  codec: string
  /** Euclidean norm of the decoded change. */
  norm: number
  /** CID of the body's index. */
  body: string
  /** An inviter's word that the author may take part, where the run admits by invitation. */
  grant?: SignedGrant
}

/** "These contributions made this anchor out of the parent's." */
export interface RoundRecord {
  run: string
  /** The first record after the genesis is round 1. */
  round: number
  parent: string
  /** CIDs in the order in which they were summed: by author, then by round. */
  contributions: string[]
  /** CID of the anchor's root. */
  anchor: string
  /** The node that closed the round and signs this, base58. */
  closer: string
}

/** Payload bytes of a contribution: dag-cbor, CIDs as links. */
export function encodeContribution(contribution: Contribution): Uint8Array {
  const { run, round, parent, peer, tokens, steps, loss, codec, norm, body, grant } = contribution
  return dagCbor.encode({
    v: MESSAGE_VERSION,
    run: CID.parse(run),
    round,
    parent: CID.parse(parent),
    peer,
    tokens,
    steps,
    loss,
    codec,
    norm,
    body: CID.parse(body),
    ...(grant === undefined ? {} : { grant: grant.bytes })
  })
}

/** The signature of its grant is not looked at. @throws {ProtocolError} `bad_message`, `message_too_large`. Unknown fields are ignored. */
export function decodeContribution(payload: Uint8Array): Contribution {
  const map = decodeMap('a contribution', payload)
  version('a contribution', map)
  return {
    run: link(map, 'run'),
    round: integer(map, 'round', 1, MAX_ROUND),
    parent: link(map, 'parent'),
    peer: peer(map, 'peer'),
    tokens: integer(map, 'tokens', 1, Number.MAX_SAFE_INTEGER),
    steps: integer(map, 'steps', 1, Number.MAX_SAFE_INTEGER),
    loss: finite(map, 'loss'),
    codec: codecName(map),
    norm: notNegative(map, 'norm'),
    body: link(map, 'body'),
    ...(map.grant === undefined ? {} : { grant: grant(map) })
  }
}

/** Payload bytes of a record: dag-cbor, CIDs as links. */
export function encodeRecord(record: RoundRecord): Uint8Array {
  const { run, round, parent, contributions, anchor, closer } = record
  return dagCbor.encode({
    v: MESSAGE_VERSION,
    run: CID.parse(run),
    round,
    parent: CID.parse(parent),
    contributions: contributions.map(cid => CID.parse(cid)),
    anchor: CID.parse(anchor),
    closer
  })
}

/** @throws {ProtocolError} `bad_message`. Unknown fields are ignored. */
export function decodeRecord(payload: Uint8Array): RoundRecord {
  const map = decodeMap('a record', payload)
  version('a record', map)
  const list = map.contributions
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_CONTRIBUTIONS_PER_RECORD) {
    throw bad('contributions', `a list of 1 to ${MAX_CONTRIBUTIONS_PER_RECORD} links`)
  }
  const contributions = list.map(item => linkText('contributions', item))
  if (new Set(contributions).size !== contributions.length) throw bad('contributions', 'a list without repetitions')
  return {
    run: link(map, 'run'),
    round: integer(map, 'round', 1, MAX_ROUND),
    parent: link(map, 'parent'),
    contributions,
    anchor: link(map, 'anchor'),
    closer: peer(map, 'closer')
  }
}

/** Signs as the author named in it. @throws {ProtocolError} `wrong_signer`, `bad_message`. */
export async function signContribution(contribution: Contribution, privateKey: PrivateKey): Promise<SignedBlock> {
  const payload = encodeContribution(contribution)
  decodeContribution(payload)
  return signBlock('shoal/contribution/1', payload, privateKey)
}

/** @throws {ProtocolError} `message_too_large`, `bad_message`, `bad_signature`. */
export async function openContribution(bytes: Uint8Array): Promise<{ cid: string; contribution: Contribution }> {
  const { cid, payload } = await openBlock('shoal/contribution/1', bytes)
  const contribution = decodeContribution(payload)
  if (contribution.grant !== undefined) await openGrant(contribution.grant.bytes)
  return { cid, contribution }
}

/** Signs as the closer named in it. @throws {ProtocolError} `wrong_signer`, `bad_message`. */
export async function signRecord(record: RoundRecord, privateKey: PrivateKey): Promise<SignedBlock> {
  const payload = encodeRecord(record)
  decodeRecord(payload)
  return signBlock('shoal/record/1', payload, privateKey)
}

/** @throws {ProtocolError} `message_too_large`, `bad_message`, `bad_signature`. */
export async function openRecord(bytes: Uint8Array): Promise<{ cid: string; record: RoundRecord }> {
  const { cid, payload } = await openBlock('shoal/record/1', bytes)
  return { cid, record: decodeRecord(payload) }
}

type Fields = { [field: string]: unknown }

function bad(field: string, wanted: string): ProtocolError {
  return new ProtocolError('bad_message', `cannot decode the field "${field}": it must be ${wanted}`, { details: { field } })
}

function version(what: string, map: Fields): void {
  if (map.v === MESSAGE_VERSION) return
  throw new ProtocolError(
    'bad_message',
    `cannot read ${what} of version ${versionText(map.v)}: this node knows version ${MESSAGE_VERSION}`,
    {
      hint: 'one of the two nodes needs an update'
    }
  )
}

function integer(map: Fields, field: string, least: number, most: number): number {
  const value = map[field]
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most)
    throw bad(field, `an integer from ${least} to ${most}`)
  return value
}

function finite(map: Fields, field: string): number {
  const value = map[field]
  if (typeof value !== 'number' || !Number.isFinite(value)) throw bad(field, 'a finite number')
  return value
}

function notNegative(map: Fields, field: string): number {
  const value = finite(map, field)
  if (value < 0) throw bad(field, 'a number of at least 0')
  return value
}

function link(map: Fields, field: string): string {
  return linkText(field, map[field])
}

const RAW = 0x55
const DAG_CBOR = 0x71
const SHA2_256 = 0x12

function linkText(field: string, value: unknown): string {
  const cid = value instanceof CID ? value : null
  if (
    cid === null ||
    cid.version !== 1 ||
    cid.multihash.code !== SHA2_256 ||
    cid.multihash.size !== 32 ||
    (cid.code !== RAW && cid.code !== DAG_CBOR)
  ) {
    throw bad(field, 'a CIDv1 of raw bytes or dag-cbor with SHA-256')
  }
  return cid.toString()
}

function peer(map: Fields, field: string): string {
  const value = map[field]
  ed25519KeyOf(value)
  return value as string
}

function grant(map: Fields): SignedGrant {
  if (!(map.grant instanceof Uint8Array)) throw bad('grant', 'the bytes of a signed grant')
  return peekGrant(map.grant)
}

function codecName(map: Fields): string {
  const value = map.codec
  if (typeof value !== 'string' || value.length > MAX_CODEC_NAME_LENGTH || !/^[a-z0-9][a-z0-9.:/=_-]*$/.test(value)) {
    throw bad('codec', `a name of at most ${MAX_CODEC_NAME_LENGTH} small letters, digits and . : / = _ -`)
  }
  return value
}
