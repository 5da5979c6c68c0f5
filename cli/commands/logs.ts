// `shoal logs`: the daemon's own log, from its memory.
import type { Command } from 'commander'
import { action, wasInterrupted } from '../action.ts'
import { wholeNumber } from '../option-values.ts'

export function registerLogs(program: Command): void {
  program
    .command('logs')
    .description("the daemon's log")
    .option('-f, --follow', 'and new lines as they come')
    .option('-n, --tail <lines>', 'so many of the last lines', wholeNumber(0), 100)
    .action(
      action<{ follow?: boolean; tail: number }>(async (session, { follow, tail }) => {
        const { output, signal } = session
        const control = await session.control()
        if (follow !== true) {
          const answer = await control.logs({ tail }, { signal })
          output.answer(answer, () => answer.lines.join('\n'))
          return
        }
        try {
          // The daemon's lines are JSON already: they are the stream's documents as they stand.
          for await (const line of control.followLogs({ tail }, { signal })) process.stdout.write(`${line}\n`)
        } catch (error) {
          if (!wasInterrupted(session, error)) throw error
        }
      })
    )
}
