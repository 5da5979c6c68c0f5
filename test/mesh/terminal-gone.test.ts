// A real daemon whose terminal goes away under it: whoever read its log lines closes, as a window does, and it goes on.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectControl, locateDaemon } from '../../protocols/control/index.ts'
import { MAIN } from './small-run.ts'

const STRANGER = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'

describe('a daemon whose stderr nobody reads any more', function () {
  this.timeout(60_000)
  let home: string
  let child: ChildProcess | undefined
  /** Of the daemon that outlives its window. */
  let pid: number | undefined
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'shoal-terminal-'))
  })
  afterEach(async () => {
    child?.kill('SIGKILL')
    if (pid !== undefined) endNow(pid)
    pid = undefined
    await rm(home, { recursive: true })
  })

  it('goes on answering, says so once in its log, and stops when told to', async () => {
    const args = ['daemon', '--home', home, '--profile', 'test', '--bootstrap-only', '--log-level', 'info', '--json']
    child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    await once(child.stdout!, 'data')
    const control = connectControl(await locateDaemon(home, path => readFile(path, 'utf8').catch(() => undefined)))
    const closed = once(child.stderr!, 'close')
    child.stderr!.destroy()
    await closed
    const linesOfLoss = async () => (await control.logs({ tail: 2000 })).lines.filter(line => line.includes('EPIPE')).length
    while ((await linesOfLoss()) === 0) await control.banPeer({ peer: STRANGER })
    for (let i = 0; i < 20; i++) await control.banPeer({ peer: STRANGER })
    assert.equal(await linesOfLoss(), 1)
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    assert.deepEqual(await exited, [0, null])
  })

  it('ends cleanly when its window is closed', async function () {
    if (process.platform !== 'linux') this.skip()
    const file = join(home, 'exit-code')
    const command = `"${process.execPath}" "${MAIN}" daemon --home "${home}" --profile test --bootstrap-only`
    // The shell outlives the window to say how the daemon ended.
    const shell = `trap '' HUP; ${command}; echo $? > "${file}"`
    child = spawn('script', ['--quiet', '--command', shell, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
    const exited = once(child, 'exit')
    let shown = ''
    for await (const text of child.stdout!) {
      shown += text
      if (shown.includes('join with')) break
    }
    const { pid: daemon } = JSON.parse(await readFile(join(home, 'daemon.json'), 'utf8')) as { pid: number }
    pid = daemon
    child.kill('SIGKILL')
    await exited
    process.kill(daemon, 'SIGHUP')
    const textOf = () => readFile(file, 'utf8').catch(() => '')
    while ((await textOf()) === '') await new Promise(resolve => setTimeout(resolve, 50))
    assert.equal(await textOf(), '0\n')
    pid = undefined
  })
})

function endNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}
