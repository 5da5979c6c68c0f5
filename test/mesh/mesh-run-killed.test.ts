// A `shoal mesh run` that is killed cannot clean up: its daemons must notice by themselves.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { connectControl, type DaemonFile, locateDaemon } from '../../protocols/control/index.ts'
import { MAIN, SMALL_RUN } from './small-run.ts'
import { until } from './until.ts'

describe('shoal mesh run, killed', function () {
  this.timeout(120_000)
  let folder: string
  let pids: number[]
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-mesh-killed-'))
    pids = []
  })
  afterEach(() => {
    for (const pid of pids) if (groupAlive(pid)) process.kill(-pid, 'SIGKILL')
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  })

  it('leaves no daemon and no trainer behind', async () => {
    writeFileSync(join(folder, 'run.yaml'), SMALL_RUN)
    writeFileSync(join(folder, 'scenario.yaml'), '{ nodes: 2, run: run.yaml, rounds: 100000 }')
    const args = [MAIN, 'mesh', 'run', join(folder, 'scenario.yaml')]
    const runner = spawn(process.execPath, args, { env: { ...process.env, TMPDIR: folder }, stdio: 'ignore' })
    try {
      await until(() => daemonFiles(folder).length === 2, 60_000)
      pids = daemonFiles(folder).map(file => (JSON.parse(readFileSync(file, 'utf8')) as DaemonFile).pid)
      for (const file of daemonFiles(folder)) await hasStepped(dirname(file))
    } finally {
      runner.kill('SIGKILL')
    }
    await until(() => !pids.some(groupAlive), 40_000)
    assert.deepEqual(daemonFiles(folder), [], 'they stopped cleanly')
  })
})

/** Files by which running daemons say where they are. */
function daemonFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('daemon.json'))
    .map(name => join(folder, name))
}

async function hasStepped(home: string): Promise<void> {
  const control = connectControl(await locateDaemon(home, async path => (existsSync(path) ? readFileSync(path, 'utf8') : undefined)))
  let stepped = false
  const look = async () => {
    stepped = (await control.status()).runs.some(({ step }) => step > 0)
    if (!stepped) setTimeout(look, 100)
  }
  await look()
  await until(() => stepped, 60_000)
}

/** Whether a process of the group that a daemon leads still runs; its trainer is in it. Where nobody reaps orphans, the dead stay listed. */
function groupAlive(leader: number): boolean {
  if (!existsSync('/proc/self/stat')) {
    try {
      return process.kill(-leader, 0)
    } catch {
      return false
    }
  }
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .some(pid => {
      try {
        const [state, , group] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
        return Number(group) === leader && state !== 'Z'
      } catch {
        return false
      }
    })
}
