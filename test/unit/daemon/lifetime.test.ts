import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { Lifetime } from '../../../daemon/lifetime.ts'

describe('Lifetime', () => {
  it('waits longer for a part that has a limit of its own, and passes over one that hangs', async () => {
    const stopped: string[] = []
    const trouble: string[] = []
    const lifetime = new Lifetime({ stopTimeoutMs: 10, onTrouble: part => trouble.push(part) })
    lifetime.onStop('store', () => void stopped.push('store'))
    lifetime.onStop(
      'runs',
      async () => {
        await delay(50)
        stopped.push('runs')
      },
      { timeoutMs: 60_000 }
    )
    lifetime.onStop('node', () => new Promise(() => {}))
    await lifetime.stop()
    assert.deepEqual(stopped, ['runs', 'store'])
    assert.deepEqual(trouble, ['node'])
  })

  it('stops at once what starts too late', async () => {
    const lifetime = new Lifetime()
    await lifetime.stop()
    let stopped = 0
    assert.throws(() => lifetime.onStop('watch', () => void stopped++), { code: 'stopping' })
    assert.equal(stopped, 1)
  })
})
