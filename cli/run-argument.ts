// Which run a word on the command line means: its id, its name, or the end of its id as tables show it.
import type { ControlClient } from '../protocols/control/index.ts'
import { CliError } from './errors.ts'
import { nearestName } from './nearest.ts'

/** @returns a run's id; without a word the only run there is. @throws CliError `unknown_run`, `missing_argument`, `bad_argument`. */
export async function theRun(control: ControlClient, word: string | undefined, signal: AbortSignal): Promise<string> {
  const { runs } = await control.runs({ signal })
  if (word === undefined) {
    const only = runs[0]
    if (only !== undefined && runs.length === 1) return only.run
    if (runs.length === 0) throw new CliError('unknown_run', 'this node is in no run', { hint: 'join one with: shoal run join RUN' })
    throw new CliError('missing_argument', `this node is in ${runs.length} runs`, {
      hint: `say which: ${runs.map(run => run.name).join(', ')}`
    })
  }
  const tail = word.replace(/^\.+/, '')
  const meant = runs.filter(run => run.run === word || run.name === word || (tail.length >= 4 && run.run.endsWith(tail)))
  const first = meant[0]
  if (first !== undefined && meant.length === 1) return first.run
  if (meant.length > 1) throw new CliError('bad_argument', `${word} means ${meant.length} runs`, { hint: 'give the whole id' })
  // A whole id that this node has not joined: the daemon may know it all the same.
  if (/^b[a-z2-7]{50,}$/.test(word)) return word
  const nearest = nearestName(
    word,
    runs.map(run => run.name)
  )
  throw new CliError('unknown_run', `this node is in no run called ${word}`, {
    hint: nearest === undefined ? 'see: shoal run ls' : `did you mean ${nearest}?`
  })
}
