// What rounds say by gossip, one topic a run: a byte for the kind, then
//   1 "here is a contribution of mine": the signed block      2 "here is a record of mine": the signed block
//   3 "I hold these contributions whole": CIDs of 36 bytes each
import { CID_BYTES, cidFromBytes, cidToBytes } from '../cids.ts'
import { ProtocolError } from '../errors.ts'
import { MAX_GOSSIP_BYTES } from '../frame-stream.ts'
import { MAX_HOLDING_PER_MESSAGE } from './constants.ts'

export type RoundsMessage = { kind: 'contribution' | 'record'; block: Uint8Array } | { kind: 'holding'; contributions: readonly string[] }

const CONTRIBUTION = 1
const RECORD = 2
const HOLDING = 3

export function encodeRoundsMessage(message: RoundsMessage): Uint8Array {
  const bytes =
    message.kind === 'holding'
      ? encodeHolding(message.contributions)
      : withKind(message.kind === 'record' ? RECORD : CONTRIBUTION, message.block)
  if (bytes.length > MAX_GOSSIP_BYTES) {
    throw new ProtocolError(
      'message_too_large',
      `cannot gossip a ${message.kind} of ${bytes.length} bytes: at most ${MAX_GOSSIP_BYTES} are allowed`
    )
  }
  return bytes
}

/** The signed blocks are not opened here. @throws ProtocolError bad_message | message_too_large */
export function decodeRoundsMessage(bytes: Uint8Array): RoundsMessage {
  if (bytes.length > MAX_GOSSIP_BYTES) {
    throw new ProtocolError(
      'message_too_large',
      `cannot decode a message of ${bytes.length} bytes: at most ${MAX_GOSSIP_BYTES} are allowed`
    )
  }
  const rest = bytes.subarray(1)
  switch (bytes[0]) {
    case CONTRIBUTION:
      return { kind: 'contribution', block: rest }
    case RECORD:
      return { kind: 'record', block: rest }
    case HOLDING:
      return { kind: 'holding', contributions: decodeHolding(rest) }
    default:
      throw new ProtocolError('bad_message', `cannot decode a message of rounds of kind ${bytes[0]}`)
  }
}

function withKind(kind: number, block: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + block.length)
  bytes[0] = kind
  bytes.set(block, 1)
  return bytes
}

function encodeHolding(contributions: readonly string[]): Uint8Array {
  const bytes = new Uint8Array(1 + contributions.length * CID_BYTES)
  bytes[0] = HOLDING
  contributions.forEach((cid, index) => {
    bytes.set(cidToBytes(cid), 1 + index * CID_BYTES)
  })
  return bytes
}

function decodeHolding(bytes: Uint8Array): string[] {
  const count = bytes.length / CID_BYTES
  if (!Number.isInteger(count) || count > MAX_HOLDING_PER_MESSAGE) {
    throw new ProtocolError('bad_message', `cannot decode a list of held contributions of ${bytes.length} bytes`)
  }
  return Array.from({ length: count }, (_, index) => cidFromBytes(bytes.subarray(index * CID_BYTES, (index + 1) * CID_BYTES)))
}
