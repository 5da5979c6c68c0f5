// What became of the inputs of each decoder, kept in a file where a long run may be killed and go on: range of inputs by range.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { Report } from './fuzz-process.ts'

/** The inputs of one run, the same for each decoder. */
export interface Inputs {
  seed: number
  from: number
  count: number
}

export interface Tally {
  /** First inputs of the ranges that are done. */
  done: number[]
  /** Inputs by what became of them. */
  outcomes: Record<string, number>
  slowest: { n: number; ms: number }
  largest: { n: number; bytes: number }
  /** Wall time spent on it. */
  seconds: number
}

interface Saved {
  inputs: Inputs
  /** Inputs in a range. */
  range: number
  tallies: Record<string, Tally>
}

/** @throws RangeError for a file of other inputs: it would make one run of two */
export function openTallies(file: string | null, inputs: Inputs, range: number): Tallies {
  if (file === null || !existsSync(file)) return new Tallies(file, { inputs, range, tallies: {} })
  const saved = JSON.parse(readFileSync(file, 'utf8')) as Saved
  if (JSON.stringify([saved.inputs, saved.range]) !== JSON.stringify([inputs, range]))
    throw new RangeError(
      `${file} is of other inputs (${JSON.stringify(saved.inputs)}, ${saved.range} at a time): name another or remove it`
    )
  return new Tallies(file, saved)
}

/** It says nothing of the code: whoever changes a decoder, or how inputs are made, removes its entry or the file. */
export class Tallies {
  readonly #file: string | null
  readonly #saved: Saved

  constructor(file: string | null, saved: Saved) {
    this.#file = file
    this.#saved = saved
  }

  of(decoder: string): Tally {
    const fresh = { done: [], outcomes: {}, slowest: { n: 0, ms: 0 }, largest: { n: 0, bytes: 0 }, seconds: 0 }
    this.#saved.tallies[decoder] ??= fresh
    return this.#saved.tallies[decoder]
  }

  /** Counts what a range without a fault came to, and keeps it. */
  add(decoder: string, from: number, { outcomes, slowest, largest }: Extract<Report, { kind: 'done' }>): void {
    const tally = this.of(decoder)
    tally.done.push(from)
    for (const [outcome, times] of Object.entries(outcomes)) tally.outcomes[outcome] = (tally.outcomes[outcome] ?? 0) + times
    if (slowest.ms > tally.slowest.ms) tally.slowest = slowest
    if (largest.bytes > tally.largest.bytes) tally.largest = largest
    this.save()
  }

  /** Whole or not at all: the run may be killed while it writes. */
  save(): void {
    if (this.#file === null) return
    const part = `${this.#file}.part`
    writeFileSync(part, JSON.stringify(this.#saved))
    renameSync(part, this.#file)
  }
}
