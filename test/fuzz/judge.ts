// The law of a decoder, held to one input: it gives a value that is the same when written and read again, or the room's own error; in little time
// and memory, whatever the input says of itself.
import { isDeepStrictEqual } from 'node:util'
import { getHeapStatistics } from 'node:v8'
import { Random } from '../simulation/random.ts'
import type { FuzzedDecoder, OpenDecoder } from './decoders.ts'
import { Mutator } from './mutate.ts'

/** Milliseconds of the processor that one input may take, the best of a few tries. */
const SLOW_MS = 500
/** And for each KiB of input: YAML of 200 KB takes a second on a busy machine. */
const SLOW_MS_PER_KIB = 10
const SLOW_TRIES = 4
/** Bytes that may be allocated for each byte of input, beside what the decoder may allocate for any. */
const BYTES_PER_BYTE = 400
const MEBIBYTE = 1024 * 1024

export interface Verdict {
  /** `accepted`, a refusal's code, or null where the law is broken. */
  outcome: string | null
  /** How the law is broken. */
  fault?: string
  ms: number
  /** Allocated while reading it, garbage included. */
  bytes: number
}

/** One decoder under test. */
export class Fuzzer {
  readonly #decoder: FuzzedDecoder
  readonly #open: OpenDecoder
  readonly #mutator: Mutator
  readonly #seed: number

  private constructor(decoder: FuzzedDecoder, open: OpenDecoder, seed: number) {
    this.#decoder = decoder
    this.#open = open
    this.#mutator = new Mutator(open.seeds, decoder.form)
    this.#seed = seed
  }

  static async open(decoder: FuzzedDecoder, seed: number): Promise<Fuzzer> {
    return new Fuzzer(decoder, await decoder.open(), seed)
  }

  /** The n-th input of this seed, whatever came before it. */
  input(n: number): Uint8Array {
    return this.#mutator.make(new Random(Math.imul(this.#seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(n + 1, 0xc2b2ae35)))
  }

  async judge(bytes: Uint8Array): Promise<Verdict> {
    const first = await this.#judgeOnce(bytes)
    const limitMs = SLOW_MS + (SLOW_MS_PER_KIB * bytes.length) / 1024
    if (first.ms <= limitMs) return first
    // By the processor's time from here on: a machine with other work may let a decoder of microseconds wait for seconds.
    let ms = Number.POSITIVE_INFINITY
    for (let left = SLOW_TRIES; left > 0 && ms > limitMs; left--) {
      const before = process.cpuUsage()
      await this.#judgeOnce(bytes)
      const { user, system } = process.cpuUsage(before)
      ms = Math.min(ms, (user + system) / 1_000)
    }
    return ms <= limitMs ? { ...first, ms } : { ...first, outcome: null, fault: `it takes ${Math.round(ms)} ms`, ms }
  }

  async #judgeOnce(bytes: Uint8Array): Promise<Verdict> {
    const before = allocated()
    const startedMs = performance.now()
    let value: unknown
    let error: unknown
    try {
      value = await this.#open.decode(bytes)
    } catch (thrown) {
      error = thrown ?? new Error('nothing was thrown')
    }
    const ms = performance.now() - startedMs
    const cost = { ms, bytes: Math.max(0, allocated() - before) }
    const limit = this.#decoder.allocatesMiB * MEBIBYTE + BYTES_PER_BYTE * bytes.length
    if (cost.bytes > limit)
      return { outcome: null, fault: `it allocates ${cost.bytes} bytes for ${bytes.length}, at most ${limit} are allowed`, ...cost }
    if (error !== undefined) return { ...this.#refused(error), ...cost }
    return { ...(await this.#accepted(value, bytes)), ...cost }
  }

  #refused(error: unknown): { outcome: string | null; fault?: string } {
    if (!this.#decoder.isRefusal(error)) return { outcome: null, fault: `it throws ${shown(error)}` }
    const code = (error as { code?: unknown }).code
    return typeof code === 'string' && /^[a-z][a-z0-9_]*$/.test(code)
      ? { outcome: code }
      : { outcome: null, fault: `its error has the code ${String(code)}` }
  }

  async #accepted(value: unknown, bytes: Uint8Array): Promise<{ outcome: string | null; fault?: string }> {
    if (this.#open.again === undefined) return { outcome: 'accepted' }
    try {
      const again = await this.#open.again(value as never, bytes)
      if (isDeepStrictEqual(again, value)) return { outcome: 'accepted' }
      return { outcome: null, fault: 'what was decoded is another value when written and read again' }
    } catch (error) {
      return { outcome: null, fault: `what was decoded cannot be written and read again: ${shown(error)}` }
    }
  }
}

function allocated(): number {
  const { used_heap_size: heap, external_memory: outside } = getHeapStatistics()
  return heap + outside
}

function shown(error: unknown): string {
  return error instanceof Error
    ? `${error.name}: ${error.message.slice(0, 200)}\n${error.stack?.split('\n').slice(1, 4).join('\n') ?? ''}`
    : String(error)
}
