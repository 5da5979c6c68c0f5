import assert from 'node:assert/strict'
import { stopperOf } from '../../../cli/action.ts'

describe('stopperOf()', () => {
  it('takes a Ctrl-C that comes twice for one, and a later one for force', () => {
    const interruption = new AbortController()
    let forced = 0
    let nowMs = 5_000
    const stop = stopperOf(
      interruption,
      () => forced++,
      () => nowMs
    )
    stop('SIGINT')
    assert.equal(interruption.signal.reason.message, 'stopped by SIGINT')
    nowMs += 51
    stop('SIGINT')
    assert.equal(forced, 0)
    nowMs += 2_000
    stop('SIGINT')
    assert.equal(forced, 1)
  })
})
