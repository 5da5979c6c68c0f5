// `shoal bench`: how fast the engine trains and how fast nodes agree, on this machine.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { wholeNumber } from '../option-values.ts'

interface TrainFlags {
  workload: string
  steps: number
  warmup: number
  threads: number
  engine: string
}

export function registerBench(program: Command): void {
  const bench = program.command('bench').description('measure this machine')

  bench
    .command('train')
    .description('the compiled training step on a reference workload')
    .requiredOption('--workload <dir/name>', 'as shared/reference/train-step.mjs writes it: NAME.json, NAME.params.bin, NAME.batch.bin')
    .option('--steps <count>', 'steps that are timed', wholeNumber(1), 10)
    .option('--warmup <count>', 'steps before them', wholeNumber(0), 2)
    .option('--threads <count>', 'threads of the engine', wholeNumber(1, 1024), 2)
    .option('--engine <name>', 'traced, tfjs-node-gpu, tfjs-node, wasm, js or auto', 'auto')
    .action(
      action<TrainFlags>(async ({ output, signal }, { workload, steps, warmup, threads, engine }) => {
        const { benchTrain } = await import('../../daemon/index.ts')
        const result = await benchTrain({ workload, steps, warmup, threads, engine, signal })
        output.answer(result, () =>
          [
            `${result.engine}, ${result.name}, ${result.threads} threads`,
            `${result.ms.toFixed(1)} ms a step   ${Math.round(result.tokensPerSecond)} tokens/s   compiled in ${Math.round(result.compileMs)} ms   ${result.rssMB} MB`,
            `losses ${result.losses.map(loss => loss.toFixed(5)).join(' ')}`
          ].join('\n')
        )
      })
    )
}
