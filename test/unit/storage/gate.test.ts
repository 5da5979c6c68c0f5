import assert from 'node:assert/strict'
import { Gate } from '../../../storage/gate.ts'

describe('Gate', () => {
  it('lets only so many in at once, in order', async () => {
    const gate = new Gate(2)
    const order: number[] = []
    let inside = 0
    let most = 0
    const visit = async (n: number): Promise<void> => {
      inside += 1
      most = Math.max(most, inside)
      order.push(n)
      await new Promise(resolve => setImmediate(resolve))
      inside -= 1
      if (n === 3) throw new Error('a failure frees its place')
    }
    const results = await Promise.allSettled([1, 2, 3, 4, 5, 6].map(n => gate.run(() => visit(n))))
    assert.equal(most, 2)
    assert.deepEqual(order, [1, 2, 3, 4, 5, 6])
    assert.equal(results.filter(({ status }) => status === 'rejected').length, 1)
  })

  it('close() waits for those inside and refuses the rest', async () => {
    const gate = new Gate(1)
    let done = 0
    const work = [1, 2].map(() =>
      gate.run(async () => {
        await new Promise(resolve => setImmediate(resolve))
        done += 1
      })
    )
    await gate.close(() => new Error('closed'))
    assert.equal(done, 2)
    await Promise.all(work)
    await assert.rejects(
      gate.run(async () => {}),
      { message: 'closed' }
    )
  })
})
