// Loaded into a daemon before its own code, with --expose-gc: collects garbage every so often and writes down what memory is left in use.
// SHOAL_MEMORY_PROBE is `MILLISECONDS:FILE`. The daemon's threads load it too and collect theirs, which is resident as well; so do its trainers, which are left alone.
import { appendFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { isMainThread } from 'node:worker_threads'

/** ms in which V8 gives the pages back to the system that a collection has emptied: read at once, resident memory is up to 40 MB of 160 too high. */
const RELEASE_MS = 500

const [, everyMs, file] = /^(\d+):(.+)$/.exec(process.env.SHOAL_MEMORY_PROBE ?? '') ?? []
if (everyMs !== undefined && file !== undefined && (!isMainThread || process.argv[2] === 'daemon')) {
  const collectOnce = (globalThis as { gc?: () => void }).gc
  const collect = async (): Promise<void> => {
    // Twice: what finalisers let go of goes with the next. It stops the daemon for a moment, on a busy machine for a long one: samples are to be rare.
    collectOnce?.()
    await delay(RELEASE_MS, undefined, { ref: false })
    collectOnce?.()
  }
  const look = async (): Promise<void> => {
    await collect()
    const { heapUsed, external } = process.memoryUsage()
    await delay(RELEASE_MS, undefined, { ref: false })
    appendFileSync(file, `${JSON.stringify({ at: Date.now(), rss: process.memoryUsage.rss(), heapUsed, external })}\n`)
  }
  setInterval(() => void (isMainThread ? look() : collect()), Number(everyMs)).unref()
}
