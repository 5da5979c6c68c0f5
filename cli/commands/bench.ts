// `shoal bench`: how fast the engine trains and how fast nodes agree, on this machine.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { CliError } from '../errors.ts'
import { formatBytes, formatTable } from '../format.ts'
import { commaList, wholeNumber } from '../option-values.ts'

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
}

function peerCounts(text: string): number[] {
  const counts = commaList(text).map(wholeNumber(2, 256))
  if (counts.length === 0) throw new CliError('bad_argument', `read the peers "${text}"`, { hint: 'for example 4,8' })
  return counts
}
