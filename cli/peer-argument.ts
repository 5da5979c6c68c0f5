// Which peer a word on the command line means: its whole id, or the end of it as tables show it.
import type { ControlClient } from '../protocols/control/index.ts'
import { CliError } from './errors.ts'

/** Characters from which the end of an id is enough. */
const MIN_TAIL = 4

/** @returns a peer id; a whole one need not be known. @throws CliError `bad_argument` */
export async function thePeer(control: ControlClient, word: string, signal: AbortSignal): Promise<string> {
  if (/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/.test(word)) return word
  const found = await peersEndingIn(control, word.replace(/^.*\.\./, ''), signal)
  if (found.length === 1) return found[0]!
  throw new CliError('bad_argument', found.length > 1 ? `${word} means ${found.length} peers` : `no peer here is called ${word}`, {
    hint: 'give the whole id; see: shoal peers --json'
  })
}

/** Peers that are here whose ids end so. */
export async function peersEndingIn(control: ControlClient, tail: string, signal: AbortSignal): Promise<string[]> {
  if (tail.length < MIN_TAIL) return []
  const { peers } = await control.peers({ signal })
  return peers.map(({ peer }) => peer).filter(peer => peer.endsWith(tail))
}
