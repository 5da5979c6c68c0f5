// `shoal mesh run` from beginning to end: a folder for the nodes, the runner, the checkpoint, its worth, the report, and nothing left running.
import { mkdirSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { CliError, EXIT, exitCodeOf, failureOf } from '../errors.ts'
import type { Output } from '../output.ts'
import { compared, inTurns, type LoneResult, type LoneTraining, loneTrainings, mostTokens, summaryLines } from './baseline.ts'
import { shardOf } from './demo.ts'
import { judgeExpectations } from './expectations.ts'
import { corruptBlock } from './faults/corrupt-block.ts'
import { Namespaces } from './faults/namespaces.ts'
import { SmallDisks } from './faults/small-disks.ts'
import { growthOf, type NodeMemory, readSamples } from './measures/memory.ts'
import type { NodePlace } from './mesh-node.ts'
import { Narrator } from './narrator.ts'
import { Processes } from './processes.ts'
import { emptyReport, type Report, type ReportHeldOut, tenths } from './report.ts'
import { type MeshFaults, MeshRunner, type NodeState } from './runner.ts'
import type { Scenario } from './scenario.ts'
import { loadSpec, loneSpec, type MeshSpec } from './spec.ts'

/** What judges a checkpoint; the daemon's public face, loaded only once the mesh has ended. */
export interface Judge {
  /** Nats a byte on the held-out part of each era. */
  heldOut(directory: string, signal: AbortSignal): Promise<number[]>
  /** A line of text that the model writes. */
  sample(directory: string, signal: AbortSignal): Promise<string>
}

export interface MeshRunComponents {
  output: Output
  judge: Judge
  /** Seconds since the command's start. */
  seconds(): number
}

export interface MeshRunOptions {
  scenario: Scenario
  /** From which the manifest's relative path is read. */
  folder: string
  report?: string
  /** Leave the nodes' homes and logs. */
  keep?: boolean
  /** Threads for each node's trainer. */
  threads?: number
  /** More flags for every daemon. */
  daemonFlags?: string[]
  signal: AbortSignal
}

/**
 * Runs it, and takes down whatever it started.
 * @returns the report and the exit code: 0 all held, 6 an expectation failed, 4 timeout, 1 anything else.
 */
export async function runMesh(components: MeshRunComponents, options: MeshRunOptions): Promise<{ report: Report; code: number }> {
  const { output, seconds } = components
  const { scenario } = options
  const narrator = new Narrator(output)
  const report: Report = { ...emptyReport(), stepsLeftOut: scenario.stepsLeftOut }
  const left = scenario.timeoutMs - seconds() * 1000
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(Math.max(1, Math.ceil(left)))])
  let code: number = EXIT.ok
  let folder: string | null = null
  let stage: MeshStage | null = null
  try {
    const spec = await loadSpec(scenario, options.folder)
    folder = await mkdtemp(join(tmpdir(), 'shoal-mesh-'))
    stage = await MeshStage.open(components, options, spec, folder, narrator)
    narrator.line(
      `${scenario.nodes} nodes, run ${spec.name}, ${scenario.rounds} rounds, at most ${Math.round(scenario.timeoutMs / 1000)} s`
    )
    if (scenario.stepsLeftOut.length > 0) narrator.leftOut(scenario.stepsLeftOut)
    await stage.play(report, signal)
    const failed = report.expect.filter(row => !row.ok)
    report.ok = failed.length === 0
    if (!report.ok) {
      code = EXIT.checkFailed
      report.reason = failed.map(row => `expectation ${row.name} does not hold`).join('; ')
    }
  } catch (error) {
    const failure = failureOf(signal.aborted ? signal.reason : error)
    const words = error instanceof CliError ? error.details?.lastWords : undefined
    if (typeof words === 'string' && words !== '') output.note(words)
    const timedOut = signal.aborted && (signal.reason as Error).name === 'TimeoutError'
    report.reason = timedOut ? `timeout: the ${Math.round(scenario.timeoutMs / 1000)} s are over` : `${failure.code}: ${failure.message}`
    code = timedOut ? EXIT.timeout : exitCodeOf(failure)
  } finally {
    output.liveDone()
    stage?.fill(report)
    // What goes wrong from here on must not cost what the mesh has shown.
    const lastly = async (task: () => Promise<unknown> | undefined): Promise<void> => {
      try {
        await task()
      } catch (error) {
        const failure = failureOf(error)
        output.note(`${failure.code}: ${failure.message}`)
        if (code !== EXIT.ok) return
        code = exitCodeOf(failure)
        report.ok = false
        report.reason = `${failure.code}: ${failure.message}`
      }
    }
    await lastly(() => stage?.close())
    report.seconds = tenths(seconds())
    await lastly(() => (options.report === undefined ? undefined : writeReport(options.report, report)))
    await lastly(() =>
      folder === null ? undefined : tidy(folder, { keepAll: options.keep === true, ok: code === EXIT.ok, report, narrator })
    )
  }
  return { report, code }
}

