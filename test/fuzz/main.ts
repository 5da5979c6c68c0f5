// `npm run fuzz -- [--count N] [--decoder NAME]... [--seed N] [--from N] [--processes N] [--resume FILE]`: holds every decoder of bytes from outside to its law
// on as many inputs as are wanted, and prints what became of them. Exit 1 names the first input that breaks it; the same seed and number make it again. With
// --resume a run that was killed goes on where it was.
import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { numberFlag } from '../number-flag.ts'
import { DECODERS, decoderNamed } from './decoders.ts'
import type { Fault, Range, Report } from './fuzz-process.ts'
import { Fuzzer } from './judge.ts'
import { openTallies } from './tallies.ts'

/** Inputs that one process is given at a time. */
const RANGE = 5_000
/** Milliseconds without a sign of life after which an input counts as one that never ends; a busy machine needs one only to start a process. */
const HANG_MS = 5 * 60_000
/** Bytes of a failing input that are printed. */
const SHOWN_BYTES = 4_096

const { seed, from, count, processes, chosen, tallies } = options()

/** One child process, and what it is asked. */
class Hand {
  readonly #child: ChildProcess
  #settle: ((report: Extract<Report, { kind: 'done' }>) => void) | undefined
  #range: Range | undefined
  #atN = 0
  #hang: NodeJS.Timeout | undefined

  constructor() {
    this.#child = fork(new URL('./fuzz-process.js', import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child.on('message', (report: Report) => {
      clearTimeout(this.#hang)
      if (report.kind === 'at') {
        this.#atN = report.n
        this.#watch()
      } else this.#done(report)
    })
    this.#child.on('exit', code => this.#lost(`the process ended (${code}) at input ${this.#atN} or soon after`))
  }

  run(range: Range): Promise<Extract<Report, { kind: 'done' }>> {
    this.#range = range
    this.#atN = range.from
    this.#watch()
    this.#child.send(range)
    return new Promise(resolve => {
      this.#settle = resolve
    })
  }

  end(): void {
    clearTimeout(this.#hang)
    this.#range = undefined
    this.#child.kill()
  }

  #watch(): void {
    this.#hang = setTimeout(() => this.#lost(`no end within ${HANG_MS} ms at input ${this.#atN} or soon after`), HANG_MS)
  }

  #lost(why: string): void {
    if (this.#range === undefined) return
    this.#done({ kind: 'done', outcomes: {}, slowest: { n: 0, ms: 0 }, largest: { n: 0, bytes: 0 }, fault: { n: this.#atN, why } })
  }

  #done(report: Extract<Report, { kind: 'done' }>): void {
    this.#range = undefined
    this.#settle?.(report)
  }
}

const hands = Array.from({ length: processes }, () => new Hand())
let failed = false
console.log(`seed ${seed}, inputs ${from} to ${from + count - 1} for each of ${chosen.length} decoders`)
for (const { name } of chosen) {
  const fault = await fuzz(name)
  const { outcomes, slowest, largest, seconds } = tallies.of(name)
  const codes = Object.entries(outcomes).sort(([, a], [, b]) => b - a)
  const inputs = codes.reduce((sum, [, times]) => sum + times, 0)
  const costs = `slowest ${slowest.ms.toFixed(1)} ms (${slowest.n}), most ${(largest.bytes / 2 ** 20).toFixed(1)} MiB (${largest.n})`
  console.log(`${name}: ${inputs} inputs in ${seconds.toFixed(0)} s: ${codes.map(code => code.join(' ')).join(', ')}; ${costs}`)
  if (fault === null) continue
  const bytes = (await Fuzzer.open(decoderNamed(name), seed)).input(fault.n)
  console.log(`BROKEN ${name} --seed ${seed} --from ${fault.n} --count 1: ${fault.why}`)
  console.log(
    `${bytes.length} bytes: ${Buffer.from(bytes.subarray(0, SHOWN_BYTES)).toString('hex')}${bytes.length > SHOWN_BYTES ? '...' : ''}`
  )
  failed = true
  break
}
for (const hand of hands) hand.end()
process.exitCode = failed ? 1 : 0

/** Exit 2 names a flag that makes no sense, a decoder that there is not, or a file of other inputs. */
function options() {
  try {
    const { values } = parseArgs({
      options: {
        count: { type: 'string', default: '10000' },
        decoder: { type: 'string', multiple: true, default: [] },
        seed: { type: 'string', default: '1' },
        from: { type: 'string', default: '0' },
        processes: { type: 'string', default: String(availableParallelism()) },
        resume: { type: 'string' }
      }
    })
    const inputs = {
      seed: numberFlag('seed', values.seed, 0),
      from: numberFlag('from', values.from, 0),
      count: numberFlag('count', values.count, 1)
    }
    return {
      ...inputs,
      processes: numberFlag('processes', values.processes, 1),
      chosen: values.decoder.length === 0 ? DECODERS : values.decoder.map(decoderNamed),
      tallies: openTallies(values.resume ?? null, inputs, RANGE)
    }
  } catch (error) {
    console.error(`fuzz: ${error instanceof Error ? error.message : String(error)}`)
    process.exit(2)
  }
}

async function fuzz(decoder: string): Promise<Fault | null> {
  const tally = tallies.of(decoder)
  const done = new Set(tally.done)
  const startedMs = performance.now()
  const secondsBefore = tally.seconds
  let next = from
  const faults: Fault[] = []
  await Promise.all(
    hands.map(async hand => {
      while (faults.length === 0) {
        while (done.has(next)) next += RANGE
        if (next >= from + count) return
        const range = { decoder, seed, from: next, to: Math.min(next + RANGE, from + count) }
        next += RANGE
        const report = await hand.run(range)
        if (report.fault !== null) {
          faults.push(report.fault)
          return
        }
        tally.seconds = secondsBefore + (performance.now() - startedMs) / 1000
        tallies.add(decoder, range.from, report)
      }
    })
  )
  return faults.sort((a, b) => a.n - b.n)[0] ?? null
}
