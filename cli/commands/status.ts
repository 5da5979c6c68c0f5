// `shoal status`: the node, its runs, its peers, and what is wrong. `--watch` draws it anew on a terminal and writes changed lines in a pipe.
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import { action, wasInterrupted } from '../action.ts'
import type { Session } from '../session.ts'
import { statusLine, statusText } from '../status-text.ts'

/** Milliseconds between two looks of --watch. */
const WATCH_MS = 1000

export function registerStatus(program: Command): void {
  program
    .command('status')
    .description('the node, its runs, its peers, and what is wrong')
    .option('-w, --watch', 'keep showing it')
    .action(
      action<{ watch?: boolean }>(async (session, options) => {
        if (options.watch === true) return watch(session)
        const status = await (await session.control()).status({ signal: session.signal })
        session.output.answer(status, () => statusText(status))
      })
    )
}

async function watch(session: Session): Promise<void> {
  const { output, signal } = session
  const control = await session.control()
  let before = ''
  try {
    while (!signal.aborted) {
      const status = await control.status({ signal })
      if (output.isTerminal) await output.live(`${statusText(status)}\n`)
      else {
        const line = statusLine(status)
        if (line !== before) output.streamLine(status, () => `${new Date().toISOString()} ${line}`)
        before = line
      }
      await delay(WATCH_MS, undefined, { signal })
    }
  } catch (error) {
    if (!wasInterrupted(session, error)) throw error
  } finally {
    output.liveDone()
  }
}
