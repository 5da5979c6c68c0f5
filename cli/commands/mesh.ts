// `shoal mesh`: many real daemons on this machine, for trying out and for breaking on purpose.
import { dirname, resolve } from 'node:path'
import type { Command } from 'commander'
import { action } from '../action.ts'
import { failureOf } from '../errors.ts'
import { readNamed } from '../files.ts'
import { collected, commaList, engineOfNode, setting, wholeNumber } from '../option-values.ts'
import type { Session } from '../session.ts'

interface RunFlags {
  nodes?: number
  rounds?: number
  seed?: number
  baseline?: boolean
  baselineRates?: unknown[]
  report?: string
  run?: string
  set?: Record<string, unknown>
  engine?: Record<string, string>
  keep?: boolean
  threads: number
  daemonFlag?: string[]
}

export function registerMesh(program: Command): void {
  const mesh = program.command('mesh').description('many real daemons on this machine: try it out, break it, read a report')

  mesh
    .command('run')
    .description('start a mesh, do what a scenario says, judge the outcome, clean up; without a file: the demo')
    .argument('[scenario]', 'YAML; flags win over it')
    .option('--nodes <count>', 'nodes at the start', wholeNumber(1, 256))
    .option('--rounds <count>', 'end when this round is adopted', wholeNumber(1))
    .option('--seed <seed>', "replaces the manifest's seed", wholeNumber(0, 0xffff_ffff))
    .option('--baseline', 'also train each shard alone for as many steps')
    .option('--baseline-rates <rates>', 'the same at each of these inner rates, such as 2e-3,5e-3, and one node on all shards', rates)
    .option('--report <file>', 'write the report here, whatever happens')
    .option('--run <manifest>', 'demo, or the path of a manifest')
    .option('--set <key=value>', 'replace a setting of the manifest, such as optimizer.learningRate=3e-3; again for more', setting)
    .option('--engine <node=engine>', 'what a node computes with, such as 2=wasm; again for more', engineOfNode)
    .option('--threads <count>', "threads of each node's trainer", wholeNumber(1, 1024), 1)
    .option('--keep', "leave the nodes' homes and output")
    .option('--daemon-flag <flag>', 'one more flag for every daemon; again for more', collected)
    .action(action<RunFlags>(runScenario))

  mesh
    .command('up')
    .description('start a mesh and leave it running')
    .option('-n, --nodes <count>', 'nodes', wholeNumber(1, 256), 4)
    .option('--run <manifest>', 'a run that all join: demo, or the path of a manifest')
    .option('--threads <count>', "threads of each node's trainer", wholeNumber(1, 1024), 1)
    .action(
      action<{ nodes: number; run?: string; threads: number }>(async (session, flags) => {
        session.output.outliveReader()
        const { meshUp } = await import('../mesh/background.ts')
        await meshUp(session, flags)
      })
    )
  mesh
    .command('ls')
    .description('the nodes of the mesh that is up')
    .action(
      action(async session => {
        const { meshList } = await import('../mesh/background.ts')
        await meshList(session)
      })
    )
  mesh
    .command('kill')
    .description('end one of its nodes with SIGKILL')
    .argument('<node>', 'its index', wholeNumber(1, 256))
    .action(
      action(async (session, _options, node) => {
        const { meshKill } = await import('../mesh/background.ts')
        await meshKill(session, Number(node))
      })
    )
  mesh
    .command('down')
    .description('stop all its nodes and remove their homes')
    .option('--keep', 'leave the homes')
    .action(
      action<{ keep?: boolean }>(async (session, { keep }) => {
        const { meshDown } = await import('../mesh/background.ts')
        await meshDown(session, { keep: keep === true })
      })
    )
}

/** Numbers where they are numbers; the scenario's reader says what is wrong with the others. */
function rates(text: string): unknown[] {
  return commaList(text).map(part => (Number.isNaN(Number(part)) ? part : Number(part)))
}

async function runScenario(session: Session, flags: RunFlags, file: string | undefined): Promise<void> {
  session.output.outliveReader()
  const [
    { parseScenario, scenarioOf },
    { DEMO_SIZE, demoScenario },
    { runMesh, writeReport },
    { emptyReport, tenths },
    { loadJudge },
    enclosure
  ] = await Promise.all([
    import('../mesh/scenario.ts'),
    import('../mesh/demo.ts'),
    import('../mesh/mesh-run.ts'),
    import('../mesh/report.ts'),
    import('../mesh/judge.ts'),
    import('../mesh/faults/enclosure.ts')
  ])
  const { isEnclosed, needsEnclosure, runEnclosed } = enclosure
  // The process's own clock: a command begins when its process does, not when its modules are loaded.
  const seconds = (): number => performance.now() / 1000
  const { engine: engines, run, ...others } = flags
  const given = {
    ...others,
    // A path in the scenario is read from the scenario's folder, one that is typed from where it is typed.
    ...(run === undefined ? {} : { run: run === 'demo' || run === '' ? run : resolve(run) }),
    ...(engines === undefined ? {} : { engines }),
    ...(session.timeoutMs === undefined ? {} : { timeoutMs: session.timeoutMs })
  }
  // Minutes later it would be too late to say that there is no such folder.
  if (flags.report !== undefined) await writeReport(resolve(flags.report), emptyReport())
  try {
    const scenario =
      file === undefined
        ? scenarioOf(demoScenario(flags.nodes ?? DEMO_SIZE.nodes, flags.rounds ?? DEMO_SIZE.rounds), given)
        : parseScenario(await readNamed(file), given, file)
    if (needsEnclosure(scenario) && !isEnclosed()) {
      process.exitCode = await runEnclosed(scenario, { signal: session.signal })
      return
    }
    const { report, code } = await runMesh(
      { output: session.output, judge: loadJudge(), seconds },
      {
        scenario,
        folder: file === undefined ? process.cwd() : dirname(resolve(file)),
        threads: flags.threads,
        keep: flags.keep === true,
        ...(flags.report === undefined ? {} : { report: resolve(flags.report) }),
        ...(flags.daemonFlag === undefined ? {} : { daemonFlags: flags.daemonFlag }),
        signal: session.signal
      }
    )
    session.output.document(report)
    if (report.reason !== null) session.output.note(report.reason)
    process.exitCode = code
  } catch (error) {
    if (flags.report !== undefined) {
      const { code, message } = failureOf(error)
      await writeReport(resolve(flags.report), { ...emptyReport(), reason: `${code}: ${message}`, seconds: tenths(seconds()) })
    }
    throw error
  }
}
