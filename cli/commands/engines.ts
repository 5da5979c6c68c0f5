// `shoal engines`: what could compute here, and why the rest could not.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { formatTable } from '../format.ts'

export function registerEngines(program: Command): void {
  program
    .command('engines')
    .description('what can compute on this machine, fastest first')
    .action(
      action(async ({ output }) => {
        const { listEngines } = await import('../../daemon/index.ts')
        const engines = await listEngines()
        output.answer({ schema: 1, engines }, () =>
          formatTable(
            ['ENGINE', 'HERE', 'WHY NOT', 'INSTALL WITH'],
            engines.map(engine => [engine.name, engine.available ? 'yes' : 'no', engine.reason, engine.install])
          )
        )
      })
    )
}
