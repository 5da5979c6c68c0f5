// `shoal version`: of the program and of what it runs on.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { action } from '../action.ts'

export function registerVersion(program: Command): void {
  program
    .command('version')
    .description('the version of the program and of Node')
    .action(
      action(async ({ output }) => {
        const version = packageVersion()
        const answer = { schema: 1, version, node: process.versions.node, platform: `${process.platform}-${process.arch}` }
        output.answer(answer, () => `shoal ${version} (node ${answer.node}, ${answer.platform})`)
      })
    )
}

/** From package.json, which lies beside dist/. */
export function packageVersion(): string {
  const text = readFileSync(join(import.meta.dirname, '..', '..', '..', 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
