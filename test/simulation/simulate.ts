// `npm run simulate -- --from SEED --count N --nodes N --rounds N [--workers W] [--resume FILE]`: any range of big storms, on threads. Prints what was looked at, what was done to the meshes
// and the worst bounds; exit 1 names the first broken seed, exit 2 a flag that makes no sense. With --resume a run that was killed goes on where it was.
import '../../daemon/polyfill.ts'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { numberFlag, UsageError } from '../number-flag.ts'
import { noTotals, type Totals, type Worst, withStorm } from './storm-totals.ts'
import type { StormAnswer, StormOrder } from './storm-worker.ts'

/** ms between two lines of progress, and between two writes of the file. */
const SAY_MS = 5_000

interface Range {
  from: number
  count: number
  nodes: number
  rounds: number
}

interface Saved {
  range: Range
  /** Of the code: the same seed is another storm under other code. */
  code: string
  totals: Totals
}

/** Taken before anything runs: what is compiled meanwhile is not what runs. */
const CODE = fingerprint()

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`simulate: ${error.message}\n`)
  process.exitCode = 2
}

async function main(): Promise<number> {
  const { workers, resume, ...range } = options()
  const before = resume === null ? noTotals() : (saved(resume, range) ?? noTotals())
  const startedMs = performance.now()
  if (before.storms > 0) say(`${before.storms} of ${range.count} storms are in ${resume}; going on`)
  const totals = await liveThrough(range, workers, before, resume)
  if (resume !== null) save(resume, range, totals)
  say(summary(range, totals, (performance.now() - startedMs) / 1000, totals.storms - before.storms))
  const { broken } = totals
  if (broken === null) return 0
  const { nodes, rounds } = range
  say(`seed ${broken.seed} is broken: ${broken.problems[0]}`)
  for (const problem of broken.problems.slice(1, 5)) say(`  and ${problem}`)
  say(`npm run simulate -- --from ${broken.seed} --count 1 --nodes ${nodes} --rounds ${rounds}   lives through it again`)
  return 1
}

/** Seeds are handed out in order and taken in order; nothing after the first broken one counts. */
function liveThrough(range: Range, workers: number, before: Totals, resume: string | null): Promise<Totals> {
  const { from, count, nodes, rounds } = range
  const end = from + count
  let totals = before
  let next = from + before.storms
  let taken = next
  let saidMs = performance.now()
  const early = new Map<number, StormAnswer>()
  if (totals.broken !== null || next >= end) return Promise.resolve(totals)
  const threads = Array.from({ length: Math.min(workers, end - next) }, () => new Worker(new URL('./storm-worker.js', import.meta.url)))
  const done = Promise.withResolvers<Totals>()
  for (const thread of threads) {
    const order = (): void => {
      if (next < end) thread.postMessage({ seed: next++, nodes, rounds } satisfies StormOrder)
    }
    thread.on('message', (answer: StormAnswer) => {
      early.set(answer.report.seed, answer)
      for (let found = early.get(taken); found !== undefined && totals.broken === null; found = early.get(taken)) {
        totals = withStorm(totals, found.report, found.stormMs)
        early.delete(taken++)
      }
      if (totals.broken !== null || taken === end) {
        done.resolve(totals)
        return
      }
      if (performance.now() - saidMs > SAY_MS) {
        saidMs = performance.now()
        const each = totals.storms === 0 ? '' : `, ${seconds(totals.stormMs / totals.storms)} each, ${worstText(totals)}`
        say(`${totals.storms} of ${count} storms${each}`)
        if (resume !== null) save(resume, range, totals)
      }
      order()
    })
    thread.on('error', done.reject)
    order()
  }
  return done.promise.finally(() => Promise.all(threads.map(thread => thread.terminate())))
}

function options(): Range & { workers: number; resume: string | null } {
  const text = { type: 'string' } as const
  try {
    const { values } = parseArgs({ options: { from: text, count: text, nodes: text, rounds: text, workers: text, resume: text } })
    return {
      from: numberFlag('from', values.from ?? '1', 0),
      count: numberFlag('count', values.count ?? '100', 1),
      nodes: numberFlag('nodes', values.nodes ?? '64', 4),
      rounds: numberFlag('rounds', values.rounds ?? '30', 1),
      workers: numberFlag('workers', values.workers ?? '2', 1),
      resume: values.resume ?? null
    }
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function saved(file: string, range: Range): Totals | null {
  if (!existsSync(file)) return null
  let found: Saved
  try {
    found = JSON.parse(readFileSync(file, 'utf8')) as Saved
  } catch {
    throw new UsageError(`${file} is not a file of this command; name another or remove it`)
  }
  if (JSON.stringify(found.range) !== JSON.stringify(range)) {
    throw new UsageError(`${file} is of another range (${JSON.stringify(found.range)}); name another or remove it`)
  }
  if (found.code !== CODE) throw new UsageError(`${file} was written by other code, whose seeds mean something else; remove it`)
  return found.totals
}

/** Whole or not at all: a run may be killed while it writes. */
function save(file: string, range: Range, totals: Totals): void {
  const part = `${file}.part`
  writeFileSync(part, JSON.stringify({ range, code: CODE, totals } satisfies Saved))
  renameSync(part, file)
}

/** Of the compiled rules and of the simulation. */
function fingerprint(): string {
  const hash = createHash('sha256')
  const dist = resolve(import.meta.dirname, '../..')
  for (const folder of ['protocols/rounds', 'protocols/presence', 'test/simulation']) {
    const names = readdirSync(join(dist, folder), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.js'))
    for (const name of names.sort()) hash.update(name).update(readFileSync(join(dist, folder, name)))
  }
  return hash.digest('hex')
}

function summary(range: Range, totals: Totals, wallSeconds: number, lived: number): string {
  const { checks, faults, forks, liars, rounds, storms, stormMs, trainers, virtualMs } = totals
  const aStorm = (count: number): string => (count / Math.max(1, storms)).toFixed(2)
  const lines = [
    `${storms} storms from seed ${range.from}, ${range.nodes} nodes, at least ${range.rounds} rounds each: ${rounds} rounds, ${forks} changes of branch, ${Math.round(virtualMs / 3_600_000)} virtual hours`,
    'invariants looked at:',
    ...table(checks),
    'faults injected:',
    ...table(faults),
    `of ${range.nodes} nodes ${aStorm(trainers)} train on average; ${aStorm(sum(liars))} of them lie:`,
    ...table(liars),
    worstText(totals),
    `wall time ${Math.round(wallSeconds)} s for ${lived} storms, ${seconds(stormMs / Math.max(1, storms))} a seed on one thread`
  ]
  return lines.join('\n')
}

function worstText({ agreement, progress }: Totals): string {
  const text = ({ ms, seed }: Worst): string => `${seconds(ms)} (seed ${seed ?? 'none'})`
  return `worst time without a new record: ${text(progress)}; until all agreed: ${text(agreement)}`
}

function table(counts: { [name: string]: number }): string[] {
  return Object.entries(counts)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `  ${String(count).padStart(10)}  ${name}`)
}

function sum(counts: { [name: string]: number }): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
