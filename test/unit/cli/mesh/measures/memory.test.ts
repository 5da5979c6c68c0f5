import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { growthOf, readSamples } from '../../../../../cli/mesh/measures/memory.ts'
import { temporaryHome } from '../../../storage/temporary-home.ts'

const PROBE = join(import.meta.dirname, '../../../../../cli/mesh/measures/memory-probe-process.js')

describe('memory', () => {
  const home = temporaryHome()

  it('growth is the middle of all slopes, which a few wild readings do not bend', () => {
    const samples = Array.from({ length: 100 }, (_, minute) => ({
      seconds: minute * 60,
      resident: minute % 10 === 7 ? 500 : 100 + minute * 0.05 + (minute % 2) * 0.2,
      heap: 20,
      external: 5
    }))
    const growth = growthOf(samples, 0)!
    assert.ok(Math.abs(growth.resident.megabytesAnHour - 3) < 0.2, `${growth.resident.megabytesAnHour}`)
    assert.ok(growth.resident.error > 0 && growth.resident.error < 1, `${growth.resident.error}`)
    assert.deepEqual(growth.heap, { megabytesAnHour: 0, error: 0 })
  })

  it('growth of too few samples is not known', () => {
    assert.equal(growthOf([], 0), null)
    assert.equal(
      growthOf(
        [1, 2, 3].map(seconds => ({ seconds, resident: 1, heap: 1, external: 1 })),
        2000
      ),
      null
    )
  })

  it('leaves out the half line of a daemon that was killed', async () => {
    const file = join(home(), 'memory')
    writeFileSync(file, '{"at":3000,"rss":2000000,"heapUsed":1000000,"external":500000}\n{"at":40')
    assert.deepEqual(await readSamples(file, 1000), [{ seconds: 2, resident: 2, heap: 1, external: 0.5 }])
    assert.deepEqual(await readSamples(join(home(), 'none'), 0), [])
  })

  it('is sampled in daemons and not in what they start', async () => {
    const main = join(home(), 'main.cjs')
    writeFileSync(main, 'console.log(); setInterval(() => {}, 1000)')
    const children: ChildProcess[] = []
    const start = async (argument: string): Promise<() => string> => {
      const file = join(home(), argument)
      const env = { ...process.env, SHOAL_MEMORY_PROBE: `20:${file}` }
      const child = spawn(process.execPath, ['--expose-gc', '--import', PROBE, main, argument], {
        env,
        stdio: ['ignore', 'pipe', 'inherit']
      })
      children.push(child)
      await once(child.stdout, 'data')
      return () => (existsSync(file) ? readFileSync(file, 'utf8') : '')
    }
    try {
      const trainer = await start('trainer')
      const daemon = await start('daemon')
      while (!daemon().includes('\n')) await delay(5)
      assert.match(daemon(), /^\{"at":\d+,"rss":\d+,"heapUsed":\d+,"external":\d+\}\n/)
      assert.equal(trainer(), '', 'though it had more time')
    } finally {
      for (const child of children) child.kill('SIGKILL')
    }
  })
})
