// The checkpoint that `eval` and `generate` work on: a folder that was named, or a run's newest anchor, exported for the while.
import { rmSync } from 'node:fs'
import { mkdtemp, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CliError } from '../errors.ts'
import { namedRound, shortId } from '../format.ts'
import { namedPath } from '../option-values.ts'
import { theRunWithCheckpoints } from '../run-argument.ts'
import type { Session } from '../session.ts'

export interface CheckpointFlags {
  from?: string
  run?: string
  round?: number
}

/** Calls `work` with a Hugging Face folder; one that was made for it is removed afterwards. */
export async function withCheckpoint<Value>(
  session: Session,
  { from, run: word, round }: CheckpointFlags,
  work: (directory: string) => Promise<Value>
): Promise<Value> {
  if (from !== undefined) {
    const other = word !== undefined ? '--run' : round !== undefined ? '--round' : null
    if (other !== null) throw new CliError('bad_argument', `--from names a folder, ${other} a checkpoint of the daemon: give one of them`)
    const folder = namedPath(from)
    const info = await stat(folder).catch(() => null)
    if (info?.isDirectory() === false) throw new CliError('file_unreadable', `cannot read a checkpoint from ${from}: it is not a folder`)
    return await work(folder)
  }
  const client = await session.control()
  const run = await theRunWithCheckpoints(client, word, session.signal)
  const folder = await mkdtemp(join(tmpdir(), 'shoal-checkpoint-'))
  // At an exit, too: who reads the text may leave early, as `head` does, and a copy of the model would stay.
  const remove = () => rmSync(folder, { recursive: true, force: true })
  process.once('exit', remove)
  try {
    const request = { run, directory: join(folder, 'checkpoint'), ...(round === undefined ? {} : { round }) }
    const { directory, round: taken } = await client.exportCheckpoint(request, { signal: session.signal })
    session.output.note(`checkpoint: ${namedRound(taken)} of run ${shortId(run)}`)
    return await work(directory)
  } finally {
    process.off('exit', remove)
    remove()
  }
}
