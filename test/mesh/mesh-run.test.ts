// `shoal mesh run` with real daemons: few and small, because each costs seconds. Every process must be gone afterwards, whatever happened.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Report } from '../../cli/mesh/report.ts'
import { MAIN, SMALL_RUN } from './small-run.ts'
import { until } from './until.ts'

/** What is done to the command while it runs, with what it has said so far. */
type During = (output: string, child: ChildProcess) => void

describe('shoal mesh run', function () {
  this.timeout(240_000)
  let folder: string
  let child: ChildProcess
  beforeEach(() => {
    // The temporary folder of all that is started, so that a process left behind can be told by its environment.
    folder = mkdtempSync(join(tmpdir(), 'shoal-mesh-test-'))
    writeFileSync(join(folder, 'run.yaml'), SMALL_RUN)
  })
  afterEach(async () => {
    // A test that did not come to its end leaves the command running, and with it all that it started.
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await until(() => processesUnder(folder).length === 0, 60_000)
    }
    const left = processesUnder(folder)
    rmSync(folder, { recursive: true, force: true })
    assert.deepEqual(left, [])
  })

  const mesh = async (scenario: string, flags: string[], during?: During) => {
    writeFileSync(join(folder, 'scenario.yaml'), scenario)
    const file = join(folder, 'report.json')
    const args = [MAIN, 'mesh', 'run', join(folder, 'scenario.yaml'), '--report', file, ...flags]
    const started = spawn(process.execPath, args, { env: { ...process.env, TMPDIR: folder } })
    child = started
    let output = ''
    for (const stream of [started.stdout, started.stderr]) {
      stream.on('data', data => {
        output += data
        during?.(output, started)
      })
    }
    const [status] = (await once(started, 'close')) as [number | null]
    return { status, output, report: JSON.parse(readFileSync(file, 'utf8')) as Report }
  }

  it('trains, loses a member by SIGKILL, gets it back, and ends with one anchor', async () => {
    const scenario = `
nodes: 3
run: run.yaml
rounds: 5
timeout: 3m
steps:
  - { at: { round: 2 }, do: kill, node: 3 }
  - { at: { round: 3 }, do: restart, node: 3 }
expect: [equalAnchors, nothingLost, { heldOutBelow: 6 }]
`
    // The rule with the most to agree on: it keeps state of its own and reads every contribution four times.
    const { status, report, output } = await mesh(scenario, ['--set', 'strategy.aggregation={"name":"centeredClip"}'])
    assert.equal(status, 0, output)
    assert.equal(report.ok, true)
    assert.deepEqual(report.rounds.map(row => row.round).slice(0, 5), [1, 2, 3, 4, 5])
    assert.deepEqual(new Set(report.nodes.map(node => node.anchor)).size, 1)
    assert.deepEqual(
      report.nodes.map(({ index, alive }) => ({ index, alive })),
      [1, 2, 3].map(index => ({ index, alive: true }))
    )
    assert.deepEqual(
      report.faults.map(({ do: what, node }) => `${what} ${node}`),
      ['kill 3', 'restart 3']
    )
    assert.ok(report.firstRoundSeconds! > 0 && report.rounds.every(row => row.contributors.length >= 2))
    assert.ok(report.nodes.every(node => node.tokens > 0 && node.bytesReceived > 0))
    for (const file of ['config.json', 'model.safetensors', 'tokenizer.json']) assert.ok(existsSync(join(report.checkpoint!, file)), file)
  })

  it('ends with one anchor, to the bit, where unlike engines train', async () => {
    const scenario = '{ nodes: 2, run: run.yaml, rounds: 3, engines: { 1: traced, 2: js }, timeout: 2m, expect: [equalAnchors] }'
    const { status, report, output } = await mesh(scenario, ['--engine', '2=wasm'])
    assert.equal(status, 0, output)
    assert.deepEqual(
      report.nodes.map(({ engine }) => engine),
      ['traced', 'wasm']
    )
    assert.equal(new Set(report.nodes.map(node => node.anchor)).size, 1)
    // Quorum 2: what both measured is in every anchor.
    assert.ok(report.rounds.length >= 3 && report.rounds.every(({ contributors }) => contributors.length === 2))
  })

  it('ends with 4 and a report when its time is over, also where nobody reads on what it says', async () => {
    const leave: During = (_, child) => child.stdout!.destroy()
    const { status, report } = await mesh('{ nodes: 2, run: run.yaml, rounds: 100000 }', ['--timeout', '8s'], leave)
    assert.equal(status, 4)
    assert.equal(report.nodes.length, 2)
    assert.match(report.reason!, /^timeout/)
  })

  it('ends every process at Ctrl-C and still reports', async () => {
    let interrupted = false
    const { status, report } = await mesh('{ nodes: 3, run: run.yaml, rounds: 100 }', [], (stdout, child) => {
      if (interrupted || !/node 2 .* is up/.test(stdout)) return
      interrupted = true
      child.kill('SIGINT')
    })
    assert.equal(status, 1)
    assert.match(report.reason!, /^interrupted/)
  })

  it('ends with 2 and a report when the scenario or the manifest is wrong', async () => {
    const scenario = await mesh('{ nodes: 2, rouns: 3 }', [])
    assert.equal(scenario.status, 2)
    assert.match(scenario.report.reason!, /^bad_scenario: .*rouns is not a known key/)
    assert.match(scenario.output, /did you mean rounds\?/)
    const manifest = await mesh('{ nodes: 1, run: run.yaml, rounds: 1 }', ['--set', 'strategy.inerSteps=3'])
    assert.equal(manifest.status, 2, manifest.output)
    assert.match(manifest.report.reason!, /^manifest_unknown_key: .*inerSteps/)
  })
})

/** Command lines of whatever was started with the folder for its temporary one: a trainer's own names no folder. */
function processesUnder(folder: string): string[] {
  if (!existsSync('/proc/self/environ')) return []
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(pid => {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`TMPDIR=${folder}`)) return []
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')]
      } catch {
        return []
      }
    })
}
