// `shoal bench`: how fast the engine trains, how fast nodes agree, and what liars among them can do, on this machine.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { CliError } from '../errors.ts'
import { formatBytes, formatTable } from '../format.ts'
import { commaList, decimalNumber, wholeNumber } from '../option-values.ts'

interface TrainFlags {
  workload: string
  steps: number
  warmup: number
  threads: number
  engine: string
}

interface RoundFlags {
  peers: number[]
  values: number
  codec: string[]
  rounds: number
}

interface AttackFlags {
  nodes: number
  fraction?: number[]
  attacks: string[]
  aggregations: string[]
  rounds: number
  innerSteps: number
  seeds: number[]
  outer: string
  unlike?: boolean
  engine: string
  threads: number
}

const ATTACKS = 'signFlip,loudSignFlip,noise,loudNoise,labelFlip,alie,ipm,standstill'
const AGGREGATIONS = 'mean,cappedMean,trimmedMean,median,centeredClip'

export function registerBench(program: Command): void {
  const bench = program.command('bench').description('measure this machine')

  bench
    .command('train')
    .description('the compiled training step on a reference workload')
    .requiredOption(
      '--workload <dir/name>',
      'NAME.json, NAME.params.bin and NAME.batch.bin: of any model as test/peers/workload.mjs writes them'
    )
    .option('--steps <count>', 'steps that are timed', wholeNumber(1), 10)
    .option('--warmup <count>', 'steps before them', wholeNumber(0), 2)
    .option('--threads <count>', 'threads of the engine', wholeNumber(1, 1024), 2)
    .option('--engine <name>', 'traced, webgpu, tfjs-node-gpu, tfjs-node, wasm, js or auto', 'auto')
    .action(
      action<TrainFlags>(async ({ output, signal }, { workload, steps, warmup, threads, engine }) => {
        const { benchTrain } = await import('../../daemon/index.ts')
        const result = await benchTrain({ workload, steps, warmup, threads, engine, signal })
        output.answer(result, () =>
          [
            `${result.engine}, ${result.name}, ${result.threads} threads`,
            `${result.ms.toFixed(1)} ms a step   ${Math.round(result.tokensPerSecond)} tokens/s   compiled in ${Math.round(result.compileMs)} ms   ${result.rssMB} MB`,
            `${result.residentMB.join(', ')} MB after a tenth, half and all of the steps   ${result.tensorsLeft} tensors left`,
            `losses ${result.losses.map(loss => loss.toFixed(5)).join(' ')}`
          ].join('\n')
        )
      })
    )

  bench
    .command('round')
    .description('one exchange among nodes of their own processes, from the first encoding to the last that holds the root')
    .option('--peers <counts>', 'how many nodes, such as 4,8', peerCounts, [4])
    .option('--values <count>', 'parameters of the model', wholeNumber(1), 2_373_888)
    .option('--codec <names>', 'such as f32,f16,int8', commaList, ['int8'])
    .option('--rounds <count>', 'rounds that are timed', wholeNumber(1), 3)
    .action(
      action<RoundFlags>(async ({ output, signal }, { peers, values, codec, rounds }) => {
        const { benchRound } = await import('../../daemon/index.ts')
        const rows = await benchRound({ peers, values, codecs: codec, rounds, signal, onProgress: (text: string) => output.note(text) })
        output.answer({ schema: 1, rows }, () =>
          formatTable(
            ['PEERS', 'CODEC', 'VALUES', 'MIN S', 'MEDIAN S', 'MAX S', 'SENT/PEER', 'RECEIVED/PEER', 'MAX ERROR'],
            rows.map(row => [
              row.peers,
              row.codec,
              row.values,
              row.seconds.min.toFixed(2),
              row.seconds.median.toFixed(2),
              row.seconds.max.toFixed(2),
              formatBytes(row.bytesSentPerPeer),
              formatBytes(row.bytesReceivedPerPeer),
              row.maxAbsError.toExponential(2)
            ])
          )
        )
      })
    )

  bench
    .command('attacks')
    .description('held-out loss of a small model that honest nodes and liars train together, by each way to combine what they send')
    .option('--nodes <count>', 'nodes, liars among them', wholeNumber(3, 64), 9)
    .option(
      '--fraction <parts>',
      "parts of them that lie; left out, those of the authors' logs: 0.2, for ipm and standstill 0.44, for alie both",
      fractions
    )
    .option('--attacks <names>', `some of ${ATTACKS}, or ipm:EPSILON`, commaList, commaList(ATTACKS))
    .option('--aggregations <names>', `some of ${AGGREGATIONS}`, commaList, commaList(AGGREGATIONS))
    .option('--rounds <count>', 'rounds', wholeNumber(1), 10)
    .option('--inner-steps <count>', 'steps of each node in a round', wholeNumber(1), 20)
    .option('--seeds <numbers>', 'such as 1,2,3: each begins from parameters of its own', seedNumbers, [1])
    .option('--outer <name>', 'averaging or nesterov', 'averaging')
    .option('--unlike', 'each node has text of its own time instead of some of all')
    .option('--engine <name>', 'as for bench train', 'traced')
    .option('--threads <count>', 'threads of the engine', wholeNumber(1, 1024), 1)
    .action(
      action<AttackFlags>(async ({ output, signal }, { fraction, attacks, outer, unlike, engine, ...flags }) => {
        const { benchAttacks } = await import('../../daemon/index.ts')
        const report = await benchAttacks({
          ...flags,
          attacks: attacks.flatMap(name => (fraction ?? loggedFractions(name)).map(part => ({ name, fraction: part }))),
          outer: outerOptimizer(outer),
          unlike: unlike === true,
          engine: engine as Parameters<typeof benchAttacks>[0]['engine'],
          signal,
          onProgress: text => output.note(text)
        })
        output.answer({ schema: 1, ...report }, () => {
          const clean = report.clean.reduce((sum, loss) => sum + loss, 0) / report.clean.length
          return [
            `${report.nodes} nodes, ${report.parameters} parameters; nats a byte with nobody lying: ${clean.toFixed(3)}; above it by:`,
            formatTable(
              ['ATTACK', 'LIARS', 'WITHOUT THEM', ...flags.aggregations.map(name => name.toUpperCase())],
              report.rows.map(({ attack, attackers, withoutThem, rules }) => [
                attack ?? 'none',
                attackers,
                percent(withoutThem),
                ...flags.aggregations.map(name => percent(rules[name]?.aboveClean ?? null))
              ])
            )
          ].join('\n')
        })
      })
    )
}

function percent(part: number | null): string {
  return part === null ? 'broke down' : `${(100 * part).toFixed(1)} %`
}

function fractions(text: string): number[] {
  return commaList(text).map(decimalNumber(0, 0.499))
}

/** Where the table of Karimireddy et al. has it: inner-product manipulation with 11 of 25, the others with 5. ALIE is strongest with many. */
function loggedFractions(attack: string): number[] {
  if (attack === 'alie') return [0.2, 0.44]
  return /^(ipm|standstill)/.test(attack) ? [0.44] : [0.2]
}

function seedNumbers(text: string): number[] {
  return commaList(text).map(wholeNumber(0, 2 ** 31))
}

/** With DiLoCo's settings. */
function outerOptimizer(name: string) {
  if (name === 'averaging') return { name } as const
  if (name === 'nesterov') return { name, learningRate: 0.7, momentum: 0.9 } as const
  throw new CliError('bad_argument', `there is no outer optimizer "${name}": it is averaging or nesterov`)
}

function peerCounts(text: string): number[] {
  return commaList(text).map(wholeNumber(2, 256))
}
