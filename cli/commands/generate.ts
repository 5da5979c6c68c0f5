// `shoal generate`: text from a checkpoint, shown as it comes.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { decimalNumber, wholeNumber } from '../option-values.ts'
import { type CheckpointFlags, withCheckpoint } from './checkpoint-folder.ts'

interface GenerateFlags extends CheckpointFlags {
  prompt: string
  tokens: number
  temperature: number
  topK: number
  seed: number
}

export function registerGenerate(program: Command): void {
  program
    .command('generate')
    .description('text from a checkpoint')
    .option('--from <directory>', 'a Hugging Face folder; otherwise the newest checkpoint of a run is taken from the daemon')
    .option('--run <run>', "a run's id or name, where the daemon is in several")
    .option('--round <round>', 'which of its checkpoints', wholeNumber())
    .option('--prompt <text>', 'what it goes on from', '')
    .option('--tokens <count>', 'so many at most', wholeNumber(1, 1_000_000), 200)
    .option('--temperature <value>', '0 takes the likeliest each time', decimalNumber(0, 100), 0.8)
    .option('--top-k <count>', 'choose among so many likeliest; 0 is all', wholeNumber(0), 40)
    .option('--seed <seed>', 'the same seed gives the same text', wholeNumber(0, 0xffff_ffff), 1)
    .action(
      action<GenerateFlags>(async (session, flags) => {
        const { output, signal } = session
        const { prompt, tokens, temperature, topK, seed } = flags
        await withCheckpoint(session, flags, async directory => {
          const { generateFromCheckpoint } = await import('../../daemon/index.ts')
          let shown = false
          // With the first piece: a folder that holds no checkpoint has nothing to go on from.
          const show = (piece: string) => {
            output.piece(shown ? piece : prompt + piece)
            shown = true
          }
          const text = await generateFromCheckpoint(directory, { prompt, tokens, temperature, topK, seed, signal }, show)
          show('\n')
          output.document({ schema: 1, prompt, text, seed })
        })
      })
    )
}
