// Loaded into a daemon before its own code, with --expose-gc: collects garbage every so often and writes down what memory is left in use.
// SHOAL_MEMORY_PROBE is `MILLISECONDS:FILE`. The daemon's trainers and threads load it too and are left alone.
import { appendFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

const [, everyMs, file] = /^(\d+):(.+)$/.exec(process.env.SHOAL_MEMORY_PROBE ?? '') ?? []
if (isMainThread && process.argv[2] === 'daemon' && everyMs !== undefined && file !== undefined) {
  const collect = (globalThis as { gc?: () => void }).gc
  setInterval(() => {
    // Once: what finalisers let go of goes with the next. It stops the daemon for a moment, on a busy machine for a long one: samples are to be rare.
    collect?.()
    const { rss, heapUsed, external } = process.memoryUsage()
    appendFileSync(file, `${JSON.stringify({ at: Date.now(), rss, heapUsed, external })}\n`)
  }, Number(everyMs)).unref()
}
