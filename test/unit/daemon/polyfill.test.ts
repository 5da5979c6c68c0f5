import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

describe('The polyfill', () => {
  it('lets a time limit that was combined with a stop signal come although the garbage was collected meanwhile', async () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const signal = AbortSignal.any([new AbortController().signal, AbortSignal.timeout(100)])
    const aborted = once(signal, 'abort')
    for (let times = 0; times < 5; times++) {
      await turn()
      collect()
    }
    await aborted
    assert.equal((signal.reason as Error).name, 'TimeoutError')
  })
})
