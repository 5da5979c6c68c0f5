// Which peer a word on the command line means: its whole id, or the end of it as tables show it.
import type { ControlClient } from '../protocols/control/index.ts'
import { CliError } from './errors.ts'

/** Characters from which the end of an id is enough. */
const MIN_TAIL = 4

/** @returns a peer id; a whole one need not be known. @throws CliError `bad_argument` */
export async function thePeer(control: ControlClient, word: string, signal: AbortSignal): Promise<string> {
  if (/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/.test(word)) return word
  const tail = word.replace(/^.*\.\./, '')
  const { peers } = await control.peers({ signal })
  const found = peers.filter(({ peer }) => tail.length >= MIN_TAIL && peer.endsWith(tail))
  const first = found[0]
  if (first !== undefined && found.length === 1) return first.peer
  throw new CliError('bad_argument', found.length > 1 ? `${word} means ${found.length} peers` : `no peer here is called ${word}`, {
    hint: 'give the whole id; see: shoal peers --json'
  })
}
