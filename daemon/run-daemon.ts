// One daemon for the life of a process: settings, start, wait, stop. Signals of the system belong to whoever calls.
import { type ConfigSources, loadConfig } from './config.ts'
import { Daemon, type DaemonReady } from './daemon.ts'
import { DaemonError, isCodedError, reasonOf } from './errors.ts'
import type { Logger, LogOptions } from './logging/log.ts'
import { catchStrayErrors } from './stray-errors.ts'

export interface RunDaemonOptions extends ConfigSources {
  /** Fires to stop cleanly; during the start it gives the start up. */
  signal?: AbortSignal
  /** Called once, when the API answers and the node is ready. */
  onReady?: (ready: DaemonReady) => void
  /** Where log lines for people go. @default process.stderr */
  terminal?: NonNullable<LogOptions['terminal']>
}

/**
 * Runs a node until `signal` fires, the control API asks for its end, or an error that nobody expected. Resolves after a clean stop.
 * Throws what kept it from starting (`config_*`, `home_in_use`, `port_taken`, `identity_damaged`, ...) or `internal`.
 */
export async function runDaemon(options: RunDaemonOptions = {}): Promise<void> {
  const { signal, onReady, env = {}, terminal = process.stderr } = options
  const config = await loadConfig(options)
  let logger: Logger | undefined
  let fatal: unknown
  const failing = new AbortController()
  // Before the start: while it is under way the node speaks with peers already, whose streams may go away.
  const release = catchStrayErrors({
    logger: { warn: (facts, message) => logger?.warn(facts, message), error: (facts, message) => logger?.error(facts, message) },
    onFatal: error => {
      fatal ??= error
      failing.abort(error)
    }
  })
  const ending = AbortSignal.any(signal === undefined ? [failing.signal] : [signal, failing.signal])
  try {
    const daemon = await Daemon.start(config, {
      terminal: { write: (line, done) => terminal.write(line, done), isTTY: terminal.isTTY === true && !env.NO_COLOR },
      signal: ending,
      onLog: opened => {
        logger = opened
      }
    }).catch(error => {
      if (ending.aborted || (isCodedError(error) && error.code === 'stopping')) return undefined
      throw error
    })
    if (daemon !== undefined) await live(daemon, ending, onReady)
  } finally {
    release()
  }
  if (fatal !== undefined) {
    throw new DaemonError('internal', `the daemon stopped at an error that nobody expected: ${reasonOf(fatal)}`, {
      hint: 'its home is whole: start it again; shoal logs says more',
      cause: fatal
    })
  }
}

async function live(daemon: Daemon, ending: AbortSignal, onReady: RunDaemonOptions['onReady']): Promise<void> {
  const stop = () => void daemon.stop(reasonOf(ending.reason))
  ending.addEventListener('abort', stop, { once: true })
  if (ending.aborted) stop()
  try {
    onReady?.(daemon.ready)
    await daemon.stopped
  } finally {
    ending.removeEventListener('abort', stop)
    await daemon.stop('its caller failed')
  }
}
