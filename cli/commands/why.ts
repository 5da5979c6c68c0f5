// `shoal why PEER|RUN|ROUND|CID|ENGINE|CODE`: the chain of events that refused, delayed or dropped it.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { standingText } from '../status-text.ts'
import { eventLine } from './events.ts'

export function registerWhy(program: Command): void {
  program
    .command('why')
    .description('why a peer, a round or a contribution was refused, late or lost, or an engine given up')
    .argument('<subject>', 'a peer id, a run, a round number, a CID, an engine or a reason code')
    .action(
      action(async ({ output, control, signal }, _options, subject) => {
        const answer = await (await control()).why(subject!, { signal })
        const meaning = answer.meaning === null ? [] : [`${subject}: ${answer.meaning}`]
        const { standing } = answer
        const isKnown = standing !== undefined && (standing.points > 0 || standing.standing !== 'good' || standing.opinions.length > 0)
        const judged = isKnown ? [standingText(standing)] : []
        const events = answer.events.length === 0 ? [`nothing is recorded about ${subject}`] : answer.events.map(eventLine)
        output.answer(answer, () => [...meaning, ...judged, ...events].join('\n'))
      })
    )
}
