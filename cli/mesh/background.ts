// A mesh that stays: `mesh up` starts it under the home, `mesh ls`, `mesh kill` and `mesh down` find it there again.
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connectControl, locateDaemon } from '../../protocols/control/index.ts'
import { CliError } from '../errors.ts'
import { readIfThere } from '../files.ts'
import { formatLoss, formatTable, shortId } from '../format.ts'
import { isRunning } from '../is-running.ts'
import type { Session } from '../session.ts'
import { peersHere } from '../status-text.ts'
import { POLL_MS, RETRY_MS, STOP_LIMIT_MS } from './constants.ts'
import { shardOf } from './demo.ts'
import type { MeshNode } from './mesh-node.ts'
import { Processes } from './processes.ts'
import { loadSpec } from './spec.ts'

interface MeshFile {
  schema: 1
  network: string
  /** `peer` is null until the node has said who it is. */
  nodes: { index: number; home: string; pid: number; peer: string | null }[]
  run: string | null
}

const folderOf = (session: Session): string => join(session.home, 'mesh')
const fileOf = (session: Session): string => join(folderOf(session), 'mesh.json')

/** Starts `nodes` daemons that outlive this command; with `run` they all join it. */
export async function meshUp(session: Session, flags: { nodes: number; run?: string; threads: number }): Promise<void> {
  const { output, signal } = session
  const folder = folderOf(session)
  if (existsSync(fileOf(session))) {
    throw new CliError('already_exists', `there is a mesh in ${folder}`, { hint: 'take it down first: shoal mesh down' })
  }
  await mkdir(folder, { recursive: true, mode: 0o700 })
  // Those that `down --keep` left: they belong to another mesh, and a failure below would take them along.
  if ((await readdir(folder)).length > 0) {
    throw new CliError('already_exists', `there are homes of an earlier mesh in ${folder}`, { hint: 'move them away, or remove them' })
  }
  const network = `up-${process.pid.toString(36)}-${Date.now().toString(36)}`
  const processes = new Processes({ folder, network, flags: ['--threads', String(flags.threads)], outlive: true })
  const file: MeshFile = { schema: 1, network, nodes: [], run: null }
  const exit = (): void => processes.killAll()
  process.once('exit', exit)
  // Whoever is killed while this runs leaves daemons behind: each is in the file from the moment that there is a process.
  const note = (index: number, facts: { pid: number } | { peer: string }): void => {
    const home = processes.home(index)
    const before = file.nodes.find(node => node.index === index) ?? { index, home, pid: 0, peer: null }
    file.nodes = [...file.nodes.filter(node => node.index !== index), { ...before, ...facts }].sort((a, b) => a.index - b.index)
    writeMesh(session, file)
  }
  const start = async (index: number, bootstrap: string[]): Promise<MeshNode> => {
    const node = await processes.start(index, { bootstrap, signal, onProcess: pid => note(index, { pid }) })
    note(index, { peer: node.peer })
    output.progress(`node ${index}  ${node.peer}`)
    return node
  }
  try {
    const first = await start(1, [])
    const others = await Promise.all(Array.from({ length: flags.nodes - 1 }, (_, position) => start(position + 2, first.addresses)))
    if (flags.run !== undefined) file.run = await joinAll(session, [first, ...others], flags.run)
    writeMesh(session, file)
  } catch (error) {
    await processes.close()
    await rm(folder, { recursive: true, force: true })
    throw error
  } finally {
    process.off('exit', exit)
  }
  output.answer(file, () =>
    [
      ...(file.run === null ? [] : [`run ${file.run}`]),
      `ask a node: shoal --home ${processes.home(1)} status`,
      'end it: shoal mesh down'
    ].join('\n')
  )
}

async function joinAll(session: Session, nodes: MeshNode[], name: string): Promise<string> {
  const { signal } = session
  const { spec, baseDir, isPrivate } = await loadSpec({ run: name, seed: null, set: {} }, process.cwd())
  const { run } = await nodes[0]!.control.createRun({ spec, ...(baseDir === undefined ? {} : { baseDir }) }, { signal })
  await Promise.all(
    nodes.map(async node => {
      for (;;) {
        try {
          return await node.control.joinRun(run, isPrivate ? { data: [shardOf(node.index)] } : {}, { signal })
        } catch (error) {
          const { code } = error as { code?: string }
          // The mesh has just met: that nobody is known yet to have the run is a matter of moments.
          if (code !== 'unknown_run' && code !== 'no_peers') throw error
          await delay(RETRY_MS, undefined, { signal })
        }
      }
    })
  )
  return run
}

