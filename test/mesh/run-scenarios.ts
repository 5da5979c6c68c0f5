// `npm run meshes -- NAME...`: the scenarios beside this file with real daemons, one after the other, and a table of what came of them. They take minutes
// each, so they are no part of `npm test`. Reports and output lie in MESHES_OUT, else in a folder of the system's temporary one, which is named.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Report } from '../../cli/mesh/report.ts'
import { MAIN } from './small-run.ts'

/** YAML is not compiled: it stays beside the source. */
const FOLDER = resolve(import.meta.dirname, '../../../test/mesh/scenarios')
const names = readdirSync(FOLDER)
  .filter(name => name !== 'tiny.yaml')
  .map(name => name.replace(/\.yaml$/, ''))
  .sort()

const wanted = process.argv.slice(2)
const unknown = wanted.find(name => !names.includes(name))
if (wanted.length === 0 || unknown !== undefined) {
  if (unknown !== undefined) console.error(`there is no scenario ${unknown}`)
  console.error(`npm run meshes -- NAME...; the names are ${names.join(', ')}`)
  process.exit(2)
}

const out = process.env.MESHES_OUT ?? mkdtempSync(join(tmpdir(), 'shoal-meshes-'))
mkdirSync(out, { recursive: true })
const rows: string[][] = []
let isInterrupted = false
for (const name of wanted) {
  if (isInterrupted) break
  const report = join(out, `${name}.json`)
  const args = [MAIN, 'mesh', 'run', join(FOLDER, `${name}.yaml`), '--report', report]
  console.log(`\n${name}`)
  const child = spawn(process.execPath, args, { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      isInterrupted = true
      child.kill(signal)
    })
  const [code] = (await once(child, 'exit')) as [number | null]
  rows.push([name, `exit ${code}`, ...factsOf(JSON.parse(readFileSync(report, 'utf8')) as Report)])
  if (code !== 0) process.exitCode = 1
}
console.log(`\n${rows.map(row => row.join('  ')).join('\n')}\nreports are in ${out}`)

function factsOf({ reason, rounds, gaps, expect, seconds }: Report): string[] {
  const longest = gaps[0]
  return [
    `${rounds.at(-1)?.round ?? 0} rounds in ${seconds} s`,
    longest === undefined ? 'no node left alone' : `longest wait ${longest.seconds} s on node ${longest.node} at round ${longest.round}`,
    ...expect.map(({ name, ok }) => `${name} ${ok ? 'holds' : 'FAILS'}`),
    reason ?? 'all held'
  ]
}
