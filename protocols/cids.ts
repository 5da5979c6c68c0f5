// Names of bytes: CIDv1 with SHA-256, raw or dag-cbor, as text outside and as 36 bytes on the wire.
import { createHash } from 'node:crypto'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { ProtocolError } from './errors.ts'

/** Multicodec of blocks that are plain bytes. */
export const RAW = 0x55
/** Multicodec of structured blocks. */
export const DAG_CBOR = 0x71
/** Bytes: version, codec, hash name and hash length (one byte each), then 32 of SHA-256. */
export const CID_BYTES = 36

const SHA2_256 = 0x12
const HASH_BYTES = 32

/** The CID of these bytes, as base32 text. */
export function cidOf(bytes: Uint8Array, codec: typeof RAW | typeof DAG_CBOR): string {
  return textOf(CID.createV1(codec, createDigest(SHA2_256, createHash('sha256').update(bytes).digest())))
}

/** @throws ProtocolError bad_message: not a CIDv1 with SHA-256 and one of our two codecs */
export function parseCid(text: string): CID {
  try {
    return checkCid(CID.parse(text))
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    throw new ProtocolError('bad_message', `cannot read "${text.slice(0, 80)}" as a CID`, { cause })
  }
}

/** Checks a CID object that a decoder gave, and gives its text. @throws ProtocolError bad_message */
export function cidText(value: unknown, codec?: typeof RAW | typeof DAG_CBOR): string {
  const cid = CID.asCID(value)
  if (cid === null) throw new ProtocolError('bad_message', 'expected a CID')
  checkCid(cid)
  if (codec !== undefined && cid.code !== codec) throw new ProtocolError('bad_message', `expected a CID of codec ${codec}, got ${cid.code}`)
  return textOf(cid)
}

/** The 36 bytes of a CID. */
export function cidToBytes(text: string): Uint8Array {
  return parseCid(text).bytes
}

/** @throws ProtocolError bad_message */
export function cidFromBytes(bytes: Uint8Array): string {
  try {
    return textOf(checkCid(CID.decode(bytes)))
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    throw new ProtocolError('bad_message', 'cannot decode a CID', { cause })
  }
}

/** In one piece: put together letter by letter it is a tree of 47 strings, 1.6 KB instead of 80 bytes for as long as nobody reads it as a whole. */
function textOf(cid: CID): string {
  return Buffer.from(cid.toString(), 'latin1').toString('latin1')
}

function checkCid(cid: CID): CID {
  const { code, size } = cid.multihash
  if (cid.version !== 1 || (cid.code !== RAW && cid.code !== DAG_CBOR) || code !== SHA2_256 || size !== HASH_BYTES) {
    throw new ProtocolError('bad_message', `cannot take ${cid.toString()}: only CIDv1, raw or dag-cbor, SHA-256`)
  }
  return cid
}
