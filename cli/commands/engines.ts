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
            ['ENGINE', 'HERE', 'ON', 'WHY NOT', 'NEEDS'],
            engines.map(({ name, available, adapter, software, reason, install }) => [
              name,
              available ? 'yes' : 'no',
              software ? `${adapter} (software: only when asked for by name)` : adapter,
              reason,
              install
            ])
          )
        )
      })
    )
}
