// `shoal why PEER|RUN|ROUND|CID|ENGINE|CODE`: the chain of events that refused, delayed or dropped it.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { peersEndingIn, thePeer } from '../peer-argument.ts'
import { standingText } from '../status-text.ts'
import { eventLine } from './events.ts'

export function registerWhy(program: Command): void {
  program
    .command('why')
    .description('why a peer, a round or a contribution was refused, late or lost, or an engine given up')
    .argument(
      '<subject>',
      'a peer id (or ..its end, as tables show it), a run, a round number or RUN/ROUND, a CID, an engine or a reason code'
    )
    .action(
      action(async ({ output, control, signal }, _options, subject) => {
        const client = await control()
        // Tables show the end of a peer's id after two dots. One that is not here any more is found by what was told of it.
        const found = subject!.startsWith('..') ? await peersEndingIn(client, subject!.slice(2), signal) : []
        const asked = found.length > 1 ? await thePeer(client, subject!, signal) : (found[0] ?? subject!)
        const answer = await client.why(asked, { signal })
        const meaning = answer.meaning === null ? [] : [`${subject}: ${answer.meaning}`]
        const { standing } = answer
        const isKnown = standing !== undefined && (standing.points > 0 || standing.standing !== 'good' || standing.opinions.length > 0)
        const judged = isKnown ? [standingText(standing)] : []
        const events = answer.events.length === 0 ? [`nothing is recorded about ${subject}`] : answer.events.map(eventLine)
        output.answer(answer, () => [...meaning, ...judged, ...events].join('\n'))
        if (answer.leftOut > 0) output.note(`these are the newest ${events.length}: ${answer.leftOut} older ones are left out`)
      })
    )
}
