// `shoal events`: what happened on the node, and with -f what happens.
import { type Command, Option } from 'commander'
import { EVENT_TYPES, type EventType, MAX_ROWS } from '../../protocols/control/constants.ts'
import { CONTROL_SCHEMA, type ControlClient, type EventsDocument, type NodeEvent } from '../../protocols/control/index.ts'
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
      'of the past only the newest so many; where it is not given 100, or with --since all',
      wholeNumber(1, MAX_ROWS)
    )
    .addOption(new Option('--type <type>', 'only these').choices(EVENT_TYPES))
    .action(
      action<{ follow?: boolean; since?: number | string; limit?: number; type?: EventType }>(
        async (session, { follow, since, limit, type }) => {
          const { output, signal } = session
          const control = await session.control()
          let shown = 0
          const show = (event: NodeEvent) => {
            output.streamLine(event, () => eventLine(event))
            shown = event.id
          }
          // Which are the newest shows at the end, and a document comes whole.
          const isDocument = output.json && follow !== true
          const isHeld = limit !== undefined || isDocument
          const held: NodeEvent[] = []
          let last = 0
          for await (const page of pastOf(control, { since, limit, type }, signal)) {
            if (isHeld) held.push(...page.events)
            else page.events.forEach(show)
            last = page.last
          }
          const events = limit === undefined ? held : held.slice(-limit)
          if (isDocument) {
            output.document({ schema: CONTROL_SCHEMA, events, last })
            return
          }
          events.forEach(show)
          if (follow !== true) {
            if (shown === 0) output.text('no events')
            return
          }
          try {
            for await (const event of control.events({ since: Math.max(shown, last), type }, { signal })) {
              output.streamLine(event, () => eventLine(event))
            }
          } catch (error) {
            if (!wasInterrupted(session, error)) throw error
          }
        }
      )
    )
}

/** What happened, oldest first: the newest without `since`, and with it all since then, page after page, as one answer has room for the oldest of them alone. */
async function* pastOf(
  control: ControlClient,
  { since, limit, type }: { since: number | string | undefined; limit: number | undefined; type: EventType | undefined },
  signal: AbortSignal
): AsyncGenerator<EventsDocument> {
  if (since === undefined) {
    yield await control.eventList({ type, limit: limit ?? 100 }, { signal })
    return
  }
  for (let from = since; ; ) {
    const page = await control.eventList({ since: from, type, limit: MAX_ROWS }, { signal })
    yield page
    if (page.events.length < MAX_ROWS) return
    from = page.events.at(-1)!.id
  }
}

/** "2026-05-01T10:00:00.000Z  round  3  message". */
export function eventLine(event: NodeEvent): string {
  const where = [event.round === undefined ? '' : `round ${event.round}`, event.peer === undefined ? '' : shortId(event.peer)]
  const code = event.code === undefined ? '' : `${event.code}: `
  return oneLine([event.ts, event.type.padEnd(10), ...where.filter(text => text !== ''), `${code}${event.message}`].join('  '))
}