/** Written in every case, a bad scenario's too. */
export async function writeReport(path: string, report: Report): Promise<void> {
  try {
    await writeFile(path, `${JSON.stringify(report, null, 2)}\n`)
  } catch (cause) {
    throw new CliError('file_unreadable', `cannot write the report ${resolve(path)}: ${cause instanceof Error ? cause.message : cause}`, {
      cause
    })
  }
}

/** The nodes' homes go, the checkpoint stays; after a failure the nodes' output stays too, to be read. */
async function tidy(folder: string, state: { keepAll: boolean; ok: boolean; report: Report; narrator: Narrator }): Promise<void> {
  const { keepAll, ok, report, narrator } = state
  if (keepAll) {
    narrator.line(`the nodes' homes and output are in ${folder}`)
    return
  }
  const stays = (name: string): boolean => join(folder, name) === report.checkpoint || (!ok && name.endsWith('.log'))
  const names = await readdir(folder)
  for (const name of names) if (!stays(name)) await rm(join(folder, name), { recursive: true, force: true })
  if (!names.some(stays)) await rm(folder, { recursive: true, force: true })
  else if (!ok) narrator.line(`the nodes' output is in ${folder}`)
}

/** Everything that has to be taken down again. */
class MeshStage {
  readonly #components: MeshRunComponents
  readonly #options: MeshRunOptions
  readonly #spec: MeshSpec
  readonly #folder: string
  readonly #narrator: Narrator
  readonly #processes: Processes[] = []
  readonly #runner: MeshRunner
  readonly #network: Namespaces | null
  readonly #disks = new SmallDisks()
  /** Nodes whose homes are small disks. */
  readonly #onSmallDisks: Set<unknown>
  #memory: NodeMemory[] = []
  /** From where on growth is measured: what the scenario expects, else the second half of the mesh's life. */
  #memoryAfterMs = 0
  /** The last resort, for a second Ctrl-C and for crashes of this process. */
  readonly #onExit = (): void => {
    for (const processes of this.#processes) processes.killAll()
  }

  /** Lays the network first where the nodes are to have one of their own. @throws CliError `network_unavailable`. */
  static async open(
    components: MeshRunComponents,
    options: MeshRunOptions,
    spec: MeshSpec,
    folder: string,
    narrator: Narrator
  ): Promise<MeshStage> {
    const network = options.scenario.network === 'namespaces' ? await Namespaces.open(folder) : null
    return new MeshStage(components, options, spec, folder, narrator, network)
  }

