// Which run a word on the command line means: its id, its name, or the end of its id as tables show it.
import { type ControlClient, ControlError } from '../protocols/control/index.ts'
import { CliError } from './errors.ts'
import { nearestName } from './nearest.ts'

/** What tells one run from another on the command line. */
interface Known {
  run: string
  name: string
}

/** @returns the id of a run that this node is in; without a word the only one there is. @throws CliError `unknown_run`, `missing_argument`, `bad_argument`. */
export async function theRun(control: ControlClient, word: string | undefined, signal: AbortSignal): Promise<string> {
  const { runs } = await control.runs({ signal })
  return meant(runs, word, { hint: 'join one with: shoal run join RUN' })
}

/** The same, and where it means none of those a run of which this node has a checkpoint: it may have left it, or fetched one of a run that it was never in. */
export async function theRunWithCheckpoints(control: ControlClient, word: string | undefined, signal: AbortSignal): Promise<string> {
  const [{ runs }, { checkpoints }] = await Promise.all([control.runs({ signal }), control.checkpoints({ signal })])
  const fetched = [...new Set(checkpoints.map(({ run }) => run))].filter(run => !runs.some(row => row.run === run))
  const others = await Promise.all(fetched.map(async run => ({ run, name: await nameOf(control, run, signal) })))
  const isJoined = word === undefined ? runs.length === 1 : runMeant(runs, word) !== undefined
  return meant(isJoined ? runs : [...runs, ...others], word, { hint: 'get one with: shoal checkpoint fetch RUN' })
}

/** A run whose manifest the daemon cannot read is called by its id: one that is damaged is no reason not to find another. */
async function nameOf(control: ControlClient, run: string, signal: AbortSignal): Promise<string> {
  try {
    return (await control.run(run, { signal })).status.name
  } catch (error) {
    if (error instanceof ControlError && error.status !== undefined) return run
    throw error
  }
}

/** The one of these runs that a word means, or none. @throws CliError `bad_argument` where it means several. */
export function runMeant<Run extends Known>(runs: readonly Run[], word: string): Run | undefined {
  const tail = word.replace(/^\.+/, '')
  const found = runs.filter(({ run, name }) => run === word || name === word || (tail.length >= 4 && run.endsWith(tail)))
  if (found.length > 1) throw new CliError('bad_argument', `${word} means ${found.length} runs`, { hint: 'give the whole id' })
  return found[0]
}

function meant(runs: Known[], word: string | undefined, { hint }: { hint: string }): string {
  if (word === undefined) {
    const only = runs[0]
    if (only !== undefined && runs.length === 1) return only.run
    if (runs.length === 0) throw new CliError('unknown_run', 'this node knows no run', { hint })
    throw new CliError('missing_argument', `this node knows ${runs.length} runs`, {
      hint: `say which: ${runs.map(run => run.name).join(', ')}`
    })
  }
  const known = runMeant(runs, word)
  if (known !== undefined) return known.run
  // A whole id that this node has not joined: the daemon may know it all the same.
  if (/^b[a-z2-7]{50,}$/.test(word)) return word
  const nearest = nearestName(
    word,
    runs.map(run => run.name)
  )
  throw new CliError('unknown_run', `this node knows no run called ${word}`, {
    hint: nearest === undefined ? 'name a run of another node by its whole id, b...; see: shoal run ls' : `did you mean ${nearest}?`
  })
}
