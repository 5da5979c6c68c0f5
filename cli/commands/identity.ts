// `shoal identity backup|restore FILE`: the node's key as a file to keep elsewhere, and back. The daemon's home is read, no daemon is asked.
import type { Command } from 'commander'
import { action } from '../action.ts'

export function registerIdentity(program: Command): void {
  const identity = program.command('identity').description("keep a copy of the node's identity, and put it back")

  identity
    .command('backup')
    .description('write the identity to a new file that only you can read')
    .argument('<file>', 'where to; a file that is there stays as it is')
    .action(
      action(async ({ output, home }, _options, file) => {
        const { backUpIdentity } = await import('../../daemon/index.ts')
        const answer = await backUpIdentity(home, file!)
        output.answer({ schema: 1, ...answer }, () => `the identity of ${answer.peer} is in ${answer.file}`)
        output.note('whoever has this file can act as this node; never run two nodes with it at once')
      })
    )

  identity
    .command('restore')
    .description('make a backup the identity of the home, while no daemon runs there')
    .argument('<file>', 'what `shoal identity backup` wrote')
    .option('--force', 'also where the home has another identity, which is moved aside')
    .action(
      action<{ force?: boolean }>(async ({ output, home }, { force }, file) => {
        const { restoreIdentity } = await import('../../daemon/index.ts')
        const answer = await restoreIdentity(home, file!, { force: force === true })
        output.answer({ schema: 1, ...answer }, () =>
          [
            `peer  ${answer.peer}`,
            `home  ${answer.home}`,
            answer.restored ? 'restored; start it with: shoal daemon' : 'this home had this identity already',
            ...(answer.movedTo === null ? [] : [`the identity that stood there is in ${answer.movedTo}`])
          ].join('\n')
        )
        if (answer.restored) output.note('stop every other daemon that has this identity: two would be taken for one')
      })
    )
}