export async function meshList(session: Session): Promise<void> {
  const file = await readMesh(session)
  const nodes = await Promise.all(
    file.nodes.map(async node => {
      const daemon = await locateDaemon(node.home, readIfThere).catch(() => undefined)
      const status =
        daemon === undefined
          ? undefined
          : await connectControl(daemon)
              .status({ signal: session.signal, timeoutMs: 5000 })
              .catch(() => undefined)
      const run = status?.runs[0]
      const facts = {
        state: run?.state ?? null,
        round: run?.round ?? null,
        loss: run?.loss ?? null,
        peers: status === undefined ? null : peersHere(status.peers).length
      }
      return { ...node, alive: daemon?.pid === node.pid, answers: status !== undefined, ...facts }
    })
  )
  session.output.answer({ ...file, nodes }, () =>
    formatTable(
      ['NODE', 'PEER', 'PID', 'STATE', 'ROUND', 'LOSS', 'PEERS', 'HOME'],
      nodes.map(node => [
        node.index,
        node.peer === null ? null : shortId(node.peer),
        node.alive ? node.pid : null,
        node.answers ? (node.state ?? 'up') : node.alive ? 'no answer' : 'dead',
        node.round,
        formatLoss(node.loss),
        node.peers,
        node.home
      ])
    )
  )
}

export async function meshKill(session: Session, index: number): Promise<void> {
  const file = await readMesh(session)
  const node = file.nodes.find(known => known.index === index)
  if (node === undefined) {
    throw new CliError('bad_argument', `there is no node ${index}`, {
      hint: `the mesh has ${file.nodes.map(known => known.index).join(', ')}`
    })
  }
  const killed = await endProcess(node, 'SIGKILL')
  session.output.answer({ schema: 1, node: index, killed }, () => (killed ? `node ${index} is dead` : `node ${index} was dead already`))
}

export async function meshDown(session: Session, { keep }: { keep: boolean }): Promise<void> {
  const file = await readMesh(session)
  const asked = await Promise.all(file.nodes.map(node => endProcess(node, 'SIGTERM')))
  const limit = performance.now() + STOP_LIMIT_MS
  for (const node of file.nodes.filter((_, position) => asked[position])) {
    while ((await isRunning(node.pid)) && performance.now() < limit) await delay(POLL_MS, undefined, { signal: session.signal })
    await endProcess(node, 'SIGKILL')
  }
  if (keep) await rm(fileOf(session), { force: true })
  else await rm(folderOf(session), { recursive: true, force: true })
  session.output.answer({ schema: 1, stopped: file.nodes.length, kept: keep }, () => `${file.nodes.length} nodes are down`)
}

/** At once, and whole or not at all: what comes next may be the end of this process. */
function writeMesh(session: Session, file: MeshFile): void {
  const path = fileOf(session)
  writeFileSync(`${path}.new`, `${JSON.stringify(file, null, 2)}\n`)
  renameSync(`${path}.new`, path)
}

async function readMesh(session: Session): Promise<MeshFile> {
  const text = await readIfThere(fileOf(session))
  if (text === undefined) throw new CliError('no_mesh', `no mesh is up in ${session.home}`, { hint: 'start one: shoal mesh up' })
  try {
    return JSON.parse(text) as MeshFile
  } catch (cause) {
    throw new CliError('no_mesh', `${fileOf(session)} is damaged`, { cause })
  }
}

type Node = MeshFile['nodes'][number]

/** A pid alone may be a stranger's by now: the daemon's own file must still name it, and where the system shows command lines, its home too. */
async function endProcess(node: Node, signal: 'SIGTERM' | 'SIGKILL'): Promise<boolean> {
  if (!(await isRunning(node.pid))) return false
  const daemon = await locateDaemon(node.home, readIfThere).catch(() => undefined)
  if (daemon !== undefined && daemon.pid !== node.pid) return false
  const commandLine = await readFile(`/proc/${node.pid}/cmdline`, 'utf8').catch(() => undefined)
  if (commandLine !== undefined && !commandLine.includes(node.home)) return false
  try {
    // The daemon leads a process group in which its trainer is too.
    process.kill(signal === 'SIGKILL' ? -node.pid : node.pid, signal)
    return true
  } catch {
    return false
  }
}
