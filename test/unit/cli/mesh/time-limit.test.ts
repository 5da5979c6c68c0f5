import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { timeLimit } from '../../../../cli/mesh/time-limit.ts'

describe('timeLimit()', () => {
  it('comes although the garbage was collected meanwhile', async () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const { signal } = timeLimit(100, [new AbortController().signal])
    const aborted = once(signal, 'abort')
    for (let times = 0; times < 5; times++) {
      await turn()
      collect()
    }
    await aborted
    assert.equal((signal.reason as Error).name, 'TimeoutError')
  })

  it('hands on the reason of another signal, and nothing once it is closed', async () => {
    const other = new AbortController()
    const limit = timeLimit(10, [other.signal])
    limit.close()
    await new Promise(resolve => setTimeout(resolve, 20))
    assert.equal(limit.signal.aborted, false)
    const reason = new Error('stopped')
    other.abort(reason)
    assert.equal(limit.signal.reason, reason)
  })
})
