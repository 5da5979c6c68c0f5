// `shoal init`: makes a node's home with its identity, so that its peer id is known before it runs.
import type { Command } from 'commander'
import { action } from '../action.ts'

export function registerInit(program: Command): void {
  program
    .command('init')
    .description("make the node's home and identity; `daemon` does it too where there is none")
    .action(
      action(async ({ output, home }) => {
        const { initHome } = await import('../../daemon/index.ts')
        const answer = await initHome(home)
        output.answer({ schema: 1, ...answer }, () =>
          [
            `peer  ${answer.peer}`,
            `home  ${answer.home}`,
            `${answer.created ? 'made' : 'was there already'}; start it with: shoal daemon`
          ].join('\n')
        )
      })
    )
}
