// The one message of trust, a signed block: small, and worth nothing by itself.
import * as dagCbor from '@ipld/dag-cbor'
import type { PrivateKey } from '@libp2p/interface'
import { cidText, DAG_CBOR, parseCid } from '../cids.ts'
import { ProtocolError } from '../errors.ts'
import { decodeMap, ed25519KeyOf, openBlock, type SignedBlock, signBlock } from '../signed-block.ts'
import { requireVersion } from '../versions.ts'
import { MAX_CODE_LENGTH, OPINION_VERSION } from './constants.ts'

/** "In this round I saw that peer do this." */
export interface Opinion {
  /** CID of the signed manifest. */
  run: string
  /** Whoever says so and signs it, base58. */
  peer: string
  about: string
  round: number
  /** A reason code, such as norm_mismatch. */
  code: string
}

const OPINION = 'shoal/opinion/1'
/** As of rounds: ten digits. */
const MAX_ROUND = 999_999_999

/** Payload bytes: dag-cbor, the run as a link. */
export function encodeOpinion({ run, peer, about, round, code }: Opinion): Uint8Array {
  return dagCbor.encode({ v: OPINION_VERSION, run: parseCid(run), peer, about, round, code })
}

/** @throws ProtocolError bad_message | version_mismatch. Unknown fields are ignored. */
export function decodeOpinion(payload: Uint8Array): Opinion {
  const map = decodeMap('an opinion', payload)
  requireVersion('an opinion', map.v, OPINION_VERSION)
  const { peer, about, round, code } = map
  ed25519KeyOf(peer)
  ed25519KeyOf(about)
  if (typeof round !== 'number' || !Number.isSafeInteger(round) || round < 1 || round > MAX_ROUND) throw bad('round', 'a round')
  if (typeof code !== 'string' || code.length > MAX_CODE_LENGTH || !/^[a-z][a-z0-9_]*$/.test(code)) throw bad('code', 'a reason code')
  return { run: cidText(map.run, DAG_CBOR), peer: peer as string, about: about as string, round, code }
}

/** Signs as the author named in it. @throws ProtocolError wrong_signer | bad_message */
export function signOpinion(opinion: Opinion, privateKey: PrivateKey): Promise<SignedBlock> {
  return signBlock(OPINION, encodeOpinion(opinion), privateKey)
}

/** @throws ProtocolError message_too_large | bad_message | bad_signature | version_mismatch */
export async function openOpinion(bytes: Uint8Array): Promise<Opinion> {
  return decodeOpinion((await openBlock(OPINION, bytes)).payload)
}

function bad(field: string, wanted: string): ProtocolError {
  return new ProtocolError('bad_message', `cannot decode the field "${field}": it must be ${wanted}`, { details: { field } })
}
