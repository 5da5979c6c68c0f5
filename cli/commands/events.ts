// `shoal events`: what happened on the node, and with -f what happens.
import { type Command, Option } from 'commander'
import type { NodeEvent } from '../../protocols/control/index.ts'
import { action, wasInterrupted } from '../action.ts'
import { shortId } from '../format.ts'
import { wholeNumber } from '../option-values.ts'

const TYPES: readonly NodeEvent['type'][] = ['phase', 'round', 'peer', 'refused', 'checkpoint', 'trainer', 'health', 'run']

export function registerEvents(program: Command): void {
  program
    .command('events')
    .description('what happened on this node')
    .option('-f, --follow', 'and what happens from now on')
    .option('--since <id>', 'only events after this id', wholeNumber())
    .option('-n, --limit <count>', 'at most so many of the past', wholeNumber(1))
    .addOption(new Option('--type <type>', 'only these').choices(TYPES))
    .action(
      action<{ follow?: boolean; since?: number; limit?: number; type?: string }>(async (session, { follow, since, limit, type }) => {
        const { output, signal } = session
        const control = await session.control()
        const wanted = (event: NodeEvent): boolean => type === undefined || event.type === type
        const past = await control.eventList({ ...(since === undefined ? {} : { since }), limit: limit ?? 100 }, { signal })
        const events = past.events.filter(wanted)
        if (follow !== true) {
          output.answer({ ...past, events }, () => events.map(eventLine).join('\n') || 'no events')
          return
        }
        for (const event of events) output.streamLine(event, () => eventLine(event))
        try {
          for await (const event of control.events({ since: past.events.at(-1)?.id ?? past.last }, { signal })) {
            if (wanted(event)) output.streamLine(event, () => eventLine(event))
          }
        } catch (error) {
          if (!wasInterrupted(session, error)) throw error
        }
      })
    )
}

/** "2026-05-01T10:00:00.000Z  round  3  message". */
export function eventLine(event: NodeEvent): string {
  const where = [event.round === undefined ? '' : `round ${event.round}`, event.peer === undefined ? '' : shortId(event.peer)]
  const code = event.code === undefined ? '' : `${event.code}: `
  return [event.ts, event.type.padEnd(10), ...where.filter(text => text !== ''), `${code}${event.message}`].join('  ')
}
