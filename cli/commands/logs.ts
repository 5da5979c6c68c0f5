// `shoal logs`: the daemon's own log, from its memory.
import type { Command } from 'commander'
import { action, wasInterrupted } from '../action.ts'
import { wholeNumber } from '../option-values.ts'

export function registerLogs(program: Command): void {
  program
    .command('logs')
    .description("the daemon's log; with --json one record a line")
    .option('-f, --follow', 'and new lines as they come')
    .option('-n, --tail <lines>', 'so many of the last lines', wholeNumber(0, 2000), 100)
    .action(
      action<{ follow?: boolean; tail: number }>(async (session, { follow, tail }) => {
        const { output, signal } = session
        const control = await session.control()
        const query = { tail, ...(output.json ? { format: 'json' as const } : {}) }
        if (follow !== true) {
          const { lines } = await control.logs(query, { signal })
          for (const line of lines) output.line(line)
          return
        }
        try {
          for await (const line of control.followLogs(query, { signal })) output.line(line)
        } catch (error) {
          if (!wasInterrupted(session, error)) throw error
        }
      })
    )
}