  private constructor(
    components: MeshRunComponents,
    options: MeshRunOptions,
    spec: MeshSpec,
    folder: string,
    narrator: Narrator,
    network: Namespaces | null
  ) {
    this.#components = components
    this.#options = options
    this.#spec = spec
    this.#folder = folder
    this.#narrator = narrator
    this.#network = network
    this.#onSmallDisks = new Set(options.scenario.steps.map(step => (step.do === 'fillDisk' ? step.node : undefined)))
    process.once('exit', this.#onExit)
    this.#runner = this.#newRunner(this.#newProcesses(''), spec.spec, index => (spec.isPrivate ? [shardOf(index)] : undefined))
  }

  async play(report: Report, signal: AbortSignal): Promise<void> {
    const { scenario } = this.#options
    const runner = this.#runner
    await runner.drive({ signal })
    const settled = await runner.settle({ signal })
    await runner.collect({ signal })
    const { heads } = runner
    await this.#readMemory()
    this.fill(report)
    report.checkpoint = await this.#export(runner, join(this.#folder, 'checkpoint'), { signal })
    const rounds = scenario.baseline ? await this.#loneRounds(signal) : 0
    runner.close()
    await this.#closeProcesses()

    const held = settled ? `all ${heads.length} hold the same anchor` : `not settled: ${heads.map(anchorLine).join(', ')}`
    this.#narrator.line(held, this.#components.seconds())
    report.heldOut = await this.#heldOut(report.checkpoint, rounds, signal)
    report.expect = judgeExpectations(scenario.expect, {
      heads,
      heldOut: report.heldOut,
      stepsLeft: runner.stepsLeft,
      gaps: runner.gaps(),
      times: runner.times,
      contributions: runner.contributions(),
      ghosts: runner.ghosts,
      deaths: runner.deaths,
      memory: this.#memory,
      told: new Map(runner.states.map(({ index, told }) => [index, new Set(told.keys())]))
    })
    for (const row of report.expect)
      this.#narrator.line(`${row.ok ? 'holds' : 'DOES NOT HOLD'}: ${row.name}${row.ok ? '' : `, ${JSON.stringify(row.got)}`}`)
    const text = await this.#components.judge.sample(report.checkpoint, signal)
    this.#narrator.line(`a line from the model: ${JSON.stringify(text)}`, this.#components.seconds())
    this.#narrator.line(`the checkpoint: ${report.checkpoint}`)
  }

  /** What is known so far goes into the report, whatever stopped the run. */
  fill(report: Report): void {
    const runner = this.#runner
    report.firstRoundSeconds = runner.firstRoundSeconds === null ? null : tenths(runner.firstRoundSeconds)
    report.rounds = runner.reportRounds()
    report.nodes = runner.reportNodes()
    report.faults = runner.faults
    report.gaps = runner
      .gaps()
      .map(gap => ({ ...gap, seconds: tenths(gap.seconds) }))
      .sort((a, b) => b.seconds - a.seconds)
    report.ghosts = runner.ghosts.slice(0, GHOSTS_MAX).map(ghost => ({ ...ghost, seconds: tenths(ghost.seconds) }))
    report.memory = this.#memory.map(({ index, samples }) => ({
      node: index,
      growth: growthOf(samples, this.#memoryAfterMs),
      samples: samples.map(({ seconds, resident, heap, external }) => [tenths(seconds), tenths(resident), tenths(heap), tenths(external)])
    }))
  }

  /** Of the daemons that lived from beginning to end: one that began later has other things to remember. */
  async #readMemory(): Promise<void> {
    if (this.#options.scenario.memoryEveryMs === null) return
    const livedMs = this.#components.seconds() * 1000
    const startMs = Date.now() - livedMs
    const expected = this.#options.scenario.expect.find(entry => entry.name === 'memoryGrowthBelow')
    this.#memoryAfterMs = expected?.name === 'memoryGrowthBelow' ? expected.afterMs : livedMs / 2
    const whole = this.#runner.states.filter(state => state.life === 'alive' && !state.isTouched)
    this.#memory = await Promise.all(
      whole.map(async ({ index }) => ({ index, samples: await readSamples(this.#processes[0]!.memoryFile(index), startMs) }))
    )
  }

  async close(): Promise<void> {
    this.#runner.close()
    await this.#closeProcesses()
    await this.#disks.close()
    await this.#network?.close()
    process.off('exit', this.#onExit)
  }

  async #closeProcesses(): Promise<void> {
    await Promise.all(this.#processes.map(processes => processes.close()))
  }

  async #heldOut(checkpoint: string, rounds: number, signal: AbortSignal): Promise<ReportHeldOut | null> {
    const { seconds } = this.#components
    const { baseline, baselineRates, nodes } = this.#options.scenario
    const mesh = await this.#meanNatsPerByte(checkpoint, signal)
    this.#narrator.line(`held-out text of all eras: ${mesh.toFixed(3)} nats a byte`, seconds())
    if (!baseline) return { unit: 'nats/byte', mesh, alone: null, rates: null }

    const trainings = loneTrainings(nodes, this.#spec.isPrivate, baselineRates)
    // More lone nodes than processors would only take longer, and some of them longer than they may.
    const atOnce = Math.max(1, Math.floor(availableParallelism() / (this.#options.threads ?? 1)))
    this.#narrator.line(`${trainings.length} lone nodes, ${rounds} rounds each, ${atOnce} at a time`, seconds())
    const results: LoneResult[] = []
    // One after the other, also where two end together: each has the machine's threads.
    let judged: Promise<unknown> = Promise.resolve()
    await inTurns(trainings, atOnce, async training => {
      const directory = await this.#trainAlone(training, rounds, signal)
      const judging = judged.then(() => this.#meanNatsPerByte(directory, signal))
      judged = judging
      results.push({ ...training, heldOut: await judging })
      this.#narrator.line(loneLine(results.at(-1)!), seconds())
      await rm(directory, { recursive: true, force: true })
    })
    const heldOut = compared(mesh, results)
    for (const line of summaryLines(heldOut)) this.#narrator.line(line, seconds())
    return heldOut
  }

  async #meanNatsPerByte(directory: string, signal: AbortSignal): Promise<number> {
    const eras = await this.#components.judge.heldOut(directory, signal)
    return eras.reduce((sum, nats) => sum + nats, 0) / eras.length
  }

  /** Rounds of a lone node that have at least as many steps as any node of the mesh brought into the final anchor. */
  async #loneRounds(signal: AbortSignal): Promise<number> {
    const runner = this.#runner
    const { manifest } = await holderOf(runner).node!.control.run(runner.run!, { signal })
    const { strategy, optimizer, model } = manifest as unknown as StepSizes // the daemon's own document, checked when the run was made
    const tokensPerStep = optimizer.batch * optimizer.accumulation * model.context
    const steps = Math.ceil(mostTokens(runner.rounds()) / tokensPerStep)
    const rounds = Math.ceil(steps / strategy.innerSteps)
    this.#narrator.line(`one node brought at most ${steps} steps into it; a lone node takes ${rounds * strategy.innerSteps}`)
    return rounds
  }

  /** A real daemon that has nobody to talk to. @returns the folder of the checkpoint after exactly so many rounds. */
  async #trainAlone({ name, learningRate, data }: LoneTraining, rounds: number, signal: AbortSignal): Promise<string> {
    const processes = this.#newProcesses(name)
    const runner = this.#newRunner(processes, loneSpec(this.#spec.spec, learningRate), () => data, {
      ...{ nodes: 1, rounds, steps: [] },
      settleMs: this.#options.scenario.settleMs
    })
    try {
      await runner.drive({ signal })
      await runner.settle({ signal })
      return await this.#export(runner, join(this.#folder, `checkpoint-${name}`), { round: rounds, signal })
    } finally {
      runner.close()
      await processes.close()
      if (this.#options.keep !== true) await rm(join(this.#folder, name), { recursive: true, force: true })
    }
  }

  async #export(runner: MeshRunner, directory: string, { signal, round }: { signal: AbortSignal; round?: number }): Promise<string> {
    const request = { run: runner.run!, directory, ...(round === undefined ? {} : { round }) }
    return (await holderOf(runner).node!.control.exportCheckpoint(request, { signal })).directory
  }

  #newProcesses(name: string): Processes {
    const folder = join(this.#folder, name)
    mkdirSync(folder, { recursive: true })
    const suffix = basename(this.#folder)
      .replace(/[^a-z0-9]/gi, '')
      .toLowerCase()
    const network = `${suffix}${name.replaceAll('-', '')}`.slice(-32)
    const { memoryEveryMs } = this.#options.scenario
    const isMesh = name === ''
    const processes = new Processes({
      folder,
      network,
      flags: this.#options.daemonFlags ?? [],
      ...(isMesh ? { placeOf: (index: number, home: string) => this.#placeOf(index, home) } : {}),
      ...(isMesh && memoryEveryMs !== null ? { memoryEveryMs } : {})
    })
    this.#processes.push(processes)
    return processes
  }

  async #placeOf(index: number, home: string): Promise<NodePlace> {
    if (this.#onSmallDisks.has(index)) await this.#disks.mount(home)
    return (await this.#network?.place(index)) ?? { listen: null, apiPort: null, command: [] }
  }

  /** The scenario was checked for what each of them needs. */
  #faults(processes: Processes): MeshFaults {
    const network = this.#network
    return {
      partition: async (groups, oneWay) => await network?.partition(groups, oneWay),
      heal: async () => await network?.heal(),
      slow: async (index, bitsPerSecond) => await network?.slow(index, bitsPerSecond),
      fillDisk: async index => await this.#disks.fill(processes.home(index)),
      freeDisk: async index => await this.#disks.free(processes.home(index)),
      corruptBlock: async (index, cid) => await corruptBlock(processes.home(index), cid)
    }
  }

  #newRunner(
    starter: Processes,
    spec: unknown,
    dataOf: (index: number) => string[] | undefined,
    scenario: Pick<Scenario, 'nodes' | 'rounds' | 'steps' | 'settleMs'> = this.#options.scenario
  ): MeshRunner {
    const alone = scenario !== this.#options.scenario
    return new MeshRunner(
      {
        starter,
        faults: this.#faults(starter),
        seconds: this.#components.seconds,
        // Lone nodes are many and uneventful.
        news: news => (alone ? undefined : this.#narrator.tell(news))
      },
      {
        scenario,
        spec,
        ...(this.#spec.baseDir === undefined ? {} : { baseDir: this.#spec.baseDir }),
        dataOf,
        // A lone node is what it is compared with: it gets the engine that the machine would choose.
        ...(alone ? {} : { engineOf: (index: number) => this.#options.scenario.engines[index] }),
        ...(this.#options.threads === undefined ? {} : { threads: this.#options.threads })
      }
    )
  }
}

/** More ghosts than these say nothing more. */
const GHOSTS_MAX = 100

/** What of a resolved manifest says how many tokens a step has, and a round. */
interface StepSizes {
  strategy: { innerSteps: number }
  optimizer: { batch: number; accumulation: number }
  model: { context: number }
}

/** The node whose head stands for the mesh's. */
function holderOf(runner: MeshRunner): NodeState {
  const holder = runner.states.filter(state => state.life === 'alive').sort((a, b) => b.round - a.round)[0]
  if (holder?.node == null || runner.run === null) throw new CliError('step_failed', 'cannot export the checkpoint: no node is alive')
  return holder
}

function anchorLine({ index, anchor }: MeshRunner['heads'][number]): string {
  return `node ${index} holds ${anchor ?? 'none'}`
}

function loneLine({ learningRate, shard, heldOut }: LoneResult): string {
  const rate = learningRate === null ? '' : `rate ${learningRate}, `
  return `${rate}${shard === 'all' ? 'all shards on one node' : `shard ${shard} alone`}: ${heldOut.toFixed(3)} nats a byte`
}
