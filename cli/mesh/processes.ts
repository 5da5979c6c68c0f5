// Real daemons as child processes: each with a home of its own, free ports and its output in a file. Whoever starts them calls close(), and none is left;
// whoever is killed before it can is missed by the daemons themselves, which stop.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connectControl, isAlive, type LocatedDaemon, locateDaemon } from '../../protocols/control/index.ts'
import { CliError } from '../errors.ts'
import { readIfThere } from '../files.ts'
import { DAEMON_START_LIMIT_MS, POLL_MS, STOP_LIMIT_MS } from './constants.ts'
import type { MeshNode, NodePlace, NodeStarter, ProcessEnd, ProcessSignal, StartOptions } from './mesh-node.ts'

export interface ProcessesOptions {
  /** Folder under which each node gets its home, `node-N`, and its output file, `node-N.log`. */
  folder: string
  /** Name of the mesh, so that two meshes on one machine never mix. */
  network: string
  /** More flags for every daemon. */
  flags?: string[]
  /** They go on when this process ends, however it does. @default false */
  outlive?: boolean
  /** Where a node lives, told its home before it is used. @default on the loopback address */
  placeOf?: (index: number, home: string) => Promise<NodePlace>
  /** Milliseconds between two samples that each daemon takes of its memory; none without. */
  memoryEveryMs?: number
}

/** The script that this process runs, which is what a node runs too. */
const MAIN = join(import.meta.dirname, '..', 'main.js')
const MEMORY_PROBE = join(import.meta.dirname, 'measures', 'memory-probe-process.js')

/** As the `shoal` command starts it (main.ts), which is not on this way: a daemon's objects die young, and larger room for them is never given back (20 MB of 165). */
const NODE_FLAGS = ['--max-semi-space-size=2']

const LOOPBACK: NodePlace = { listen: null, apiPort: null, command: [] }

export class Processes implements NodeStarter {
  readonly #options: ProcessesOptions
  readonly #children = new Set<ChildProcess>()
  /** Listening addresses by index: a node that comes back listens where the others will dial it. */
  readonly #listening = new Map<number, string>()
  /** Process groups: each daemon leads one, in which its trainer is too. */
  readonly #groups = new Set<number>()
  #closed = false

  constructor(options: ProcessesOptions) {
    this.#options = options
  }

