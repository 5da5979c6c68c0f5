// `npm run mutations`: every defence of the round rules is taken out once, from a copy, and the copy put through the trials until one is broken. Prints a table; fails if a defence is missed by nothing,
// or if the rules as they are do not hold. `-- --seeds N` (default 10), `-- --only TEXT` for the defences that have the text in their name, `-- --limit S` seconds for each (default 120).
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { applied, MUTATIONS, type Mutation, occurrences } from './mutations.ts'

interface Outcome {
  /** Trials that were begun, the broken one included. */
  trials: number
  broken: { trial: string; seed: number; text: string } | null
  seconds: number
}

const DIST = resolve(import.meta.dirname, '../..')
/** A trial takes seconds; one that takes this long goes round in a circle. */
const TRIAL_SECONDS = 60

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '10' },
    only: { type: 'string', default: '' },
    limit: { type: 'string', default: '120' }
  }
})

let failures = 0
const chosen = MUTATIONS.filter(({ defence }) => defence.includes(values.only))
for (const mutation of [null, ...chosen]) {
  const outcome = await tried(mutation)
  // Whatever holds without a defence, holds; the rules as they are must.
  if ((outcome.broken !== null) === (mutation === null)) failures++
  process.stdout.write(row(mutation, outcome))
}
process.exitCode = failures === 0 ? 0 : 1

async function tried(mutation: Mutation | null): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-mutation-'))
  try {
    copyRules(folder, mutation)
    const outcome = await live(join(folder, 'dist/test/simulation/mutation-trial.js'), mutation?.noticedBy)
    // What cannot be loaded is not noticed by any trial.
    if (outcome.trials === 0) throw new Error(`"${mutation?.defence ?? 'nothing taken out'}" leaves code that began no trial`)
    return outcome
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** What the simulation needs of dist/, with one defence less. */
function copyRules(folder: string, mutation: Mutation | null): void {
  for (const part of ['protocols', 'test/simulation']) cpSync(join(DIST, part), join(folder, 'dist', part), { recursive: true })
  mkdirSync(folder, { recursive: true })
  symlinkSync(resolve(DIST, '../node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n')
  if (mutation === null) return
  for (const edit of mutation.and === undefined ? [mutation] : [mutation, mutation.and]) {
    const path = join(folder, 'dist/protocols/rounds', edit.file)
    const code = readFileSync(path, 'utf8')
    if (occurrences(code, edit) !== 1) throw new Error(`"${mutation.defence}" matches ${occurrences(code, edit)} places`)
    writeFileSync(path, applied(code, edit))
  }
}

/** Runs the trials of a copy until one is broken, never ends, or the time is over. */
function live(script: string, first = ''): Promise<Outcome> {
  const startedAt = Date.now()
  const child = spawn(process.execPath, ['--enable-source-maps', script, values.seeds, first], { stdio: ['ignore', 'pipe', 'inherit'] })
  const outcome: Outcome = { trials: 0, broken: null, seconds: 0 }
  let last = { trial: '', seed: 0 }
  let rest = ''
  let stuck: NodeJS.Timeout | undefined
  const limit = setTimeout(() => child.kill('SIGKILL'), Number(values.limit) * 1_000)
  return new Promise((done, fail) => {
    child.on('error', fail)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        const { trial, seed, broken } = JSON.parse(line) as { trial: string; seed: number; broken?: string }
        clearTimeout(stuck)
        if (broken === undefined) {
          outcome.trials++
          last = { trial, seed }
          stuck = setTimeout(() => {
            outcome.broken = { ...last, text: `did not end in ${TRIAL_SECONDS} s` }
            child.kill('SIGKILL')
          }, TRIAL_SECONDS * 1_000)
        } else outcome.broken = { trial, seed, text: broken }
      }
    })
    child.on('close', (code, signal) => {
      clearTimeout(stuck)
      clearTimeout(limit)
      // Out of memory, most likely; not where its time was over.
      if (code !== 0 && !child.killed && outcome.broken === null)
        outcome.broken = { ...last, text: `the process ended with ${code ?? signal}` }
      outcome.seconds = (Date.now() - startedAt) / 1_000
      done(outcome)
    })
  })
}

function row(mutation: Mutation | null, { trials, broken, seconds }: Outcome): string {
  const caught = broken === null ? 'nothing' : `${broken.trial}, seed ${broken.seed}`
  const cells = [
    mutation?.defence ?? '(nothing taken out)',
    mutation?.protects ?? '',
    caught,
    String(trials),
    broken?.text ?? '',
    `${Math.round(seconds)} s`
  ]
  return `| ${cells.map(cell => cell.replaceAll('|', '/').slice(0, 160)).join(' | ')} |\n`
}
