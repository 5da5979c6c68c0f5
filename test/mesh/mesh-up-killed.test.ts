// A `shoal mesh up` that is killed half-way leaves daemons that were meant to outlive it: `mesh down` must find them.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MAIN } from './small-run.ts'
import { until } from './until.ts'

describe('shoal mesh up, killed', function () {
  this.timeout(120_000)
  let home: string
  let pids: number[]
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'shoal-mesh-up-'))
    pids = []
  })
  afterEach(() => {
    for (const pid of pids) if (isAlive(pid)) process.kill(-pid, 'SIGKILL')
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  })

  it('leaves no daemon that mesh down does not end, also one that had not said yet who it is', async () => {
    const file = join(home, 'mesh', 'mesh.json')
    const { SHOAL_API: _api, ...env } = process.env
    const up = spawn(process.execPath, [MAIN, 'mesh', 'up', '--nodes', '2'], { env: { ...env, SHOAL_HOME: home }, stdio: 'ignore' })
    try {
      await until(() => existsSync(file), 60_000)
    } finally {
      up.kill('SIGKILL')
    }
    const { nodes } = JSON.parse(readFileSync(file, 'utf8')) as { nodes: { pid: number }[] }
    pids = nodes.map(({ pid }) => pid)
    assert.deepEqual(pids.map(isAlive), [true])
    const down = spawnSync(process.execPath, [MAIN, 'mesh', 'down', '--json'], { env: { ...env, SHOAL_HOME: home }, encoding: 'utf8' })
    assert.equal(down.status, 0, down.stdout)
    await until(() => !pids.some(isAlive), 10_000)
    assert.equal(existsSync(join(home, 'mesh')), false)
  })
})

/** Where nobody reaps orphans, the dead stay listed, without a command line. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !existsSync('/proc/self/cmdline') || readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== ''
  } catch {
    return false
  }
}
