// One daemon for the life of a process: settings, start, wait, stop. Signals of the system belong to whoever calls.
import { type ConfigSources, loadConfig } from './config.ts'
import { Daemon, type DaemonReady } from './daemon.ts'
import { DaemonError, reasonOf } from './errors.ts'
import type { LogOptions } from './logging/log.ts'
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
  const { signal, onReady, env = {} } = options
  const config = await loadConfig(options)
  const { terminal = process.stderr } = options
  let daemon: Daemon
  try {
    daemon = await Daemon.start(config, {
      terminal: { write: (line, done) => terminal.write(line, done), isTTY: terminal.isTTY === true && !env.NO_COLOR },
      ...(signal === undefined ? {} : { signal })
    })
  } catch (error) {
    if (signal?.aborted) return
    throw error
  }
  let fatal: unknown
  const release = catchStrayErrors({
    logger: daemon.logger,
    onFatal: error => {
      fatal ??= error
      void daemon.stop('an error that nobody expected')
    }
  })
  const stop = () => void daemon.stop('asked by a signal')
  signal?.addEventListener('abort', stop, { once: true })
  if (signal?.aborted) stop()
  try {
    onReady?.(daemon.ready)
    await daemon.stopped
  } finally {
    signal?.removeEventListener('abort', stop)
    await daemon.stop('its caller failed')
    release()
  }
  if (fatal !== undefined) {
    throw new DaemonError('internal', `the daemon stopped at an error that nobody expected: ${reasonOf(fatal)}`, {
      hint: 'its home is whole: start it again; shoal logs says more',
      cause: fatal
    })
  }
}
