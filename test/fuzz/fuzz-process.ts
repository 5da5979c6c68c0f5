// Holds one decoder to its law, range of inputs by range, as it is told by main.ts. A process of its own: an input that ends it is found out, too.
import { decoderNamed } from './decoders.ts'
import { Fuzzer } from './judge.ts'

export interface Range {
  decoder: string
  seed: number
  from: number
  to: number
}

/** An input by its number. */
export interface Fault {
  n: number
  why: string
}

export type Report =
  | { kind: 'at'; n: number }
  | {
      kind: 'done'
      /** Inputs by what became of them. */
      outcomes: Record<string, number>
      slowest: { n: number; ms: number }
      largest: { n: number; bytes: number }
      fault: Fault | null
    }

/** Inputs between two signs of life. */
const STRIDE = 50

const fuzzers = new Map<string, Promise<Fuzzer>>()

async function run({ decoder, seed, from, to }: Range): Promise<Report> {
  const name = `${decoder}/${seed}`
  const opened = fuzzers.get(name) ?? Fuzzer.open(decoderNamed(decoder), seed)
  fuzzers.set(name, opened)
  const fuzzer = await opened
  const outcomes: Record<string, number> = {}
  const slowest = { n: from, ms: 0 }
  const largest = { n: from, bytes: 0 }
  for (let n = from; n < to; n++) {
    if (n % STRIDE === 0) process.send!({ kind: 'at', n } satisfies Report)
    const { outcome, fault, ms, bytes } = await fuzzer.judge(fuzzer.input(n))
    if (outcome === null) return { kind: 'done', outcomes, slowest, largest, fault: { n, why: fault ?? 'no reason given' } }
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    if (ms > slowest.ms) Object.assign(slowest, { n, ms })
    if (bytes > largest.bytes) Object.assign(largest, { n, bytes })
  }
  return { kind: 'done', outcomes, slowest, largest, fault: null }
}

process.on('message', (range: Range) => {
  run(range).then(
    report => process.send!(report),
    (error: unknown) => {
      throw error
    }
  )
})
// Whoever asks was killed.
process.on('disconnect', () => process.exit())
