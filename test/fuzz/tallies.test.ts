import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openTallies } from './tallies.ts'

describe('tallies of a long run', () => {
  it('go on where a killed run was, and are none of another run', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-tallies-'))
    try {
      const file = join(folder, 'fuzz.json')
      const inputs = { seed: 7, from: 0, count: 20 }
      const report = { kind: 'done' as const, outcomes: { accepted: 8, bad_message: 2 }, fault: null }
      openTallies(file, inputs, 10).add('address', 10, { ...report, slowest: { n: 12, ms: 3 }, largest: { n: 11, bytes: 9 } })
      const again = openTallies(file, inputs, 10)
      again.add('address', 0, { ...report, slowest: { n: 1, ms: 2 }, largest: { n: 2, bytes: 10 } })
      assert.deepEqual(openTallies(file, inputs, 10).of('address'), {
        done: [10, 0],
        outcomes: { accepted: 16, bad_message: 4 },
        slowest: { n: 12, ms: 3 },
        largest: { n: 2, bytes: 10 },
        seconds: 0
      })
      assert.deepEqual(again.of('presence').done, [])
      assert.throws(() => openTallies(file, { ...inputs, seed: 8 }, 10), RangeError)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
