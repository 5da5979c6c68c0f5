import assert from 'node:assert/strict'
import {
  advancePace,
  createPace,
  type PaceCommand,
  type PaceEvent,
  type PaceStart,
  type PaceState
} from '../../../../protocols/rounds/index.ts'

const RULES = { innerSteps: 50, maxStepsAhead: 100, deadlineMs: 20_000 }

class Pace {
  now = 0
  state: PaceState
  constructor(rules: Partial<typeof RULES> = {}, start: Partial<PaceStart> = {}) {
    this.state = createPace({ ...RULES, ...rules }, { now: 0, ...start })
  }
  tell(event: PaceEvent, now = this.now): PaceCommand[] {
    this.now = now
    return advancePace(this.state, event, now).commands
  }
}

const adopted = (round: number): PaceEvent => ({ type: 'adopted', head: `r${round}`, round })
const steps = (count: number): PaceEvent => ({ type: 'steps', steps: count })

describe('advancePace()', () => {
  it('contributes at H steps, and not before', () => {
    const pace = new Pace()
    assert.deepEqual(pace.tell(adopted(4)), [{ type: 'allowSteps', until: 100 }])
    assert.deepEqual(pace.tell(steps(49)), [])
    assert.deepEqual(pace.tell(steps(50)), [{ type: 'contribute', round: 5, head: 'r4' }])
    assert.deepEqual(pace.tell(steps(51)), [], 'once')
  })

  it('contributes what it has when the rest of the deadline is needed for the upload', () => {
    const pace = new Pace()
    pace.tell(adopted(0))
    pace.tell(steps(7))
    assert.equal(pace.state.nextAt, 15_000)
    assert.deepEqual(pace.tell({ type: 'tick' }, 14_999), [])
    assert.deepEqual(pace.tell({ type: 'tick' }, 15_000), [{ type: 'contribute', round: 1, head: 'r0' }])
  })

  it('learns how long an upload takes, within bounds', () => {
    const pace = new Pace()
    pace.tell(adopted(0))
    pace.tell({ type: 'uploaded', ms: 8_000 })
    pace.tell({ type: 'uploaded', ms: 10_000 })
    pace.tell(steps(1))
    assert.equal(pace.state.nextAt, 11_000)
    pace.tell({ type: 'uploaded', ms: 1e9 })
    pace.tell({ type: 'tick' })
    assert.deepEqual(pace.tell({ type: 'tick' }, 5_000), [{ type: 'contribute', round: 1, head: 'r0' }])
  })

  it('never contributes without a step, nor twice to one head', () => {
    const pace = new Pace()
    pace.tell(adopted(0))
    assert.deepEqual(pace.tell({ type: 'tick' }, 60_000), [])
    assert.deepEqual(pace.tell(steps(1)), [{ type: 'contribute', round: 1, head: 'r0' }])
    pace.tell({ type: 'contributed', head: 'r0', steps: 0 })
    assert.deepEqual(pace.tell(steps(60), 61_000), [])
    assert.deepEqual(
      pace.tell(adopted(1)),
      [{ type: 'contribute', round: 2, head: 'r1' }],
      'the steps since the snapshot count for the next round'
    )
  })

  it('waits at its leash until an anchor comes', () => {
    const pace = new Pace()
    pace.tell(adopted(0))
    pace.tell(steps(50))
    pace.tell({ type: 'contributed', head: 'r0', steps: 3 })
    assert.deepEqual(pace.tell(steps(99)), [])
    assert.deepEqual(pace.tell(steps(100)), [{ type: 'wait', reason: 'at_leash' }])
    assert.deepEqual(pace.tell({ type: 'tick' }), [], 'said once')
    assert.deepEqual(pace.tell(adopted(1)), [{ type: 'contribute', round: 2, head: 'r1' }])
    assert.deepEqual(pace.tell({ type: 'contributed', head: 'r1', steps: 0 }), [])
  })

  it('is synchronous with maxStepsAhead 0', () => {
    const pace = new Pace({ maxStepsAhead: 0 })
    assert.deepEqual(pace.tell(adopted(0)), [{ type: 'allowSteps', until: 50 }])
    assert.deepEqual(pace.tell(steps(50)), [
      { type: 'contribute', round: 1, head: 'r0' },
      { type: 'wait', reason: 'at_leash' }
    ])
    assert.deepEqual(pace.tell({ type: 'contributed', head: 'r0', steps: 0 }), [{ type: 'allowSteps', until: 0 }])
    assert.deepEqual(pace.tell(adopted(1)), [{ type: 'allowSteps', until: 50 }])
  })

  it('tries again after a failure, but not at once, and not while nothing can be contributed', () => {
    const pace = new Pace()
    pace.tell(adopted(0))
    pace.tell(steps(50))
    assert.deepEqual(pace.tell({ type: 'contributeFailed', retryMs: 2_000 }), [])
    assert.equal(pace.state.nextAt, 2_000)
    pace.tell({ type: 'ready', ready: false })
    assert.deepEqual(pace.tell({ type: 'tick' }, 2_000), [])
    assert.deepEqual(pace.tell({ type: 'ready', ready: true }), [{ type: 'contribute', round: 1, head: 'r0' }])
  })

  it('does not contribute again to the head that it had before a restart', () => {
    const pace = new Pace({}, { head: 'r3', contributed: true, steps: 80 })
    assert.deepEqual(pace.tell(adopted(3)), [{ type: 'allowSteps', until: 100 }])
    assert.deepEqual(pace.tell({ type: 'tick' }, 60_000), [])
    assert.deepEqual(pace.tell(adopted(4)), [{ type: 'contribute', round: 5, head: 'r4' }])
  })
})
