// Lives through one storm after the other in a thread of its own.
import { parentPort } from 'node:worker_threads'
import { type BigStormOptions, bigStorm, type StormReport } from './big-storm.ts'

export interface StormOrder extends BigStormOptions {
  seed: number
}

export interface StormAnswer {
  report: StormReport
  stormMs: number
}

parentPort?.on('message', ({ seed, ...options }: StormOrder) => {
  const startedMs = performance.now()
  const report = lived(seed, options)
  const answer: StormAnswer = { report, stormMs: performance.now() - startedMs }
  parentPort?.postMessage(answer)
})

/** What throws is broken like everything else, and has a seed. */
function lived(seed: number, options: BigStormOptions): StormReport {
  try {
    return bigStorm(seed, options)
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return {
      seed,
      problems: [text],
      faults: {},
      trainers: 0,
      liars: {},
      checks: {},
      rounds: 0,
      progressMs: 0,
      agreementMs: 0,
      virtualMs: 0,
      forks: 0
    }
  }
}
