// A table of mounts of the command's own, and a network where it is to have one, for scenarios that fill disks or part networks: it runs itself again inside.
// Nothing is made outside, so nothing can be left there: what is inside is gone with the last process inside, however that ended.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { CliError, EXIT } from '../../errors.ts'
import type { Scenario } from '../scenario.ts'
import { runTool, unavailable } from './tools.ts'

/** Set for the command inside. */
const INSIDE = 'SHOAL_MESH_ENCLOSED'

export function needsEnclosure({ network, steps }: Pick<Scenario, 'network' | 'steps'>): boolean {
  return network === 'namespaces' || steps.some(step => step.do === 'fillDisk')
}

export function isEnclosed(): boolean {
  return process.env[INSIDE] === '1'
}

/**
 * Runs this very command line again inside, with the same terminal, and ends as it does.
 * @param signal when it is aborted by a person, the command inside is told so as by Ctrl-C; its own time limit it keeps itself.
 * @returns its exit code.
 * @throws CliError `network_unavailable`.
 */
export async function runEnclosed({ network }: Pick<Scenario, 'network'>, { signal }: { signal: AbortSignal }): Promise<number> {
  if (process.platform !== 'linux') throw unavailable('unshare', `namespaces are Linux's, this is ${process.platform}`)
  // Anybody may have them as root of a user namespace of his own, where the system allows those.
  const mapping = process.getuid?.() === 0 ? [] : ['--map-root-user']
  const net = network === 'namespaces' ? ['--net'] : []
  const unshare: [string, ...string[]] = ['unshare', '--mount', '--propagation', 'private', ...net, ...mapping, '--']
  // Before anything is shown: whether it works at all. A Ctrl-C may have come before this, or have ended the tool.
  await runTool([...unshare, 'setpriv', '--pdeathsig', 'KILL', 'true']).finally(() => signal.throwIfAborted())
  const [command, ...args] = [...unshare, 'setpriv', '--pdeathsig', 'KILL', process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  // Detached: a Ctrl-C of the terminal reaches this process alone, and the one inside hears it once, from here.
  const child = spawn(command!, args, { stdio: 'inherit', detached: true, env: { ...process.env, [INSIDE]: '1' } })
  const forward = (): void => {
    if (signal.reason instanceof CliError && signal.reason.code === 'interrupted') child.kill('SIGINT')
  }
  const end = (): boolean => child.kill('SIGKILL')
  signal.addEventListener('abort', forward)
  process.once('exit', end)
  try {
    return await codeOf(child)
  } finally {
    signal.removeEventListener('abort', forward)
    process.off('exit', end)
  }
}

async function codeOf(child: ChildProcess): Promise<number> {
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? EXIT.failed
}
