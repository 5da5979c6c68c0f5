// What a person pastes to let another node in: `shoal-` and base64url of dag-cbor. It holds a secret, so it belongs in no log and no event.
import * as dagCbor from '@ipld/dag-cbor'
import { cidText, DAG_CBOR, parseCid } from '../cids.ts'
import { INVITATION_PREFIX as PREFIX } from '../control/constants.ts'
import { ProtocolError } from '../errors.ts'
import { decodeMap, ed25519KeyOf } from '../signed-block.ts'
import { versionText } from '../versions.ts'
import { ADMISSION_VERSION, MAX_ADDRESS_LENGTH, MAX_INVITATION_ADDRESSES, MAX_INVITATION_LENGTH, SECRET_BYTES } from './constants.ts'

/** "Ask this peer, at these addresses, for admission to this run, and show it this secret." */
export interface InvitationText {
  run: string
  /** The one inviter who knows the secret. */
  inviter: string
  /** Multiaddrs that end in the inviter's id. */
  addresses: string[]
  secret: Uint8Array
}

/** True for text that claims to be an invitation, whole or not. */
export function isInvitationText(text: string): boolean {
  return text.startsWith(PREFIX)
}

export function encodeInvitation({ run, inviter, addresses, secret }: InvitationText): string {
  const told = addresses.filter(address => address.length <= MAX_ADDRESS_LENGTH).slice(0, MAX_INVITATION_ADDRESSES)
  const bytes = dagCbor.encode({ v: ADMISSION_VERSION, run: parseCid(run), inviter, addresses: told, secret })
  return PREFIX + Buffer.from(bytes).toString('base64url')
}

/** @throws ProtocolError bad_invitation: mistyped, cut off, or of another version. The text is not repeated in the message: it is a secret. */
export function decodeInvitation(text: string): InvitationText {
  try {
    return decode(text.trim())
  } catch (cause) {
    const why = cause instanceof ProtocolError ? cause.message : 'it is not base64url of dag-cbor'
    throw new ProtocolError('bad_invitation', `cannot read the invitation of ${text.length} characters: ${why}`, {
      hint: 'paste it whole, on one line, as `shoal run invite` printed it'
    })
  }
}

function decode(text: string): InvitationText {
  if (!isInvitationText(text) || text.length > MAX_INVITATION_LENGTH || !/^[A-Za-z0-9_-]*$/.test(text))
    throw wrong(`it does not begin with ${PREFIX}`)
  const map = decodeMap('an invitation', Buffer.from(text.slice(PREFIX.length), 'base64url'))
  if (map.v !== ADMISSION_VERSION) throw wrong(`it is of version ${versionText(map.v)}, this node reads ${ADMISSION_VERSION}`)
  const { inviter, addresses, secret } = map
  ed25519KeyOf(inviter)
  if (!Array.isArray(addresses) || addresses.length > MAX_INVITATION_ADDRESSES || !addresses.every(isAddress))
    throw wrong('its addresses are wrong')
  if (!(secret instanceof Uint8Array) || secret.byteLength !== SECRET_BYTES) throw wrong('its secret is wrong')
  return { run: cidText(map.run, DAG_CBOR), inviter: inviter as string, addresses, secret }
}

function isAddress(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_ADDRESS_LENGTH && /^\/[!-~]+$/.test(value)
}

function wrong(why: string): ProtocolError {
  return new ProtocolError('bad_message', why)
}
