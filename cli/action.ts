// Runs one command: builds its session, turns Ctrl-C into an aborted signal (the second one forces), and nothing else.
import type { Command } from 'commander'
import { CliError, EXIT } from './errors.ts'
import { createSession, type GlobalFlags, type Session } from './session.ts'

/** A command's work. `args` are its positional arguments, `options` its own and the global ones. */
export type Handler<Options> = (session: Session, options: Options, ...args: string[]) => Promise<void>

/** Wraps a handler for commander's `action()`. Rest arguments (`[file...]`) arrive spread. */
export function action<Options>(handler: Handler<Options>): (...parameters: unknown[]) => Promise<void> {
  return async (...parameters) => {
    const command = parameters.at(-1) as Command
    const args = parameters.slice(0, -2).flat() as string[]
    const options = command.optsWithGlobals<Options & GlobalFlags>()
    const interruption = new AbortController()
    // Exit handlers still run, so that a mesh's processes are not left behind.
    const stop = stopperOf(interruption, () => process.exit(EXIT.failed))
    for (const name of SIGNALS) process.on(name, stop)
    const session = createSession(options, process.env, interruption.signal)
    try {
      await handler(session, options, ...args)
    } catch (error) {
      throw namingEnd(session, error)
    } finally {
      for (const name of SIGNALS) process.off(name, stop)
    }
  }
}

/** Milliseconds within which two signals are one: under npm and npx a Ctrl-C comes from the terminal and from them, some 50 ms apart; a person needs longer. */
const ONE_SIGNAL_MS = 1000

/** The first signal aborts, and what comes after that one calls `force`. */
export function stopperOf(
  interruption: AbortController,
  force: () => void,
  nowMs = () => performance.now()
): (signal: NodeJS.Signals) => void {
  let firstMs: number | undefined
  return signal => {
    firstMs ??= nowMs()
    if (!interruption.signal.aborted) interruption.abort(new CliError('interrupted', `stopped by ${signal}`))
    else if (nowMs() - firstMs >= ONE_SIGNAL_MS) force()
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** What a command throws, in words of its own where --timeout or a signal ended it: each of its waits gives up in another way. */
function namingEnd({ signal, timeoutMs }: Session, error: unknown): unknown {
  if (!signal.aborted) return error
  const { name, code, details } = error as { name?: unknown; code?: unknown; details?: Record<string, unknown> }
  if (name !== 'AbortError' && name !== 'TimeoutError' && code !== 'timeout' && code !== 'aborted') return error
  const known = { ...(details === undefined ? {} : { details }), cause: error }
  const reason = signal.reason as Error
  if (reason.name !== 'TimeoutError') return new CliError('interrupted', reason.message, known)
  // The client names the request that was not answered; a timer has nothing to say.
  const message = code === 'timeout' ? (error as Error).message : `not done within ${(timeoutMs ?? 0) / 1000} s`
  return new CliError('timeout', message, { hint: 'give --timeout a longer time', ...known })
}

/** True for the error of a command that a person ended: for one that follows something, that is its usual end. */
export function wasInterrupted(session: Session, error: unknown): boolean {
  const reason = session.signal.reason as unknown
  return session.signal.aborted && reason instanceof CliError && reason.code === 'interrupted' && !isOtherFailure(error)
}

function isOtherFailure(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code
  return error instanceof CliError && code !== 'interrupted'
}