  /** Home of a node, whether or not it was started. */
  home(index: number): string {
    return join(this.#options.folder, `node-${index}`)
  }

  /** The file that a node's output goes to, all its lives one after the other. */
  outputFile(index: number): string {
    return join(this.#options.folder, `node-${index}.log`)
  }

  /** What a node's memory probe writes, all its lives one after the other. */
  memoryFile(index: number): string {
    return join(this.#options.folder, `node-${index}.memory`)
  }

  async start(index: number, options: StartOptions): Promise<MeshNode> {
    try {
      return await this.#start(index, options)
    } catch (error) {
      // Somebody may have got its port meanwhile, even as the near end of a connection of their own: then any other will do.
      const again = error instanceof CliError && error.code === 'daemon_exited' && this.#listening.delete(index) && !options.signal.aborted
      if (!again) throw error
      return await this.#start(index, options)
    }
  }

  async #start(index: number, options: StartOptions): Promise<MeshNode> {
    if (this.#closed) throw new CliError('interrupted', `cannot start node ${index}: the mesh is being taken down`)
    const home = this.home(index)
    await mkdir(home, { recursive: true })
    const place = (await this.#options.placeOf?.(index, home)) ?? LOOPBACK
    const child = this.#spawn(index, place, options)
    const ended = this.#end(child, index)
    let gone: ProcessEnd | undefined
    void ended.then(end => {
      gone = end
    })

    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(DAEMON_START_LIMIT_MS)])
    try {
      const daemon = await this.#located(home, child.pid, signal, () => {
        if (gone !== undefined) throw exitedBySelf(index, gone)
      })
      const control = connectControl(daemon)
      const { peer, addresses } = await control.id({ signal })
      const listening = addresses.find(address => address.includes('/tcp/'))?.split('/p2p/')[0]
      if (listening !== undefined) this.#listening.set(index, listening)
      return { index, peer, addresses, control, ended, signal: name => this.#signal(child, name) }
    } catch (error) {
      child.kill('SIGKILL')
      await ended
      if (options.signal.aborted || !signal.aborted) throw error
      throw new CliError('daemon_exited', `cannot start node ${index}: its API did not answer within ${DAEMON_START_LIMIT_MS / 1000} s`, {
        hint: `its output is in ${this.outputFile(index)}`,
        cause: error
      })
    }
  }

  /** Ends every process that this object started: asked first, then killed. Stopped (SIGSTOP) ones are killed at once. */
  async close(options: { gently?: boolean } = {}): Promise<void> {
    this.#closed = true
    const living = [...this.#children]
    await Promise.all(
      living.map(async child => {
        const exit = new Promise<void>(resolve => {
          if (child.exitCode !== null || child.signalCode !== null) resolve()
          else child.once('exit', () => resolve())
        })
        if (options.gently === true) {
          child.kill('SIGTERM')
          const timer = new AbortController()
          await Promise.race([exit, delay(STOP_LIMIT_MS, undefined, { signal: timer.signal }).catch(() => undefined)])
          timer.abort()
        }
        child.kill('SIGKILL')
        await exit
      })
    )
    this.#killGroups()
  }

  /** For an end that leaves no time: no waiting, nothing left behind but files. */
  killAll(): void {
    this.#closed = true
    for (const child of this.#children) child.kill('SIGKILL')
    this.#killGroups()
  }

  /** A daemon's own children should end with it; this is for the one that does not. A group whose number a stranger got since is left alone. */
  #killGroups(): void {
    for (const pid of this.#groups) {
      if (![...this.#children].some(child => child.pid === pid) && isAlive(pid)) continue
      try {
        process.kill(-pid, 'SIGKILL')
      } catch {
        // Nobody is left in it.
      }
    }
    this.#groups.clear()
  }

  #spawn(index: number, place: NodePlace, options: StartOptions): ChildProcess {
    const listen = place.listen ?? this.#listening.get(index) ?? '/ip4/127.0.0.1/tcp/0'
    const flags = ['--home', this.home(index), '--listen', listen, '--no-mdns', '--profile', 'test']
    flags.push('--network', this.#options.network, ...(this.#options.flags ?? []))
    if (place.apiPort !== null) flags.push('--api-port', String(place.apiPort))
    for (const address of options.bootstrap) flags.push('--bootstrap', address)
    const outlive = this.#options.outlive === true
    if (!outlive) flags.push('--stop-with-parent')
    const output = openSync(this.outputFile(index), 'a')
    const env = { ...process.env }
    // What the person who started the mesh has set for a daemon of their own must not reach these.
    for (const name of Object.keys(env)) if (name.startsWith('SHOAL_') && name !== 'SHOAL_LOG_LEVEL') delete env[name]
    if (options.holdPhase !== undefined) env.SHOAL_HOLD_PHASE = options.holdPhase
    // Many daemons are on this machine: glibc would give each thread of each of them a pool of its own (5 MB a daemon).
    env.MALLOC_ARENA_MAX ??= '2'
    const { memoryEveryMs } = this.#options
    if (memoryEveryMs !== undefined) env.SHOAL_MEMORY_PROBE = `${memoryEveryMs}:${this.memoryFile(index)}`
    const probe = memoryEveryMs === undefined ? [] : ['--expose-gc', '--import', MEMORY_PROBE]
    const [command, ...args] = [...place.command, process.execPath, ...NODE_FLAGS, ...probe, MAIN, 'daemon', ...flags]
    try {
      // Detached: a Ctrl-C on the terminal is for the runner alone, which then ends the nodes in its own way.
      // The pipe is never written to: the system closes it when this process is gone, also by SIGKILL.
      const stdin = outlive ? 'ignore' : 'pipe'
      const child = spawn(command!, args, { stdio: [stdin, output, output], env, detached: true })
      this.#children.add(child)
      if (child.pid !== undefined) {
        this.#groups.add(child.pid)
        options.onProcess?.(child.pid)
      }
      return child
    } finally {
      closeSync(output)
    }
  }

  #end(child: ChildProcess, index: number): Promise<ProcessEnd> {
    return new Promise(resolve => {
      const done = (code: number | null, signal: string | null, words?: string): void => {
        this.#children.delete(child)
        void this.#lastWords(index).then(lastWords => resolve({ code, signal, lastWords: words ?? lastWords }))
      }
      child.once('exit', (code, signal) => done(code, signal))
      child.once('error', error => done(null, null, error.message))
    })
  }

  #signal(child: ChildProcess, name: ProcessSignal): void {
    child.kill(name)
  }

  /** The file in its home says that the API listens; the file of an earlier life is told apart by its pid. */
  async #located(home: string, pid: number | undefined, signal: AbortSignal, check: () => void): Promise<LocatedDaemon> {
    for (;;) {
      signal.throwIfAborted()
      check()
      const daemon = await locateDaemon(home, readIfThere).catch(() => undefined)
      if (daemon !== undefined && daemon.pid === pid) return daemon
      await delay(POLL_MS, undefined, { signal })
    }
  }

  async #lastWords(index: number): Promise<string> {
    const text = await readFile(this.outputFile(index), 'utf8').catch(() => '')
    return text.trimEnd().split('\n').slice(-5).join('\n')
  }
}

/** An end that nobody asked for. */
export function exitedBySelf(index: number, end: ProcessEnd): CliError {
  const how = end.signal === null ? `with code ${end.code}` : `by ${end.signal}`
  return new CliError('daemon_exited', `node ${index} ended by itself ${how}: ${end.lastWords.split('\n').at(-1) ?? ''}`, {
    details: { lastWords: end.lastWords }
  })
}
