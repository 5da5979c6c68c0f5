import assert from 'node:assert/strict'
import { type LearningRateSchedule, learningRateAt } from '../../../../training/optimizers/schedule.ts'

describe('learningRateAt()', () => {
  const cosine: LearningRateSchedule = { kind: 'cosine', learningRate: 1, warmupSteps: 4, totalSteps: 104, finalFactor: 0.1 }

  it('warms up linearly and reaches the rate', () => {
    assert.deepEqual(
      [0, 1, 2, 3, 4].map(step => learningRateAt(cosine, step)),
      [0.25, 0.5, 0.75, 1, 1]
    )
  })

  it('follows the cosine to the final factor and stays there', () => {
    assert.ok(Math.abs(learningRateAt(cosine, 54) - 0.55) < 1e-12)
    assert.ok(Math.abs(learningRateAt(cosine, 104) - 0.1) < 1e-12)
    assert.ok(Math.abs(learningRateAt(cosine, 1e6) - 0.1) < 1e-12)
  })

  it('stays at the rate when constant', () => {
    assert.equal(learningRateAt({ ...cosine, kind: 'constant' }, 1e6), 1)
  })

  it('names the field that is wrong', () => {
    assert.throws(() => learningRateAt({ ...cosine, finalFactor: 2 }, 0), { code: 'bad_schedule', message: /finalFactor 2/ })
    assert.throws(() => learningRateAt({ ...cosine, warmupSteps: -1 }, 0), { code: 'bad_schedule', message: /warmupSteps -1/ })
  })
})
