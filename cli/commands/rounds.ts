// `shoal rounds [RUN]`: the adopted rounds, newest first.
import type { Command } from 'commander'
import { MAX_ROWS } from '../../protocols/control/constants.ts'
import { action } from '../action.ts'
import { formatBytes, formatLoss, formatSeconds, formatTable, shortId } from '../format.ts'
import { wholeNumber } from '../option-values.ts'
import { theRun } from '../run-argument.ts'

export function registerRounds(program: Command): void {
  program
    .command('rounds')
    .description('the adopted rounds of a run, newest first')
    .argument('[run]', "a run's id or name; not needed where there is one")
    .option('-n, --limit <count>', 'at most so many', wholeNumber(1, MAX_ROWS), 20)
    .action(
      action<{ limit: number }>(async ({ output, control, signal }, { limit }, name) => {
        const client = await control()
        const answer = await client.rounds(await theRun(client, name, signal), { limit }, { signal })
        output.answer(answer, () =>
          answer.rounds.length === 0
            ? 'no round yet'
            : formatTable(
                ['ROUND', 'LOSS', 'FROM', 'LATE', 'BYTES', 'TIME', 'CLOSED BY', 'ADOPTED', 'ANCHOR'],
                answer.rounds.map(row => [
                  row.round,
                  formatLoss(row.loss),
                  row.contributors.length,
                  row.contributors.filter(contributor => contributor.age > 0).length,
                  formatBytes(row.bytes),
                  row.seconds === null ? null : formatSeconds(row.seconds),
                  shortId(row.closer),
                  row.adoptedAt,
                  shortId(row.anchor)
                ])
              )
        )
      })
    )
}
