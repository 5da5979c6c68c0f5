// `shoal config show`: every setting, its value, and where that came from.
import type { Command } from 'commander'
import type { ConfigDocument } from '../../protocols/control/index.ts'
import { action } from '../action.ts'
import { formatTable } from '../format.ts'
import type { Session } from '../session.ts'

export function registerConfig(program: Command): void {
  const config = program.command('config').description("the node's settings")
  config
    .command('show')
    .description('every setting, its value, and where it came from; of the running daemon, else what one would start with')
    .option('--effective', 'only values, as the daemon uses them')
    .option('--why', 'also what each is for')
    .action(
      action<{ effective?: boolean; why?: boolean }>(async (session, { effective, why }) => {
        const answer = await settings(session)
        session.output.answer(answer, () => {
          const lines = [`# home ${answer.home}`, `# file ${answer.file ?? 'none'}`]
          if (effective === true) return [...lines, ...answer.settings.map(row => `${row.key}: ${JSON.stringify(row.value)}`)].join('\n')
          const head = ['SETTING', 'VALUE', 'FROM', 'FLAG', 'ENVIRONMENT']
          const rows = answer.settings.map(row => [row.key, shown(row.value), row.from, row.flag, row.env])
          if (why !== true) return [...lines, formatTable(head, rows)].join('\n')
          return [
            ...lines,
            formatTable(
              [...head, 'WHY'],
              rows.map((row, index) => [...row, answer.settings[index]!.reason])
            )
          ].join('\n')
        })
      })
    )
}

async function settings(session: Session): Promise<ConfigDocument> {
  try {
    return await (await session.control()).config({ signal: session.signal })
  } catch (error) {
    // Where a daemon was named, what stands in this home is no answer.
    if ((error as { code?: string }).code !== 'daemon_not_running' || session.api !== undefined) throw error
    const { readConfig, settingRows } = await import('../../daemon/index.ts')
    const { config, error: wrong } = await readConfig({ flags: { home: session.home }, env: process.env })
    // What may stand there is what somebody with a wrong setting looks for.
    if (wrong !== undefined) session.output.note(`${wrong.code}: ${wrong.message}`)
    return { schema: 1, home: config.home, file: config.file, settings: settingRows(config) }
  }
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.join(' ')
  return value === null ? '-' : String(value)
}
