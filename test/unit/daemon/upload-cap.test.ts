import assert from 'node:assert/strict'
import { UploadCap } from '../../../daemon/upload-cap.ts'

const RATE = 1_000_000
const FRAME_BYTES = RATE / 50

describe('UploadCap', () => {
  let cap: UploadCap
  let served: string[]
  let stop: AbortController

  beforeEach(() => {
    cap = new UploadCap(RATE)
    served = []
    stop = new AbortController()
  })
  afterEach(() => {
    stop.abort(new Error('the test is over'))
    cap.stop()
  })

  /** And more: whoever asks after it must wait. */
  const allThatMayLeaveAtOnce = () => cap.take(RATE * 0.7, { payer: 'before', signal: stop.signal })

  const ask = async (payer: string, signal = stop.signal): Promise<void> => {
    await cap.take(FRAME_BYTES, { payer, signal })
    served.push(payer)
  }

  it('serves those who pay in turn, however many streams one of them has', async () => {
    await allThatMayLeaveAtOnce()
    await Promise.all(['greedy', 'greedy', 'greedy', 'greedy', 'a', 'a', 'b'].map(payer => ask(payer)))
    assert.deepEqual(served, ['greedy', 'a', 'b', 'greedy', 'a', 'greedy', 'greedy'])
  })

  it('gives nobody a turn who went away while waiting', async () => {
    await allThatMayLeaveAtOnce()
    const going = new AbortController()
    const gone = ask('gone', going.signal)
    const stayed = ask('stayed')
    going.abort(new Error('gone'))
    await assert.rejects(gone, /gone/)
    await stayed
    await ask('gone')
    assert.deepEqual(served, ['stayed', 'gone'])
  })
})
