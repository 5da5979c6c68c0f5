// `shoal stop`: asks the daemon to stop and waits until it has.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import { type ControlClient, locateDaemon } from '../../protocols/control/index.ts'
import { action } from '../action.ts'
import { CliError } from '../errors.ts'
import { readIfThere } from '../files.ts'
import { isRunning } from '../is-running.ts'

/** Milliseconds between looks whether it is gone. */
const LOOK_MS = 100
/** Milliseconds that a daemon may take unless --timeout says otherwise: its trainer saves its state first. */
const STOP_LIMIT_MS = 120_000

export function registerStop(program: Command): void {
  program
    .command('stop')
    .description('stop the daemon cleanly and wait until it is gone')
    .action(
      action(async session => {
        const control = await session.control()
        // Its process is known only where it is the one of this home: --api may name another, and that on another machine.
        const here = await locateDaemon(session.home, readIfThere).catch(() => undefined)
        const pid = here !== undefined && originOf(here.api) === originOf(control.api) ? here.pid : null
        await control.shutdown({ signal: session.signal })
        const limit = AbortSignal.any([session.signal, AbortSignal.timeout(session.timeoutMs ?? STOP_LIMIT_MS)])
        while (pid === null ? await answers(control, limit) : await isRunning(pid)) {
          if (session.signal.aborted) session.signal.throwIfAborted()
          // One that stops closes its API first: its log can be read then, and not asked for.
          const [which, where] =
            pid === null ? [`at ${control.api}`, 'shoal logs'] : [`(pid ${pid})`, join(session.home, 'logs', 'daemon.log')]
          if (limit.aborted) throw new CliError('timeout', `the daemon ${which} is still stopping`, { hint: `see: ${where}` })
          await delay(LOOK_MS, undefined, { signal: limit }).catch(() => undefined)
        }
        // Of one elsewhere only that its API is closed can be seen: that comes first.
        session.output.answer({ schema: 1, stopped: true, pid }, () => (pid === null ? 'stopping: its API is closed' : 'stopped'))
      })
    )
}

function originOf(api: string): string {
  return new URL(api).origin.replace('//localhost', '//127.0.0.1')
}

async function answers(control: ControlClient, signal: AbortSignal): Promise<boolean> {
  try {
    await control.live({ signal })
    return true
  } catch (error) {
    return (error as { code?: string }).code !== 'daemon_not_running'
  }
}
