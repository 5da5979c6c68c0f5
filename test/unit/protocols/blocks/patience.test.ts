import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Patience } from '../../../../protocols/blocks/patience.ts'

describe('Patience', () => {
  it('runs out when nothing was heard for its time', async () => {
    const patience = new Patience(20)
    patience.renew()
    await once(patience.options.signal, 'abort')
    assert.equal(patience.lost, true)
  })

  it('lasts while enough bytes come, however slowly a whole frame does', async () => {
    const patience = new Patience(200)
    let frames = 0
    let heardMs = 0
    patience.listen({ heardBytes: () => 100 * frames, enoughBytes: 100 })
    const slow = setInterval(() => {
      heardMs = performance.now()
      if (++frames === 12) clearInterval(slow)
    }, 40)
    patience.renew()
    await once(patience.options.signal, 'abort')
    assert.equal(frames, 12)
    assert.ok(performance.now() - heardMs >= 150, 'counts anew from the last bytes')
  })

  it('runs out where a byte comes now and then', async () => {
    const patience = new Patience(100)
    let bytes = 0
    patience.listen({ heardBytes: () => bytes, enoughBytes: 100 })
    const trickle = setInterval(() => bytes++, 10)
    patience.renew()
    await once(patience.options.signal, 'abort')
    clearInterval(trickle)
    assert.ok(bytes > 0 && bytes < 100)
  })

  it('does not charge the peer with time in which this process stood still', async () => {
    const patience = new Patience(200)
    let bytes = 0
    patience.listen({ heardBytes: () => bytes, enoughBytes: 1 })
    patience.renew()
    // What came meanwhile is read only when timers have had their turn.
    setImmediate(() => {
      bytes = 1
    })
    const untilMs = performance.now() + 500
    while (performance.now() < untilMs) {}
    await new Promise(resolve => setTimeout(resolve, 20))
    assert.equal(patience.lost, false)
    patience.end()
  })

  it('ends with the outer signal', () => {
    const outer = new AbortController()
    const patience = new Patience(1000, outer.signal)
    patience.renew()
    outer.abort()
    assert.equal(patience.options.signal.aborted, true)
    assert.equal(patience.lost, false)
    patience.end()
  })
})
