// `shoal engines`: what could compute here, and why the rest could not.
import type { Command } from 'commander'
import { action } from '../action.ts'
import { formatTable } from '../format.ts'

export function registerEngines(program: Command): void {
  program
    .command('engines')
    .description('what can compute on this machine, fastest first')
    .option('--measure', 'time a small training step on each, on js only where it is alone, for about ten seconds')
    .action(
      action<{ measure?: boolean }>(async ({ output, signal }, { measure }) => {
        const { listEngines, measureEngines } = await import('../../daemon/index.ts')
        const listed = await listEngines()
        const measured = measure === true ? await measureEngines({ signal }) : []
        const engines = listed.map(engine => ({ ...engine, stepMs: measured.find(row => row.engine === engine.name)?.stepMs ?? null }))
        output.answer({ schema: 1, engines }, () =>
          formatTable(
            ['ENGINE', 'HERE', ...(measure === true ? ['STEP'] : []), 'ON', 'WHY NOT', 'NEEDS'],
            engines.map(({ name, available, stepMs, adapter, software, reason, install }) => [
              name,
              available ? 'yes' : 'no',
              ...(measure === true ? [stepMs === null ? null : `${Number(stepMs.toPrecision(3))} ms`] : []),
              software ? `${adapter} (software: only when asked for by name)` : adapter,
              reason,
              install
            ])
          )
        )
      })
    )
}
