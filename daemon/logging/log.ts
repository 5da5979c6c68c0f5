// The daemon's log: pino records to HOME/logs with rotation, one line each to stderr.
import { join } from 'node:path'
import { type Logger, pino } from 'pino'
import { logLine } from './log-line.ts'
import { RotatingFile } from './rotating-file.ts'

export type { Logger } from 'pino'

export interface LogOptions {
  level: string
  maxBytes: number
  files: number
  /** Where lines for people go; undefined for nowhere. Nothing more is written there once `done` was given an error. */
  terminal?: { write(line: string, done: (error?: Error | null) => void): unknown; isTTY?: boolean }
}

export interface Log {
  logger: Logger
  /** HOME/logs/daemon.log */
  path: string
  /** The newest records on disk as pino wrote them (JSON), oldest first. */
  tail(count: number): string[]
  /** Calls `listener` with each new record; the answer stops that. */
  subscribe(listener: (json: string) => void): () => void
  close(): void
}

/** Opens HOME/logs and makes the logger that every component takes a child of: `logger.child({ component: 'sync' })`. */
export function openLog(home: string, options: LogOptions): Log {
  const file = new RotatingFile(join(home, 'logs', 'daemon.log'), options)
  const listeners = new Set<(json: string) => void>()
  let { terminal } = options
  const colour = terminal?.isTTY === true
  const sink = {
    write(line: string) {
      const json = line.trimEnd()
      file.write(line)
      show(`${logLine(json, colour)}\n`)
      for (const listener of listeners) listener(json)
    }
  }
  const logger = pino({ level: options.level, base: undefined, timestamp: () => `,"time":"${new Date().toISOString()}"` }, sink)
  const show = (text: string) => {
    try {
      terminal?.write(text, error => error && lose(error))
    } catch (error) {
      lose(error)
    }
  }
  /** A terminal that failed once, as one whose window was closed, fails for good: a line about that must not be the next that fails. */
  const lose = (error: unknown) => {
    if (terminal === undefined) return
    terminal = undefined
    logger.warn({ err: error }, 'the terminal takes no lines any more: they go to the log file alone')
  }
  return {
    logger,
    path: file.path,
    tail: count => file.tail(count),
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close() {
      listeners.clear()
      file.close()
    }
  }
}
