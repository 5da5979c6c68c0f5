// What every command gets: the global options as values, where to write, when to stop, and a client for the node's daemon.
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { type ControlClient, connectControl, locateDaemon, readToken } from '../protocols/control/index.ts'
import { CliError } from './errors.ts'
import { readIfThere } from './files.ts'
import { Output } from './output.ts'

/** Global options as commander reads them. */
export interface GlobalFlags {
  home?: string
  api?: string
  json?: boolean
  timeout?: number
  color?: boolean
  quiet?: boolean
  verbose?: boolean
}

export interface Session {
  /** The node's home, absolute. */
  home: string
  /** The API that --api or SHOAL_API names; undefined where it is that of the home's daemon. */
  api: string | undefined
  output: Output
  /** Aborted by Ctrl-C and by --timeout. */
  signal: AbortSignal
  /** What --timeout gave, for commands that plan with it. */
  timeoutMs: number | undefined
  /** A client for the daemon; whether it runs shows at the first request. */
  control(): Promise<ControlClient>
}

/** SHOAL_HOME, else the XDG data folder. */
export function defaultHome(env: NodeJS.ProcessEnv): string {
  if (env.SHOAL_HOME !== undefined && env.SHOAL_HOME !== '') return env.SHOAL_HOME
  const data = env.XDG_DATA_HOME
  return join(data !== undefined && data !== '' ? data : join(homedir(), '.local', 'share'), 'shoal')
}

export function createSession(flags: GlobalFlags, env: NodeJS.ProcessEnv, interrupted: AbortSignal): Session {
  // An empty text would mean the folder that the shell is in: an unset variable in a script is no choice of a home.
  if (flags.home === '') throw new CliError('bad_argument', '--home "" names no folder')
  const home = resolve(flags.home ?? defaultHome(env))
  const api = (flags.api ?? env.SHOAL_API) || undefined
  const signals = [interrupted]
  if (flags.timeout !== undefined) signals.push(AbortSignal.timeout(flags.timeout))
  return {
    home,
    api,
    output: new Output({
      json: flags.json === true,
      verbosity: flags.quiet === true ? -1 : flags.verbose === true ? 1 : 0,
      color: flags.color !== false && env.NO_COLOR === undefined && process.stdout.isTTY === true
    }),
    signal: AbortSignal.any(signals),
    timeoutMs: flags.timeout,
    control: () => openControl(home, api)
  }
}

async function openControl(home: string, api: string | undefined): Promise<ControlClient> {
  if (api === undefined) return connectControl(await locateDaemon(home, readIfThere))
  // "localhost:4180" can be read as a URL, too: its scheme would be localhost.
  if (!URL.canParse(api) || new URL(api).protocol !== 'http:') {
    throw new CliError('bad_argument', `--api "${api}" is not an http URL`, { hint: 'for example http://127.0.0.1:4180' })
  }
  return connectControl({ api, token: await readToken(home, readIfThere) })
}
