import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { compared, inTurns, type LoneResult, loneTrainings, mostTokens, summaryLines } from '../../../../cli/mesh/baseline.ts'

const result = (learningRate: number | null, shard: number | 'all', heldOut: number): LoneResult => ({ learningRate, shard, heldOut })

describe('loneTrainings()', () => {
  it('is one for each shard without rates', () => {
    assert.deepEqual(loneTrainings(2, true, null), [
      { name: 'alone-1', learningRate: null, shard: 1, data: ['sotu:1790-1860'] },
      { name: 'alone-2', learningRate: null, shard: 2, data: ['sotu:1861-1913'] }
    ])
  })

  it('is one for each shard and one for all of them at every rate', () => {
    const trainings = loneTrainings(2, true, [2e-3, 5e-3])
    assert.deepEqual(
      trainings.map(({ learningRate, shard }) => [learningRate, shard]),
      [2e-3, 5e-3].flatMap(rate => [
        [rate, 1],
        [rate, 2],
        [rate, 'all']
      ])
    )
    assert.deepEqual(trainings.at(-1)!.data, ['sotu:1790-1860', 'sotu:1861-1913'])
    assert.equal(new Set(trainings.map(training => training.name)).size, 6)
  })

  it('trains no text twice: two nodes of one era, or a run that brings its own text', () => {
    assert.equal(loneTrainings(6, true, null).length, 4)
    assert.deepEqual(loneTrainings(3, false, [1e-3]), [{ name: 'alone-1-rate-1', learningRate: 1e-3, shard: 1, data: undefined }])
  })
})

describe('mostTokens()', () => {
  it('counts what reached the rounds, by author', () => {
    const round = (...tokens: [string, number][]) => ({
      contributors: tokens.map(([peer, count]) => ({ peer, tokens: count, loss: 2, age: 0 }))
    })
    assert.equal(mostTokens([round(['a', 10], ['b', 30]), round(['a', 15])]), 30)
    assert.equal(mostTokens([]), 0)
  })
})

describe('compared()', () => {
  it('takes the lone nodes as they are without rates, in the order of the shards', () => {
    assert.deepEqual(compared(2, [result(null, 2, 2.2), result(null, 1, 2.1)]), {
      unit: 'nats/byte',
      mesh: 2,
      alone: [2.1, 2.2],
      rates: null
    })
  })

  it('gives each shard the best of its rates and keeps all of them, in whatever order they ended', () => {
    const results = [
      result(2e-3, 2, 2.4),
      result(2e-3, 1, 2.3),
      result(2e-3, 'all', 1.9),
      result(5e-3, 'all', 2.0),
      result(5e-3, 1, 2.5),
      result(5e-3, 2, 2.2)
    ]
    const heldOut = compared(2.1, results)
    assert.deepEqual(heldOut.alone, [2.3, 2.2])
    assert.deepEqual(heldOut.rates, [
      { learningRate: 2e-3, alone: [2.3, 2.4], together: 1.9 },
      { learningRate: 5e-3, alone: [2.5, 2.2], together: 2.0 }
    ])
    assert.deepEqual(summaryLines(heldOut), [
      'the mesh is 0.100 nats a byte below the best lone node: 2.200, shard 2 at rate 0.005',
      'the mesh is 0.200 nats a byte above one node on all shards: 1.900 at rate 0.002'
    ])
  })

  it('where there is one shard, that is all of them', () => {
    assert.deepEqual(compared(2, [result(1e-3, 1, 2.2)]).rates, [{ learningRate: 1e-3, alone: [2.2], together: 2.2 }])
  })
})

describe('inTurns()', () => {
  it('never has more under way than it may, and does all', async () => {
    let underWay = 0
    let most = 0
    const done: number[] = []
    await inTurns([1, 2, 3, 4, 5], 2, async job => {
      most = Math.max(most, ++underWay)
      await turn()
      underWay--
      done.push(job)
    })
    assert.equal(most, 2)
    assert.deepEqual(done, [1, 2, 3, 4, 5])
  })

  it('begins none after a failure', async () => {
    const begun: number[] = []
    const work = async (job: number): Promise<void> => {
      begun.push(job)
      await turn()
      if (job === 1) throw new Error('failed')
    }
    await assert.rejects(inTurns([1, 2, 3, 4], 2, work), /failed/)
    await turn()
    assert.deepEqual(begun, [1, 2])
  })
})
