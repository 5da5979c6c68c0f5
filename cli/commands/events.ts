// `shoal events`: what happened on the node, and with -f what happens.
import { type Command, Option } from 'commander'
import { EVENT_TYPES, type EventType, MAX_ROWS } from '../../protocols/control/constants.ts'
import type { NodeEvent } from '../../protocols/control/index.ts'
import { oneLine } from '../../protocols/control/printable.ts'
import { action, wasInterrupted } from '../action.ts'
import { parseDuration } from '../duration.ts'
import { CliError } from '../errors.ts'
import { shortId } from '../format.ts'
import { wholeNumber } from '../option-values.ts'

/** An event's id, or the RFC 3339 time that a time or an age stands for. @throws CliError `bad_argument` */
export function readSince(text: string, _before?: unknown, nowMs: number = Date.now()): number | string {
  if (/^\d+$/.test(text)) return wholeNumber()(text)
  if (/^[\d.]+(ms|s|m|h|d)$/.test(text)) return new Date(nowMs - parseDuration(text)).toISOString()
  const moment = /^\d{4}-\d\d-\d\d/.test(text) ? new Date(text) : new Date(Number.NaN)
  if (!Number.isNaN(moment.getTime())) return moment.toISOString()
  throw new CliError('bad_argument', `--since "${text}" is neither an event's id nor a time nor an age`, {
    hint: 'for example 1234, 2026-05-01T10:00:00Z or 10m'
  })
}

export function registerEvents(program: Command): void {
  program
    .command('events')
    .description('what happened on this node')
    .option('-f, --follow', 'and what happens from now on')
    .option('--since <when>', "only events after this one's id, since a time such as 2026-05-01T10:00, or of the last 10m", readSince)
    .option(
      '-n, --limit <count>',
      'at most so many of the past; 100, or with --since 10000, where it is not given',
      wholeNumber(1, MAX_ROWS)
    )
    .addOption(new Option('--type <type>', 'only these').choices(EVENT_TYPES))
    .action(
      action<{ follow?: boolean; since?: number | string; limit?: number; type?: EventType }>(
        async (session, { follow, since, limit, type }) => {
          const { output, signal } = session
          const control = await session.control()
          const most = limit ?? (since === undefined ? 100 : MAX_ROWS)
          const wanted = type === undefined ? {} : { type }
          const past = await control.eventList({ ...(since === undefined ? {} : { since }), ...wanted, limit: most }, { signal })
          const { events, last } = past
          if (follow !== true) {
            output.answer(past, () => events.map(eventLine).join('\n') || 'no events')
            return
          }
          for (const event of events) output.streamLine(event, () => eventLine(event))
          const shown = events.at(-1)?.id ?? 0
          // Where there was no room for all since then, the next comes after the last that was shown.
          const from = since !== undefined && events.length === most ? shown : Math.max(shown, last)
          try {
            for await (const event of control.events({ since: from, ...wanted }, { signal })) {
              output.streamLine(event, () => eventLine(event))
            }
          } catch (error) {
            if (!wasInterrupted(session, error)) throw error
          }
        }
      )
    )
}

/** "2026-05-01T10:00:00.000Z  round  3  message". */
export function eventLine(event: NodeEvent): string {
  const where = [event.round === undefined ? '' : `round ${event.round}`, event.peer === undefined ? '' : shortId(event.peer)]
  const code = event.code === undefined ? '' : `${event.code}: `
  return oneLine([event.ts, event.type.padEnd(10), ...where.filter(text => text !== ''), `${code}${event.message}`].join('  '))
}
