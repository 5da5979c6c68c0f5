import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import '../../../daemon/polyfill.ts'

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

  it('keeps little of the memory around a small buffer that stays', () => {
    const slabs = new Set<ArrayBufferLike>()
    for (let i = 0; i < 300; i++) slabs.add(Buffer.allocUnsafe(34).buffer)
    // The first may be a slab from before.
    assert.ok([...slabs].slice(1).every(({ byteLength }) => byteLength <= 1024))
    assert.ok(slabs.size > 2)
  })

  it('has a signal forget what was joined with it and is gone', async () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const stop = new AbortController().signal
    const kept = AbortSignal.any([stop, new AbortController().signal])
    for (let times = 0; times < 1_000; times++) {
      AbortSignal.any([stop, new AbortController().signal])
      AbortSignal.any([kept, new AbortController().signal])
    }
    const remembered = Object.getOwnPropertySymbols(stop).find(({ description }) => description === 'kDependantSignals')!
    const made = (stop as unknown as { [key: symbol]: Set<unknown> })[remembered]!
    while (made.size > 1) {
      collect()
      await turn()
    }
    assert.equal(kept.aborted, false)
  })
})
