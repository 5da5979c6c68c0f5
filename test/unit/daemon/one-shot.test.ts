import assert from 'node:assert/strict'
import { askProcess } from '../../../daemon/one-shot.ts'

describe('askProcess()', function () {
  this.timeout(20_000)

  it('brings numbers that are none and infinite ones both ways as they are', async () => {
    const entry = new URL('./one-shot-numbers-process.js', import.meta.url)
    const reply = await askProcess<{ asked: number }, number[]>(entry, { asked: Number.NaN })
    assert.deepEqual(reply, [Number.NaN, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0])
  })

  it('asks nothing once its signal has fired', async () => {
    const entry = new URL('./one-shot-numbers-process.js', import.meta.url)
    const signal = AbortSignal.abort(new Error('the run is left'))
    await assert.rejects(askProcess(entry, { asked: 1 }, { signal }), /the run is left/)
  })
})
