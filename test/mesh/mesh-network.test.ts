// A mesh of which each node has a network namespace of its own, parted and whole again; and nothing of it left, whoever is killed.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Report } from '../../cli/mesh/report.ts'
import { MAIN, SMALL_RUN } from './small-run.ts'
import { until } from './until.ts'

/** As the runner would be started inside; whoever may not do this skips the test. */
const PROBE = ['--mount', '--net', ...(process.getuid?.() === 0 ? [] : ['--map-root-user']), '--', 'sh', '-c']
const TOOLS = 'for tool in ip tc nft nsenter setpriv; do command -v $tool || exit 1; done; ip link add name probe type bridge'

describe('shoal mesh run with namespaces', function () {
  this.timeout(400_000)
  let folder: string
  let child: ChildProcess | undefined
  before(function () {
    if (spawnSync('unshare', [...PROBE, TOOLS]).status === 0) return
    this.test!.parent!.title += ' (skipped: this machine has no namespaces or lacks a tool)'
    this.skip()
  })
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-mesh-network-'))
    writeFileSync(join(folder, 'run.yaml'), SMALL_RUN)
  })
  afterEach(async () => {
    // Whatever it started ends with it, also where a test did not come to its end.
    child?.kill('SIGKILL')
    await until(() => processesUnder(folder).length === 0, 60_000)
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  })

  const start = (scenario: string) => {
    writeFileSync(join(folder, 'scenario.yaml'), scenario)
    const args = [MAIN, 'mesh', 'run', join(folder, 'scenario.yaml'), '--report', join(folder, 'report.json')]
    const started = spawn(process.execPath, args, { env: { ...process.env, TMPDIR: folder } })
    child = started
    return started
  }

  it('parts it, sees both sides go apart, and ends with one anchor after it is whole again', async () => {
    const mesh = start(`
nodes: 4
network: namespaces
run: run.yaml
rounds: 3
timeout: 350s
settle: 60s
steps:
  - { at: { round: 1 }, do: partition, groups: [[1, 2], [3, 4]] }
  - { at: { after: 12s }, do: heal }
expect: [equalAnchors, nothingLost, { tells: { 1: [peer_silent], 3: [peer_silent] } }]
`)
    let output = ''
    for (const stream of [mesh.stdout, mesh.stderr]) stream.on('data', data => (output += data))
    const status = await new Promise(resolve => mesh.once('close', resolve))
    assert.equal(status, 0, output)
    const { nodes, faults } = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as Report
    assert.equal(new Set(nodes.map(({ anchor }) => anchor)).size, 1)
    assert.deepEqual(
      faults.map(({ do: what, detail }) => `${what} ${detail}`),
      ['partition 1 2 | 3 4', 'heal null']
    )
  })

  it('leaves no process behind when it is killed', async () => {
    const mesh = start('{ nodes: 2, network: namespaces, run: run.yaml, rounds: 100000 }')
    await until(() => processesUnder(folder).length > 3, 60_000) // This command, itself inside, and two daemons.
    mesh.kill('SIGKILL')
    await until(() => processesUnder(folder).length === 0, 60_000)
  })
})

/** Pids of processes whose command line names the folder. */
function processesUnder(folder: string): string[] {
  return readdirSync('/proc').filter(name => {
    if (!/^\d+$/.test(name) || !existsSync(`/proc/${name}/cmdline`)) return false
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(folder)
    } catch {
      return false
    }
  })
}
