// Blocks that somebody answers for: dag-cbor { payload, signature }, signed over a domain tag by the Ed25519 peer that the payload itself names.
import * as dagCbor from '@ipld/dag-cbor'
import type { PrivateKey, PublicKey } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import { concat } from 'uint8arrays/concat'
import { equals } from 'uint8arrays/equals'
import { fromString } from 'uint8arrays/from-string'
import { cidOf, DAG_CBOR } from './cids.ts'
import { decodeCbor } from './decode-cbor.ts'
import { ProtocolError } from './errors.ts'

/**
 * What may be signed. The tag keeps a signature for one kind of block from being shown as another's; `signer` is the payload's field that names the peer; `maxBytes` bounds the whole block before anything is decoded.
 * A contribution is a handful of fields; a record is at most 1,024 CIDs of 41 bytes, so that both fit a gossip message under 64 KiB; a manifest travels as a block;
 * a grant travels inside each contribution of its holder.
 */
export const SIGNED_BLOCKS = {
  'shoal/manifest/1': { signer: 'author', maxBytes: 262_144 },
  'shoal/contribution/1': { signer: 'peer', maxBytes: 4_096 },
  'shoal/record/1': { signer: 'closer', maxBytes: 49_152 },
  'shoal/grant/1': { signer: 'inviter', maxBytes: 512 },
  'shoal/opinion/1': { signer: 'peer', maxBytes: 512 }
} as const

export type SignedBlockDomain = keyof typeof SIGNED_BLOCKS

export interface SignedBlock {
  /** Names the block: CIDv1, dag-cbor, SHA-256, base32 text. */
  cid: string
  bytes: Uint8Array
}

export interface OpenedBlock {
  cid: string
  /** The peer that the payload names and that signed it, base58 text. */
  peer: string
  payload: Uint8Array
}

const SIGNATURE_BYTES = 64

/**
 * Signs a dag-cbor payload.
 *
 * @throws {ProtocolError} `bad_message` when the payload names no Ed25519 peer, `wrong_signer` when it names another than the key's, `message_too_large`.
 */
export async function signBlock(domain: SignedBlockDomain, payload: Uint8Array, privateKey: PrivateKey): Promise<SignedBlock> {
  const { peer, key } = signerOf(domain, payload)
  if (!key.equals(privateKey.publicKey)) {
    throw new ProtocolError('wrong_signer', `cannot sign a ${domain} block that names ${peer}: the key is another peer's`, {
      details: { domain, peer }
    })
  }
  const signature = await privateKey.sign(signedBytes(domain, payload))
  const bytes = dagCbor.encode({ payload, signature })
  checkSize(domain, bytes)
  return { cid: cidOf(bytes, DAG_CBOR), bytes }
}

/**
 * Opens a signed block from anywhere: bounds, decodes and verifies it against the peer named inside. Both layers must be in canonical form, so that one content has one CID.
 *
 * @throws {ProtocolError} `message_too_large`, `bad_message` or `bad_signature`.
 */
export async function openBlock(domain: SignedBlockDomain, bytes: Uint8Array): Promise<OpenedBlock> {
  const { payload, signature } = envelopeOf(domain, bytes)
  const { peer, key } = signerOf(domain, payload)
  if (signature.byteLength !== SIGNATURE_BYTES || !(await key.verify(signedBytes(domain, payload), signature))) {
    throw new ProtocolError('bad_signature', `cannot accept a ${domain} block: the signature is not that of ${peer}`, {
      details: { domain, peer }
    })
  }
  return { cid: cidOf(bytes, DAG_CBOR), peer, payload }
}

/**
 * The same without a look at the signature: only for whoever verifies it elsewhere.
 *
 * @throws {ProtocolError} `message_too_large` or `bad_message`.
 */
export function peekBlock(domain: SignedBlockDomain, bytes: Uint8Array): { peer: string; payload: Uint8Array } {
  const { payload } = envelopeOf(domain, bytes)
  return { peer: signerOf(domain, payload).peer, payload }
}

/** Decodes a dag-cbor map and refuses every encoding but the canonical one. */
export function decodeMap(what: string, bytes: Uint8Array): Record<string, unknown> {
  const value = decodeCbor(what, bytes)
  if (!isCanonical(value, bytes))
    throw new ProtocolError('bad_message', `cannot decode ${what}: it is not in canonical form`, { details: { bytes: bytes.byteLength } })
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array || CID.asCID(value) !== null) {
    throw new ProtocolError('bad_message', `cannot decode ${what}: it is not a map`)
  }
  return value as Record<string, unknown>
}

function isCanonical(value: unknown, bytes: Uint8Array): boolean {
  try {
    return equals(dagCbor.encode(value), bytes)
  } catch {
    // Decoded, and yet nothing that dag-cbor would write.
    return false
  }
}

/**
 * The public key inside an Ed25519 peer id, in its one canonical text.
 *
 * @throws {ProtocolError} `bad_message` for anything else.
 */
export function ed25519KeyOf(peer: unknown): PublicKey {
  if (typeof peer === 'string' && peer.length === 52 && peer.startsWith('12D3Koo')) {
    try {
      const id = peerIdFromString(peer)
      if (id.type === 'Ed25519' && id.toString() === peer) return id.publicKey
    } catch {
      // Falls through to the one refusal below.
    }
  }
  const shown = typeof peer === 'string' ? JSON.stringify(peer.slice(0, 64)) : typeof peer
  throw new ProtocolError('bad_message', `cannot read a peer id: ${shown} is not an Ed25519 peer in base58`)
}

function envelopeOf(domain: SignedBlockDomain, bytes: Uint8Array): { payload: Uint8Array; signature: Uint8Array } {
  checkSize(domain, bytes)
  const envelope = decodeMap(domain, bytes)
  const { payload, signature } = envelope
  if (!(payload instanceof Uint8Array) || !(signature instanceof Uint8Array) || Object.keys(envelope).length !== 2) {
    throw new ProtocolError('bad_message', `cannot open a ${domain} block: it is not { payload, signature }`, { details: { domain } })
  }
  return { payload, signature }
}

function signerOf(domain: SignedBlockDomain, payload: Uint8Array): { peer: string; key: PublicKey } {
  const peer = decodeMap(`the payload of a ${domain} block`, payload)[SIGNED_BLOCKS[domain].signer]
  return { key: ed25519KeyOf(peer), peer: peer as string }
}

function signedBytes(domain: SignedBlockDomain, payload: Uint8Array): Uint8Array {
  return concat([fromString(domain), new Uint8Array(1), payload])
}

function checkSize(domain: SignedBlockDomain, bytes: Uint8Array): void {
  const { maxBytes } = SIGNED_BLOCKS[domain]
  if (bytes.byteLength <= maxBytes) return
  throw new ProtocolError(
    'message_too_large',
    `cannot accept a ${domain} block of ${bytes.byteLength} bytes: at most ${maxBytes} are allowed`,
    {
      details: { domain, bytes: bytes.byteLength, maxBytes }
    }
  )
}
