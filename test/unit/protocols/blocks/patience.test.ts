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

  it('lasts while bytes come, however slowly a whole frame does', async () => {
    const patience = new Patience(40)
    let heardMs = performance.now()
    patience.heardMs = () => heardMs
    const startedMs = performance.now()
    const heard: number[] = []
    const trickle = setInterval(() => {
      heardMs = performance.now()
      heard.push(heardMs)
      if (heard.length === 12) clearInterval(trickle)
    }, 10)
    patience.renew()
    await once(patience.options.signal, 'abort')
    assert.equal(heard.length, 12)
    assert.ok(performance.now() - heardMs >= 39 && performance.now() - startedMs >= 120)
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
