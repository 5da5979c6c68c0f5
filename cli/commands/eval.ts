// `shoal eval FILE...`: how well a checkpoint predicts a text.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { readNamed } from '../files.ts'
import { formatCount } from '../format.ts'
import { wholeNumber } from '../option-values.ts'
import { type CheckpointFlags, withCheckpoint } from './checkpoint-folder.ts'

export function registerEval(program: Command): void {
  program
    .command('eval')
    .description('nats a token and bits a byte of a text, by a checkpoint')
    .argument('<file...>', 'text files')
    .option('--from <directory>', 'a Hugging Face folder; otherwise the newest checkpoint of a run is taken from the daemon')
    .option('--run <run>', "a run's id or name, where the daemon is in several")
    .option('--round <round>', 'which of its checkpoints', wholeNumber())
    .action(
      action<CheckpointFlags>(async (session, flags, ...files) => {
        const texts = await Promise.all(files.map(readNamed))
        const result = await withCheckpoint(session, flags, async directory => {
          const { evaluateCheckpoint } = await import('../../daemon/index.ts')
          const [evaluation] = await evaluateCheckpoint(directory, [texts], { signal: session.signal })
          return evaluation!
        })
        session.output.answer({ schema: 1, ...result }, () =>
          [
            `tokens          ${formatCount(result.tokens)} in ${formatCount(result.bytes)} bytes`,
            `nats per token  ${result.natsPerToken.toFixed(4)}`,
            `nats per byte   ${result.natsPerByte.toFixed(4)}`,
            `bits per byte   ${result.bitsPerByte.toFixed(4)}`,
            `perplexity      ${result.perplexity.toFixed(3)}`
          ].join('\n')
        )
      })
    )
}
