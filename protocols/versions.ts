// Versions of what is said on the wire: a number in each message.
import { ProtocolError } from './errors.ts'

/** A version as an error shows it; what is not a number has no text that could be trusted to be one. */
export function versionText(given: unknown): string {
  return typeof given === 'number' ? String(given) : `of type ${typeof given}`
}

/**
 * Refuses a message of a version that this node does not read.
 *
 * @param given what stands in the message's field: anything
 * @throws ProtocolError `version_mismatch` for another version, `bad_message` for what is none
 */
export function requireVersion(what: string, given: unknown, known: number): void {
  if (given === known) return
  if (typeof given !== 'number' || !Number.isSafeInteger(given) || given < 0)
    throw new ProtocolError('bad_message', `cannot read ${what}: its version is not a whole number`)
  throw new ProtocolError('version_mismatch', `cannot read ${what} of version ${given}: this node reads ${known}`, {
    hint: given > known ? 'update this node' : 'update the node that sent it',
    details: { version: given, known }
  })
}
