// `shoal why PEER|RUN|ROUND|CID|ENGINE|CODE`: the chain of events that refused, delayed or dropped it.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { eventLine } from './events.ts'

export function registerWhy(program: Command): void {
  program
    .command('why')
    .description('why a peer, a round or a contribution was refused, late or lost, or an engine given up')
    .argument('<subject>', 'a peer id, a run, a round number, a CID, an engine or a reason code')
    .action(
      action(async ({ output, control, signal }, _options, subject) => {
        const answer = await (await control()).why(subject!, { signal })
        output.answer(answer, () => answer.events.map(eventLine).join('\n') || `nothing is recorded about ${subject}`)
      })
    )
}
