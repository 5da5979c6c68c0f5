// `shoal checkpoint`: the anchors that this node holds, and a run's model as a Hugging Face folder.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { CliError } from '../errors.ts'
import { formatBytes, formatTable, namedRound } from '../format.ts'
import { namedPath, wholeNumber } from '../option-values.ts'
import { theRunWithCheckpoints } from '../run-argument.ts'

interface RoundFlag {
  round?: number
}

export function registerCheckpoint(program: Command): void {
  const checkpoint = program.command('checkpoint').description('the anchors held here; a run as a Hugging Face folder')

  checkpoint
    .command('ls')
    .description('the anchors that this node holds')
    .action(
      action(async ({ output, control, signal }) => {
        const answer = await (await control()).checkpoints({ signal })
        output.answer(answer, () =>
          answer.checkpoints.length === 0
            ? 'no checkpoints'
            : formatTable(
                ['ROUND', 'BYTES', 'ANCHOR', 'RUN'],
                answer.checkpoints.map(row => [row.round, formatBytes(row.bytes), row.anchor, row.run])
              )
        )
      })
    )

  ofRound(checkpoint.command('inspect'))
    .description('one of them: its round, record, anchor and size')
    .action(
      action<RoundFlag>(async ({ output, control, signal }, { round }, word) => {
        const client = await control()
        const run = await theRunWithCheckpoints(client, word, signal)
        const held = (await client.checkpoints({ signal })).checkpoints.filter(row => row.run === run).sort((a, b) => b.round - a.round)
        const found = round === undefined ? held[0] : held.find(row => row.round === round)
        if (found === undefined) {
          throw new CliError('check_failed', `this node holds no anchor of ${round === undefined ? 'that run' : `round ${round}`}`, {
            hint: held.length === 0 ? 'see: shoal checkpoint fetch' : `it holds rounds ${held.map(row => row.round).join(', ')}`
          })
        }
        const answer = { schema: 1, ...found }
        output.answer(answer, () =>
          [
            `run      ${found.run}`,
            `round    ${found.round}`,
            `record   ${found.record}`,
            `anchor   ${found.anchor}`,
            `size     ${formatBytes(found.bytes)}`
          ].join('\n')
        )
      })
    )

  ofRound(checkpoint.command('fetch'))
    .description('get an anchor from peers; this node need not train')
    .action(
      action<RoundFlag>(async ({ output, control, signal }, { round }, word) => {
        const client = await control()
        const run = await theRunWithCheckpoints(client, word, signal)
        const answer = await client.fetchCheckpoint({ run, ...(round === undefined ? {} : { round }) }, { signal })
        const { checkpoint: row } = answer
        output.answer(answer, () => `round ${row.round}: anchor ${row.anchor}, ${formatBytes(row.bytes)}`)
      })
    )

  ofRound(checkpoint.command('export').argument('<directory>', 'made if missing'))
    .description('write config.json, model.safetensors and the tokenizer into a folder')
    .action(
      action<RoundFlag>(async ({ output, control, signal }, { round }, place, word) => {
        const directory = namedPath(place!)
        const client = await control()
        const run = await theRunWithCheckpoints(client, word, signal)
        const request = { run, directory, ...(round === undefined ? {} : { round }) }
        const answer = await client.exportCheckpoint(request, { signal })
        output.answer(answer, () => `${namedRound(answer.round)} is in ${answer.directory}: ${answer.files.join(', ')}`)
      })
    )
}

/** A command about one anchor: of which run, and which of its rounds. */
function ofRound(command: Command): Command {
  return command.argument('[run]', "a run's id or name").option('--round <round>', 'which; the newest otherwise', wholeNumber())
}
