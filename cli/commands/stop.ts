// `shoal stop`: asks the daemon to stop and waits until it has.
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import { isAlive, locateDaemon } from '../../protocols/control/index.ts'
import { action } from '../action.ts'
import { CliError } from '../errors.ts'
import { readIfThere } from '../files.ts'

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
        const { pid } = await locateDaemon(session.home, readIfThere)
        await (await session.control()).shutdown({ signal: session.signal })
        const limit = AbortSignal.any([session.signal, AbortSignal.timeout(session.timeoutMs ?? STOP_LIMIT_MS)])
        while (isAlive(pid)) {
          if (session.signal.aborted) session.signal.throwIfAborted()
          if (limit.aborted) throw new CliError('timeout', `the daemon (pid ${pid}) is still stopping`, { hint: 'see: shoal logs' })
          await delay(LOOK_MS, undefined, { signal: limit }).catch(() => undefined)
        }
        session.output.answer({ schema: 1, stopped: true, pid }, () => 'stopped')
      })
    )
}
